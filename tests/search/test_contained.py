"""What resources contain: which rows lead to it, and which of it matches."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from server.outcome import Problem
from server.search import contained, extract, match
from server.search.filter import Filter
from server.search.query import parse
from tests.search.asked import BASE

REQUEST: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "id": "r",
    "contained": [
        {"resourceType": "Medication", "id": "a", "status": "active", "code": {"text": "x"}},
        {"resourceType": "Medication", "id": "b", "status": "inactive"},
        {"resourceType": "Organization", "id": "c", "name": "Acme"},
    ],
}


def matching(type: str, *parameters: tuple[str, str]) -> list[str]:
    filter: Filter = parse(type, parameters, base_url=BASE, lenient=False).filter
    found = contained.matching(REQUEST, type, filter, 0, partial(extract.rows, base_url=BASE))
    return [one["id"] for one in found]


def test_rows_lead_to_the_types_that_are_contained() -> None:
    rows = extract.rows(REQUEST, BASE)
    for type, expected in (("Medication", True), ("Organization", True), ("Patient", False)):
        filter = contained.containing("MedicationRequest", type)
        assert expected == match.matches(filter, "MedicationRequest", "r", 0, rows)


def test_matching_asks_each_by_itself() -> None:
    assert ["a"] == matching("Medication", ("status", "active"))
    assert ["b"] == matching("Medication", ("status:not", "active"))
    assert [] == matching("Medication", ("status", "inactive"), ("_id", "a"))
    assert ["c"] == matching("Organization", ("name", "ac"))


def test_matching_steps_to_no_other() -> None:
    with pytest.raises(Problem) as refused:
        matching("Medication", ("manufacturer.name", "x"))
    assert "invalid" == refused.value.kind
