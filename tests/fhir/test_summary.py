"""_summary and _elements: https://hl7.org/fhir/R4/search.html#summary"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir.summary import subset

PLAN: dict[str, Any] = {
    "resourceType": "CarePlan",
    "id": "a",
    "meta": {"versionId": "1", "tag": [{"code": "x"}]},
    "text": {"status": "generated", "div": "<div/>"},
    "extension": [{"url": "u", "valueBoolean": True}],
    "status": "active",
    "_status": {"id": "s"},
    "intent": "plan",
    "title": "ICP",
    "subject": {"reference": "Patient/1"},
    "created": "2026",
    "note": [{"text": "n"}],
    "activity": [{"detail": {"status": "unknown"}}],
}


def names(**asked: Any) -> set[str]:
    return set(subset(PLAN, **asked)) - {"resourceType", "id", "meta"}


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        ({"status", "_status", "intent", "subject", "title", "created"}, {"summary": "true"}),
        ({"text", "status", "_status", "intent", "subject"}, {"summary": "text"}),
        (set(PLAN) - {"resourceType", "id", "meta", "text"}, {"summary": "data"}),
        ({"note", "status", "_status", "intent", "subject"}, {"chosen": ["note"]}),
        ({"note", "status", "_status", "intent", "subject"}, {"chosen": ["CarePlan.note", "nothing"]}),
        ({"note", "status", "_status", "intent", "subject"}, {"chosen": ["note"], "summary": "data"}),
    ],
)
def test_subset(expected: set[str], asked: dict[str, Any]) -> None:
    assert expected == names(**asked)


def test_subset_is_marked() -> None:
    tags = subset(PLAN, "true")["meta"]["tag"]
    assert ["x", "SUBSETTED"] == [tag["code"] for tag in tags]
    assert ["x"] == [tag["code"] for tag in PLAN["meta"]["tag"]]


@pytest.mark.parametrize("summary", [None, "false"])
def test_subset_of_everything_is_the_resource(summary: str | None) -> None:
    assert PLAN == subset(PLAN, summary)


def test_subset_of_a_backbone_element() -> None:
    """Of Patient.contact nothing is in the summary; of Patient.link both of its elements are."""
    patient = {
        "resourceType": "Patient",
        "contact": [{"gender": "female"}],
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    }
    part = subset(patient, "true")
    assert ("contact" not in part, patient["link"]) == (True, part["link"])


def test_subset_keeps_a_choice_by_its_group() -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "valueQuantity": {"value": 1},
        "note": [{"text": "n"}],
    }
    assert "valueQuantity" in subset(observation, chosen=["value"])
    assert "note" not in subset(observation, chosen=["value"])
