"""Literal references: their form, and the types that they may lead to."""

import pytest

from server.fhir.definition import RESOURCE_TYPES
from server.validation.reference import leads_to, wrong

TARGETS = frozenset({"Patient", "Group"})


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "Group/a-1.B",
        "Patient/1/_history/2",
        "Patient?identifier=urn:a|1",
        "https://example.org/fhir/Practitioner/1",
        "http://example.org",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:oid:1.2.3",
    ],
)
def test_wrong_lets_stand(reference: str) -> None:
    assert wrong(reference, TARGETS) is None


@pytest.mark.parametrize(
    "reference",
    [
        "Practitioner/1",
        "Practitioner/1/_history/2",
        "Practitioner?name=a",
        "patient/1",
        "/Patient/1",
        "Patient",
        "Patient/",
        "Patient/a_b",
        "Patient/1/",
        "Patient/1/_history",
        "Patient/1/_history/a b",
        "Patient/1/2/3",
        "Patient/1?a=b",
        "1",
        "a b",
        " Patient/1",
    ],
)
def test_wrong_refuses(reference: str) -> None:
    assert wrong(reference, TARGETS)


def test_leads_to_is_the_usual_form_only() -> None:
    assert leads_to("Patient/1", TARGETS)
    assert leads_to("Binary/1", RESOURCE_TYPES)
    assert not leads_to("Patient/1/_history/2", TARGETS)
    assert not leads_to("Practitioner/1", TARGETS)
