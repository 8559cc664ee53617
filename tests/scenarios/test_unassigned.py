"""$unassigned over HTTP: what waits for a supervisor, as a searchset that any FHIR client reads."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle

from server.fhir.body import Body
from server.operations.unassigned import ATTENTION
from server.validation.element import validate
from tests.answers import places, refusal
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)
from tests.scenarios.iowa import kept

Json = dict[str, Any]

ANN, BOB = "PractitionerRole/ann", "PractitionerRole/bob"


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has four members, before the limit was 3; Bob, who has left, has b1; n1 and n2 have nobody."""
    await kept(client, limited(50), organization())
    for id in ("ann", "bob"):
        await kept(client, practitioner(id), role(id))
    for id in ("a1", "a2", "a3", "a4"):
        await kept(client, patient(id), episode(id), team(id, assigned(ANN)))
    await kept(client, patient("b1"), episode("b1"), team("b1", assigned(BOB)))
    await kept(client, *(one for id in ("n1", "n2") for one in (patient(id), episode(id))))
    await kept(client, limited(3))
    await kept(client, role("bob", period={"end": "2026-02-28"}))
    return client


async def ask(client: httpx.AsyncClient, **asked: Any) -> Json:
    answer = await client.get("Organization/mco/$unassigned", params={"program": IA_HCBS} | asked)
    assert 200 == answer.status_code, answer.text
    found: Json = answer.json()
    Bundle.model_validate(found)
    assert [] == validate(Body.of(found).resource)
    return found


def told(bundle: Json) -> list[tuple[str, str, str | None, Any]]:
    """(why, reference, the day since, number or about) of each entry."""
    found = []
    for entry in bundle.get("entry", ()):
        for extension in entry.get("extension", ()):
            assert ATTENTION == extension["url"]
            parts = {part["url"]: part for part in extension["extension"]}
            since = parts["since"]["valueDateTime"][:10] if "since" in parts else None
            about = parts["about"]["valueReference"]["reference"] if "about" in parts else None
            number = parts["number"]["valueInteger"] if "number" in parts else None
            resource = entry["resource"]
            assert entry["fullUrl"].endswith(f"/{resource['resourceType']}/{resource['id']}")
            reference = f"{resource['resourceType']}/{resource['id']}"
            found.append((parts["why"]["valueCoding"]["code"], reference, since, about or number))
    return found


@pytest.mark.requirement("IA-04", "IA-25")
async def test_supervisor_sees_what_waits_the_most_urgent_first(iowa: httpx.AsyncClient) -> None:
    found = await ask(iowa)
    assert ("searchset", 4) == (found["type"], found["total"])
    assert [
        ("no-manager", "Patient/n1", "2025-01-01", None),
        ("no-manager", "Patient/n2", "2025-01-01", None),
        ("manager-left", "Patient/b1", "2026-03-01", BOB),
        ("manager-above-limit", ANN, "2025-01-01", 4),
    ] == told(found)
    counts = Counter({issue["details"]["coding"][0]["code"]: 1 for issue in found["entry"][-1]["resource"]["issue"]})
    assert {"no-manager", "manager-left", "manager-above-limit"} == set(counts)


async def test_supervisor_asks_for_one_kind_and_for_the_first_of_many(iowa: httpx.AsyncClient) -> None:
    assert [("manager-left", "Patient/b1", "2026-03-01", BOB)] == told(await ask(iowa, why="manager-left"))
    first = await ask(iowa, count=1, why="no-manager")
    assert (["Patient/n1"], 2) == ([reference for _, reference, _, _ in told(first)], first["total"])
    assert "2 no-manager" == first["entry"][-1]["resource"]["issue"][0]["details"]["text"]


async def test_supervisor_asks_as_of_a_date_and_of_a_position(iowa: httpx.AsyncClient) -> None:
    assert {"no-manager", "manager-above-limit"} == {why for why, *_ in told(await ask(iowa, asOf="2026-02-28"))}
    assert [] == told(await ask(iowa, asOf="2024-12-31"))
    head = (await iowa.get(f"{iowa.base_url}".replace("/fhir/", "/health"))).json()["position"]
    assert {"no-manager", "manager-above-limit"} == {why for why, *_ in told(await ask(iowa, at=head - 1))}


@pytest.mark.parametrize(
    ("place", "asked"),
    [("why", {"why": "boredom"}), ("count", {"count": "10001"}), ("count", {"count": "0"}), ("x", {"x": "1"})],
)
async def test_question_that_is_not_understood_is_refused(
    iowa: httpx.AsyncClient, place: str, asked: dict[str, str]
) -> None:
    answer = await iowa.get("Organization/mco/$unassigned", params={"program": IA_HCBS} | asked)
    assert 400 == refusal(answer)[0]
    assert [f"Parameters.parameter.where(name='{place}')"] == places(answer)


async def test_program_without_case_managers_leaves_nobody_unassigned(iowa: httpx.AsyncClient) -> None:
    plain = limited(50, id="plain", url=f"{IA_HCBS}-plain")
    plain["action"] = [action for action in plain["action"] if action["id"] == "IA-10"]
    await kept(iowa, plain)
    answer = await iowa.get("Organization/mco/$unassigned", params={"program": plain["url"]})
    assert (422, ["not-supported"]) == refusal(answer)


async def test_organization_without_members_has_nothing_that_waits(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, organization("empty"))
    answer = await iowa.get("Organization/empty/$unassigned", params={"program": IA_HCBS})
    assert (200, 0) == (answer.status_code, answer.json()["total"])
    assert 404 == (await iowa.get("Organization/none/$unassigned", params={"program": IA_HCBS})).status_code
