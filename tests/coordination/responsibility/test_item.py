"""Items as facts: what lasts under the member, what is short under its months, and each read once."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.facts import facts
from server.ledger import Resource

TURN = ["Patient/1 2025-12", "Patient/1 2026-01"]


def keys(resource: Resource) -> list[str]:
    return [key for kind, key, _ in facts(resource) if kind == "item"]


def request(**more: Any) -> Resource:
    subject = {"reference": "Patient/1"}
    return {"resourceType": "ServiceRequest", "id": "r", "status": "active", "subject": subject, **more}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, ["Patient/1"]),
        ({"occurrencePeriod": {"start": "2026-01-31"}}, ["Patient/1"]),
        ({"occurrencePeriod": {"start": "2026-01-01", "end": "2026-03-01"}}, ["Patient/1"]),
        (
            {"occurrencePeriod": {"start": "2025-12-31", "end": "2026-01-01"}},
            ["Patient/1 2025-12", "Patient/1 2026-01"],
        ),
        ({"occurrencePeriod": {"start": "2026-01", "end": "2026-01-09T10:00:00Z"}}, ["Patient/1 2026-01"]),
        ({"occurrencePeriod": {"start": "2026", "end": "2026"}}, ["Patient/1"]),
        ({"occurrencePeriod": {"start": "2026-02-01", "end": "2026-01-01"}}, ["Patient/1"]),
        ({"occurrenceDateTime": "2026-02-01T23:30:00-05:00"}, ["Patient/1 2026-02"]),
        ({"status": "revoked"}, []),
        ({"status": "completed"}, []),
        ({"doNotPerform": True}, []),
    ],
)
def test_service_is_under_its_member_or_its_months(when: Resource, expected: list[str]) -> None:
    assert expected == keys(request(**when))


@pytest.mark.parametrize(
    ("recipient", "to"),
    [
        ([], []),
        (["Organization/2", "Patient/1"], []),
        (["Organization/2", "PractitionerRole/3"], ["Organization/2", "PractitionerRole/3"]),
    ],
)
def test_what_is_told_to_the_member_is_a_contact(recipient: list[str], to: list[str]) -> None:
    told = {
        "resourceType": "Communication",
        "id": "c",
        "status": "completed",
        "subject": {"reference": "Patient/1"},
        "sent": "2026-02-01",
        "recipient": [{"reference": one} for one in recipient],
    }
    ((_, key, data),) = [row for row in facts(told) if row[0] == "item"]
    assert ("Patient/1 2026-02", to) == (key, data[3][0][5])
