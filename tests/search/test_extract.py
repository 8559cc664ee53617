"""Extraction, held against fhirpathpy (an engine of its own) over the examples of US Core."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from fhirpathpy import compile as compile_fhirpath
from fhirpathpy.models import models

from server.fhir import body
from server.fhir.definition import search_parameters
from server.search import extract, number
from server.search.extract import VERSIONED, rows, sort_key
from server.search.parameter import Path, follow, parameters, values
from tests.search.asked import BASE
from tests.us_core import examples

RESOLVES = re.compile(r"\.where\(resolve\(\) is \w+\)")  # fhirpathpy resolves nothing
CASTS = re.compile(r"\(([\w.]+) as (\w+)\)")  # its `as` takes one value, the registry's means each


def _for_fhirpathpy(expression: str, type: str) -> str:
    expression = RESOLVES.sub("", expression).replace("Resource.", f"{type}.")
    return CASTS.sub(r"\1.ofType(\2)", expression).replace(".as(", ".ofType(")


def _without_ids_of_primitives(members: dict[str, Any]) -> dict[str, Any]:
    """fhirpathpy makes elements of `_gender`; they have no value to search."""
    return {name: value for name, value in members.items() if not name.startswith("_")}


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=float)


def _extracted(resource: dict[str, Any], path: Path) -> list[Any]:
    if path.exists:
        return [any(resource.get(name, False) is not False for name in path.exists)]
    return list(values(resource, path.steps))


def test_extracted_values_are_those_that_fhirpath_finds() -> None:
    compiled: dict[str, Any] = {}
    compared = 0
    for name, resource in examples().items():
        plain = json.loads(body.dumps(resource), object_hook=_without_ids_of_primitives)
        type = resource["resourceType"]
        for code, parameter in parameters(type).items():
            if parameter.kind == "composite":
                continue
            expression = search_parameters(type)[code].expression
            oracle = _for_fhirpathpy(expression, type)
            if oracle not in compiled:
                compiled[oracle] = compile_fhirpath(oracle, models["r4"])
            found = {_as_json(value) for path in follow(expression, type) for value in _extracted(plain, path)}
            expected = {_as_json(value) for value in compiled[oracle](plain) if value is not None}
            assert expected == found, (name, code)
            compared += len(found)
    assert compared > 1500


def test_rows_of_every_example_are_each_once_and_under_their_parameters() -> None:
    for name, resource in examples().items():
        found = rows(resource, BASE)
        type = resource["resourceType"]
        own = {p.index for code, p in parameters(type).items() if code not in VERSIONED and not p.union}
        own.add(f"{type}.contained")
        assert len(set(found)) == len(found), name
        assert {index.partition(":")[0] for index, _ in found} <= own, name
        assert found == rows(resource, BASE)


def test_rows_present_each_parameter_that_has_a_value() -> None:
    for name, resource in examples().items():
        type = resource["resourceType"]
        indexed = {index for index, _ in rows(resource, BASE)}
        for code, parameter in parameters(type).items():
            if parameter.kind == "composite" or code in VERSIONED or any(path.target for path in parameter.paths):
                continue
            found = [value for path in parameter.paths for value in _extracted(resource, path)]
            if any(not isinstance(value, dict) or value.keys() > {"extension", "id"} for value in found):
                assert not indexed.isdisjoint(parameter.indexes), (name, code)


def test_rows_of_a_care_plan() -> None:
    plan = {
        "resourceType": "CarePlan",
        "id": "1",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
        "careTeam": [{"reference": "CareTeam/1"}, {"reference": "CareTeam/1"}],
        "category": [{"text": "Assess plan"}],
    }
    assert [
        ("CarePlan.care-team", "CareTeam/1"),
        ("CarePlan.category", b""),
        ("CarePlan.category:text", b"assess plan"),
        ("CarePlan.intent", 14),
        ("CarePlan.patient", "Patient/1"),
        ("CarePlan.status", 14),
        ("CarePlan.subject", "Patient/1"),
    ] == sorted(
        (index, key if isinstance(key, str) or not key else key[:-7] if index.endswith(":text") else len(key))
        for index, key in rows(plan, BASE)
    )


def test_rows_of_a_large_number_do_not_raise() -> None:
    sampled = {"origin": {"value": Decimal("1e999999")}, "factor": Decimal("1e-999999999"), "data": "1 2e99999999"}
    assert rows({"resourceType": "Observation", "valueSampledData": sampled}, BASE)
    charge = {"resourceType": "ChargeItem", "factorOverride": Decimal("-1e999999999999")}
    assert ("ChargeItem.factor-override", number.keys(Decimal("-1e40000"), Decimal("-1e40000"))[0]) in rows(
        charge, BASE
    )


@pytest.mark.parametrize(
    ("code", "ascending", "descending"),
    [
        ("family", b"ada", b"zoe"),
        ("birthdate", None, None),
        ("gender", b"female", b"female"),
        ("language", b"english", b"fr"),
        ("organization", b"Organization/1", b"Organization/1"),
        ("active", b"true", b"true"),
        ("identifier", b"1", b"2"),
    ],
)
def test_sort_key(code: str, ascending: bytes | None, descending: bytes | None) -> None:
    patient = {
        "resourceType": "Patient",
        "active": True,
        "gender": "female",
        "name": [{"family": "Zoe"}, {"family": "Ada"}],
        "identifier": [{"value": "2"}, {"value": "1"}],
        "managingOrganization": {"reference": "Organization/1"},
        "communication": [{"language": {"coding": [{"code": "fr"}]}}, {"language": {"text": "English"}}],
    }
    for expected, down in ((ascending, False), (descending, True)):
        found = sort_key(patient, parameters("Patient")[code], down)
        assert expected == (found[:-7] if found and code == "family" else found)


def test_sort_key_is_the_least_key_of_an_ordered_index() -> None:
    observation = {"resourceType": "Observation", "effectivePeriod": {"start": "2020"}, "valueQuantity": {"value": 7}}
    for code in ("date", "value-quantity"):
        keys = [key for index, key in extract.rows(observation, BASE) if index == f"Observation.{code}"]
        assert keys == [sort_key(observation, parameters("Observation")[code], False)]
