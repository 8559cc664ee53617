"""match: https://hl7.org/fhir/R4/patient-operation-match.html"""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination.match import compared, doubted, match

Json = dict[str, Any]
ANN: Json = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:medicaid", "value": "1234567A"}],
    "name": [{"family": "Núñez", "given": ["Ann", "Marie"]}],
    "gender": "female",
    "birthDate": "1980-03-04",
    "address": [{"line": ["12 Main St."], "city": "Des Moines", "state": "IA", "postalCode": "50309-1234"}],
    "telecom": [{"system": "phone", "value": "(515) 555-0142"}],
}
NAMED: Json = {name: ANN[name] for name in ("name", "birthDate", "gender")}


def ann(**changed: Any) -> Json:
    """Ann as another record has her; None is not told."""
    return {name: value for name, value in {**ANN, **changed}.items() if value is not None}


def named(family: str, *given: str) -> list[Json]:
    return [{"family": family, "given": list(given)}]


@pytest.mark.parametrize(
    ("item", "changed", "expected"),
    [
        ("identifier", [{"system": "urn:medicaid", "value": "1234567A"}], "agrees"),
        ("identifier", [{"system": "urn:medicaid", "value": "9"}], "differs"),
        ("identifier", [{"system": "urn:medicaid", "value": "9", "use": "old"}], None),
        ("identifier", [{"system": "urn:other", "value": "1234567A"}], None),
        ("identifier", [{"value": "1234567A"}], None),
        ("identifier", [{"system": "urn:medicaid", "value": value} for value in ("9", "1234567A")], "agrees"),
        ("family", named("NUNEZ"), "agrees"),
        ("family", named("Núñez-Lopez"), "partly"),
        ("family", named("Nunes"), "partly"),
        ("family", named("Nnuez"), "partly"),
        ("family", named("Smith"), "differs"),
        ("family", [*named("Smith"), *named("Nuñez")], "agrees"),
        ("given", named("x", "ann"), "agrees"),
        ("given", named("x", "Ann Marie"), "agrees"),
        ("given", named("x", "Annmarie"), "agrees"),
        ("given", named("x", "Ann", "M."), "agrees"),
        ("given", named("x", "Ann", "Louise"), "partly"),
        ("given", named("x", "A."), "partly"),
        ("given", named("x", "Marie"), "partly"),
        ("given", named("x", "Nancy"), "differs"),
        ("birthDate", "1980-03-04", "agrees"),
        ("birthDate", "1980-04-03", "nearly"),
        ("birthDate", "1980-03-14", "partly"),
        ("birthDate", "1908-03-04", "partly"),
        ("birthDate", "1980-03", "partly"),
        ("birthDate", "1980", "slightly"),
        ("birthDate", "1981", "differs"),
        ("birthDate", "1955-11-30", "differs"),
        ("gender", "male", "differs"),
        ("gender", "unknown", None),
        ("address", [{"line": ["12 main st"], "postalCode": "50309"}], "agrees"),
        ("address", [{"line": ["7 Elm St"], "postalCode": "50309"}], "partly"),
        ("address", [{"city": "DES MOINES", "state": "IA"}], "slightly"),
        ("address", [{"line": ["1 Far Way"], "postalCode": "10001"}], None),
        ("telecom", [{"system": "phone", "value": "+1 515.555.0142"}], "agrees"),
        ("telecom", [{"system": "phone", "value": "515-555-0199"}], None),
    ],
)
def test_compared(item: str, changed: Any, expected: str | None) -> None:
    other = ann(**{"name" if item in ("family", "given") else item: changed})
    assert expected == compared(ANN, other).get(item)
    assert expected == compared(other, ANN).get(item)


def test_compared_by_what_nobody_has() -> None:
    nobody = {
        "telecom": [{"system": "phone", "value": "000-000-0000"}],
        "name": [{"given": [None, " "], "family": "."}],
    }
    assert {} == compared(nobody, nobody)


