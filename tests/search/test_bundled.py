"""Bundles by the Composition or the MessageHeader that they begin with."""

from __future__ import annotations

from typing import Any

import pytest

from server.search import query
from server.search.filter import And, Chain, Present
from tests.search.asked import BASE, finds, places, refused

DOCUMENT: dict[str, Any] = {
    "resourceType": "Bundle",
    "id": "b",
    "type": "document",
    "entry": [
        {
            "resource": {
                "resourceType": "Composition",
                "id": "c",
                "status": "final",
                "title": "Discharge",
                "date": "2026-03-01",
                "type": {"coding": [{"system": "http://loinc.org", "code": "18842-5"}]},
                "subject": {"reference": "Patient/1"},
            }
        },
        {"resource": {"resourceType": "Composition", "id": "another", "status": "preliminary"}},
    ],
}
MESSAGE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "message",
    "entry": [{"resource": {"resourceType": "MessageHeader", "eventUri": "urn:event", "source": {"name": "EHR"}}}],
}


@pytest.mark.parametrize(
    ("bundle", "name", "value", "expected"),
    [
        (DOCUMENT, "composition.type", "http://loinc.org|18842-5", True),
        (DOCUMENT, "composition:Composition.type", "18842-5", True),
        (DOCUMENT, "composition.title", "disch", True),
        (DOCUMENT, "composition.title:contains", "charge", True),
        (DOCUMENT, "composition.date", "ge2026-03", True),
        (DOCUMENT, "composition.subject", "Patient/1", True),
        (DOCUMENT, "composition.subject", "Patient/2", False),
        (DOCUMENT, "composition._id", "c", True),
        (DOCUMENT, "composition._id", "another", False),
        (DOCUMENT, "composition.status", "preliminary", False),
        (DOCUMENT, "composition.status:not", "preliminary", True),
        (DOCUMENT, "composition.type:in", "urn:vs:few", False),
        (DOCUMENT, "composition.encounter:missing", "true", True),
        (DOCUMENT, "message.source", "EHR", False),
        (MESSAGE, "message.source", "EHR", True),
        (MESSAGE, "message.source", "other", False),
        (MESSAGE, "composition.status:not", "final", False),
        (MESSAGE, "composition.status:missing", "true", False),
    ],
)
def test_bundle_is_found_by_what_it_begins_with(bundle: dict[str, Any], name: str, value: str, expected: bool) -> None:
    assert expected == finds(bundle, (name, value))


def test_chain_goes_on_from_what_a_bundle_begins_with() -> None:
    found = query.parse("Bundle", [("composition.subject:Patient._id", "1")], base_url=BASE, lenient=False).filter
    assert isinstance(found, And)
    assert Present("Bundle.composition") == found.filters[0]
    assert isinstance(found.filters[1], Chain)
    assert ("Bundle.composition:Composition.subject", "Patient") == (found.filters[1].index, found.filters[1].type)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("composition.nothing", "1"),
        ("composition:Patient.name", "x"),
        ("composition._list", "1"),
        ("composition._lastUpdated", "2026"),
        ("composition._has:Provenance:target:recorded", "2026"),
    ],
)
def test_what_a_bundle_begins_with_is_asked_for_itself_alone(name: str, value: str) -> None:
    assert [("invalid", f"http.{name}")] == places(refused("Bundle", (name, value)))
