"""Whose a resource is, and who therefore writes it."""

from __future__ import annotations

from typing import Any

import pytest

from server.auth.owner import check_owned
from server.ledger import Change
from server.outcome import Problem

Json = dict[str, Any]
HOME, PLAN = "Organization/home", "Organization/plan"


def episode(at: str | None, **more: Any) -> Json:
    managed = {"managingOrganization": {"reference": at}} if at else {}
    return {"resourceType": "EpisodeOfCare", "id": "1", "status": "active", **managed, **more}


def contract(*parties: str) -> Json:
    return {"resourceType": "Contract", "id": "1", "subject": [{"reference": party} for party in parties]}


def organization(above: str | None = None, **more: Any) -> Json:
    return {"resourceType": "Organization", "id": "home", **({"partOf": {"reference": above}} if above else {}), **more}


def task(owner: str, code: str = "coordination-issue", **more: Any) -> Json:
    coded = {"coding": [{"system": "https://careplan-server.org/fhir/CodeSystem/cm-task", "code": code}]}
    return {
        "resourceType": "Task",
        "id": "1",
        "status": "requested",
        "code": coded,
        "owner": {"reference": owner},
        **more,
    }


def issue(resolver: str, **more: Any) -> Json:
    url = "https://careplan-server.org/fhir/StructureDefinition/issue-resolver"
    said = {"extension": [{"url": url, "valueReference": {"reference": resolver}}]}
    return {"resourceType": "DetectedIssue", "id": "1", "status": "final", **said, **more}


def notice(recipient: str, **more: Any) -> Json:
    system = "http://terminology.hl7.org/CodeSystem/communication-category"
    category = [{"coding": [{"system": system, "code": "notification"}]}]
    told = {"category": category, "recipient": [{"reference": recipient}]}
    return {"resourceType": "Communication", "id": "1", "status": "completed", **told, **more}


def change(before: Json | None, after: Json | None) -> Change:
    stated: Json = after or before or {}
    return Change("PUT" if after else "DELETE", stated["resourceType"], stated["id"], after)


FREE = [
    (None, episode(PLAN)),
    (None, episode(None)),
    (episode(None), None),
    (episode(PLAN), episode(PLAN, status="finished")),
    (episode(HOME), episode(HOME, careManager={"reference": "Practitioner/1"})),
    (contract(PLAN, HOME), None),
    (contract(HOME), contract()),
    (None, organization()),
    (organization(PLAN), None),
    (organization(), organization(telecom=[{"value": "1"}])),
    (None, task(HOME)),
    (task(PLAN), task(PLAN, status="completed")),
    (task(PLAN), task(HOME)),
    (task(HOME), task(HOME, note=[{"text": "seen"}])),
    (task(HOME, "referral"), task(HOME, "referral", status="completed")),
    (None, issue(HOME)),
    (issue(PLAN), issue(PLAN, status="cancelled")),
    (task(PLAN, "lead-dispute"), task(PLAN, "lead-dispute", status="completed")),
    (task("PractitionerRole/liaison", "lead-review"), None),
    (None, notice(HOME)),
    (notice(PLAN), None),
    (notice(HOME), notice(HOME, received="2026-11-22T10:00:00Z")),
    (notice("Patient/1"), None),
    (notice(HOME, category=[]), None),
]
REFUSED = [
    (None, episode(HOME)),
    (episode(HOME), None),
    (episode(HOME), episode(PLAN)),
    (episode(PLAN), episode(HOME)),
    (episode(HOME), episode(HOME, status="finished")),
    (contract(HOME, "Organization/other"), None),
    (contract(HOME, "Organization/other"), contract(HOME, PLAN)),
    (None, contract(HOME, "Organization/other")),
    (organization(), None),
    (organization(), organization(PLAN)),
    (organization(), organization(active=False)),
    (task(HOME), task(HOME, status="completed")),
    (task(HOME), task(PLAN)),
    (task(HOME), task(HOME, "referral")),
    (task(HOME), None),
    (issue(HOME), issue(HOME, status="cancelled")),
    (issue(HOME), issue(PLAN)),
    (issue(HOME), None),
    *((task(HOME, code), None) for code in ("lead-dispute", "plan-dispute", "lead-review")),
    *((task(HOME, code), task(HOME, code, status="completed")) for code in ("agreement-expiry", "enrollment-overlap")),
    (notice(HOME), None),
    (notice(HOME), notice(PLAN)),
    (notice(HOME), notice(HOME, category=[])),
    (notice(HOME), notice(HOME, payload=[{"contentString": "Nothing"}])),
]


@pytest.mark.parametrize(("before", "after"), FREE)
def test_owner_writes_and_anybody_what_is_nobodys(before: Json | None, after: Json | None) -> None:
    check_owned(PLAN, (PLAN,), before, change(before, after))


@pytest.mark.parametrize(("before", "after"), REFUSED)
def test_what_is_anothers_is_forbidden(before: Json | None, after: Json | None) -> None:
    with pytest.raises(Problem) as caught:
        check_owned(PLAN, (PLAN,), before, change(before, after))
    assert 403 == caught.value.status
