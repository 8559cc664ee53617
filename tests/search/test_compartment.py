"""What belongs to whom: https://hl7.org/fhir/R4/compartmentdefinition-patient.html"""

from __future__ import annotations

from typing import Any

import pytest

from server.outcome import Problem
from server.search import compartment, extract, match
from tests.search.asked import BASE

PATIENT = {"reference": "Patient/1"}


@pytest.mark.parametrize(
    ("within", "resource", "expected"),
    [
        ("Patient/1", {"resourceType": "CarePlan", "subject": PATIENT}, True),
        ("Patient/2", {"resourceType": "CarePlan", "subject": PATIENT}, False),
        ("Patient/1", {"resourceType": "Observation", "performer": [PATIENT]}, True),
        ("Patient/1", {"resourceType": "Observation", "focus": [PATIENT]}, False),
        ("Patient/1", {"resourceType": "Patient", "id": "1"}, True),
        ("Patient/1", {"resourceType": "Patient", "id": "2", "link": [{"other": PATIENT, "type": "seealso"}]}, True),
        ("Patient/1", {"resourceType": "Patient", "id": "2"}, False),
        ("Encounter/1", {"resourceType": "Procedure", "encounter": {"reference": "Encounter/1"}}, True),
    ],
)
def test_filter(within: str, resource: dict[str, Any], expected: bool) -> None:
    type = resource["resourceType"]
    found = compartment.filter(within, type)
    assert expected == match.matches(found, type, resource.get("id", "x"), 0, extract.rows(resource, BASE))


def test_filter_of_a_type_that_is_never_in_it_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        compartment.filter("Patient/1", "Organization")
    assert "not_found" == refused.value.kind


def test_types_are_those_of_the_definition_and_its_own() -> None:
    assert {"Patient", "CarePlan", "Goal"} <= compartment.types("Patient")
    assert "Organization" not in compartment.types("Patient")
    assert "Device" in compartment.types("Device")
