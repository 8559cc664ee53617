"""Required bindings."""

from typing import Any

import pytest

from server.fhir.definition import value_set
from server.validation.terminology.required import closest, has_member, is_member, words

CLINICAL = "http://hl7.org/fhir/ValueSet/condition-clinical"
SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-clinical"


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ({"coding": [{"system": SYSTEM, "code": "active"}]}, True),
        ({"coding": [{"system": "urn:a", "code": "x"}, {"system": SYSTEM, "code": "active"}], "text": "a"}, True),
        ({"coding": [{"system": "urn:a", "code": "active"}]}, False),
        ({"coding": [{"code": "active"}]}, False),
        ({"coding": [{"system": SYSTEM, "code": "x"}]}, False),
        ({"text": "active"}, False),
        ({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]}, True),
    ],
)
def test_has_member(concept: dict[str, Any], expected: bool) -> None:
    assert expected == has_member(value_set(CLINICAL))(concept)


def test_is_member_of_what_is_no_text() -> None:
    member = is_member(frozenset({"a"}))
    assert [True, False, False, False] == [member(value) for value in ("a", "b", ["a"], {"a": 1})]


def test_words_list_few_codes_and_count_many() -> None:
    assert "active, inactive, recurrence" in words(CLINICAL, value_set(CLINICAL))
    types = "http://hl7.org/fhir/ValueSet/resource-types"
    assert "one of 148 codes" in words(types, value_set(types))


def test_closest_ignores_case_and_length() -> None:
    assert "; did you mean careTeam?" == closest("careteam", ["careTeam", "category"])
    assert "" == closest("zzz", ["careTeam"])
    assert "" == closest("x" * 1_000_000, ["careTeam"])