@pytest.mark.parametrize(
    ("other", "score", "grade"),
    [
        (ANN, "1", "certain"),
        (NAMED, "0.675", "probable"),
        ({**NAMED, "address": ANN["address"]}, "0.925", "certain"),
        ({**NAMED, "telecom": ANN["telecom"]}, "0.875", "certain"),
        ({"identifier": ANN["identifier"]}, "0.6", "probable"),  # a number may be mistyped
        ({"identifier": ANN["identifier"], "birthDate": ANN["birthDate"]}, "0.9", "certain"),
        ({"name": ANN["name"]}, "0.35", "possible"),
        ({"birthDate": ANN["birthDate"], "gender": "female"}, "0.325", "possible"),
        ({**NAMED, "birthDate": "1980-04-03"}, "0.625", "probable"),
        ({**NAMED, "birthDate": "1980-03-14"}, "0.5", "possible"),
        (ann(birthDate="1980-04-03", identifier=None), "0.775", "probable"),
        (ann(birthDate="1980-04-03"), "1", "certain"),  # the identifier and the given name say so
        (ann(name=named("Smith", "Ann")), "1", "certain"),  # who has married
        (ann(identifier=[{"system": "urn:medicaid", "value": "9"}]), "0.775", "probable"),
        (ann(name=named("Núñez", "Rosa"), identifier=None), "0.575", "possible"),  # a twin
        (ann(name=named("Núñez", "Rosa")), "0.775", "probable"),
        (ann(birthDate="1955-11-30", identifier=None), "0.575", "possible"),  # a mother of that name
        (ann(name=[{"family": "Núñez"}], identifier=None), "0.775", "probable"),  # either twin
        (ann(active=False), "0.775", "probable"),
        (ann(active=False, link=[{"type": "replaced-by"}]), "1", "certain"),
        ({"name": named("Smith", "Joe"), "birthDate": "1950-01-01"}, "0", "certainly-not"),
    ],
)
def test_match(other: Json, score: str, grade: str) -> None:
    assert (Decimal(score), grade) == match(ANN, other)
    assert (Decimal(score), grade) == match(other, ANN)


def test_match_of_the_dead_and_of_those_born_together() -> None:
    dead = ann(deceasedDateTime="2025-01-01")
    assert ["certain", "probable", "certain"] == [
        match(ann(**told), dead).grade for told in ({}, {"deceasedBoolean": False}, {"deceasedBoolean": True})
    ]
    first, second = ({**NAMED, "multipleBirthInteger": order, "address": ANN["address"]} for order in (1, 2))
    assert ["certain", "possible"] == [match(first, first).grade, match(first, second).grade]


def test_match_that_is_doubted_is_not_certain() -> None:
    assert (Decimal("0.775"), "probable") == doubted(match(ANN, ANN))
    assert match(ANN, NAMED) == doubted(match(ANN, NAMED))


# Any two

FAMILIES = st.sampled_from(["Lee", "Li", "Garcia", "García-Lopez", "Lopez", "Smith", "Smyth", "မောင်"])
GIVEN = st.sampled_from(["Ann", "Anne", "A", "Juan", "Carlos", "Mary Ann", "အောင်"])
NAMES = st.builds(named, FAMILIES, GIVEN) | st.builds(named, FAMILIES, GIVEN, GIVEN)
ITEMS: dict[str, st.SearchStrategy[Any]] = {
    "identifier": st.lists(
        st.fixed_dictionaries(
            {"system": st.sampled_from(["urn:a", "urn:b"]), "value": st.sampled_from("123")},
            optional={"use": st.sampled_from(["old", "usual"])},
        ),
        max_size=2,
    ),
    "name": st.lists(NAMES, max_size=2).map(lambda found: [name for names in found for name in names]),
    "gender": st.sampled_from(["male", "female", "other", "unknown"]),
    "birthDate": st.sampled_from(["1980-03-04", "1980-04-03", "1980-03-14", "1980-03", "1980", "1955-11-30"]),
    "address": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "line": st.sampled_from([["1 Main St"], ["2 Elm"]]),
                "city": st.sampled_from(["Ames", "Adel"]),
                "state": st.just("IA"),
                "postalCode": st.sampled_from(["50010", "50010-1234", "50003"]),
            },
        ),
        max_size=2,
    ),
    "telecom": st.lists(
        st.fixed_dictionaries({"value": st.sampled_from(["515-555-0142", "5155550142", "a@b.c"])}), max_size=2
    ),
    "active": st.booleans(),
    "deceasedBoolean": st.booleans(),
    "multipleBirthInteger": st.integers(1, 2),
}
PATIENTS = st.fixed_dictionaries({}, optional=ITEMS)


@given(PATIENTS, PATIENTS)
def test_match_is_the_same_both_ways_round(one: Json, other: Json) -> None:
    assert match(one, other) == match(other, one)
    assert 0 <= match(one, other).score <= 1


@settings(max_examples=500)
@given(PATIENTS, PATIENTS, st.sampled_from(sorted(ITEMS.keys() - {"active", "deceasedBoolean"})), st.data())
def test_match_is_not_lowered_by_what_agrees(one: Json, other: Json, item: str, data: st.DataObject) -> None:
    if not other.get(item):
        return
    more = deepcopy(one)
    if isinstance(other[item], list):
        more[item] = [*one.get(item, ()), data.draw(st.sampled_from(other[item]))]
    else:
        more[item] = other[item]
    assert match(one, other).score <= match(more, other).score


@given(PATIENTS, PATIENTS)
def test_match_is_never_certain_against_another_identifier(one: Json, other: Json) -> None:
    mine = {"identifier": [{"system": "urn:mrn", "value": "1"}, *one.get("identifier", ())]}
    theirs = {"identifier": [{"system": "urn:mrn", "value": "2"}, *other.get("identifier", ())]}
    assert "certain" != match({**one, **mine}, {**other, **theirs}).grade
