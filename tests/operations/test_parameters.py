from __future__ import annotations

from typing import Any

import pytest

from server.fhir.body import Body
from server.operations import parameters
from server.operations.parameters import Given, read, written
from server.outcome import Problem

URL = "http://127.0.0.1:8000/fhir"
DATE_OR_DATE_TIME = [{"url": parameters.ALLOWED_TYPE, "valueUri": type} for type in ("date", "dateTime")]
INSTANT_OR_INTEGER = [{"url": parameters.ALLOWED_TYPE, "valueUri": type} for type in ("instant", "integer")]


def declared(name: str, type: str, min: int = 0, max: str = "1", **more: Any) -> dict[str, Any]:
    return {"name": name, "use": "in", "min": min, "max": max, "type": type, "documentation": "What it is.", **more}


DEFINITION = {
    "parameter": [
        declared("program", "canonical", 1),
        declared("manager", "Reference", targetProfile=[f"{parameters.PROFILE}PractitionerRole"]),
        declared("anybody", "Reference"),
        declared("asOf", "Type", extension=DATE_OR_DATE_TIME),
        declared("at", "Type", extension=INSTANT_OR_INTEGER),
        declared("detail", "boolean"),
        declared("reason", "CodeableConcept"),
        declared("when", "dateTime"),
        declared("name", "string"),
        declared("share", "decimal"),
        declared("move", "string", max="*"),
        declared("number", "positiveInt"),
        {
            "name": "hire",
            "use": "in",
            "min": 0,
            "max": "*",
            "part": [
                declared("count", "positiveInt"),
                declared("location", "Reference", targetProfile=[f"{parameters.PROFILE}Location"]),
                declared("start", "date"),
            ],
        },
        {"name": "count", "use": "out", "min": 1, "max": "1", "type": "integer"},
    ]
}
PROGRAM = {"name": "program", "valueCanonical": "urn:p"}
START = {"name": "start", "valueDate": "2026-01-01"}


def body(*parameter: dict[str, Any]) -> Body:
    return Body.of({"resourceType": "Parameters", "parameter": [PROGRAM, *parameter]})


def given(*parameter: dict[str, Any]) -> dict[str, list[Given]]:
    return {
        name: found for name, found in read(DEFINITION, body(*parameter), (), URL).given.items() if name != "program"
    }


def refused(found: Body | None, query: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as problem:
        read(DEFINITION, found, query or [], URL)
    assert 400 == problem.value.status
    return [(issue.code, *issue.expression) for issue in problem.value.issues]  # type: ignore[misc]


def place(name: str) -> str:
    return f"Parameters.parameter.where(name='{name}')"


@pytest.mark.parametrize(
    ("expected", "parameter"),
    [
        (Given("date", "2026-01-01"), {"name": "asOf", "valueDate": "2026-01-01"}),
        (Given("dateTime", "2026-01-01"), {"name": "asOf", "valueDateTime": "2026-01-01"}),
        (Given("integer", 7), {"name": "at", "valueInteger": 7}),
        (Given("positiveInt", 7), {"name": "at", "valuePositiveInt": 7}),
        (Given("integer", 7), {"name": "number", "valueInteger": 7}),
        (Given("boolean", False), {"name": "detail", "valueBoolean": False}),
        (Given("CodeableConcept", {"text": "x"}), {"name": "reason", "valueCodeableConcept": {"text": "x"}}),
        (Given("date", "2026"), {"name": "when", "valueDate": "2026"}),
        (Given("code", "x"), {"name": "name", "valueCode": "x"}),
        (
            Given("Reference", "PractitionerRole/7"),
            {"name": "manager", "valueReference": {"reference": "PractitionerRole/7"}},
        ),
        (
            Given("Reference", "PractitionerRole/7"),
            {"name": "manager", "valueReference": {"reference": f"{URL}/PractitionerRole/7/_history/1"}},
        ),
        (Given("Reference", "Patient/1"), {"name": "anybody", "valueReference": {"reference": "Patient/1"}}),
    ],
)
def test_read_takes_the_declared_types_and_narrower_ones(expected: Given, parameter: dict[str, Any]) -> None:
    assert {parameter["name"]: [expected]} == given(parameter)


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "asOf", "valueString": "2026-01-01"},
        {"name": "at", "valueDate": "2026-01-01"},
        {"name": "number", "valueInteger": 0},
        {"name": "number", "valueString": "7"},
        {"name": "detail", "valueString": "true"},
        {"name": "detail", "part": [{"name": "x", "valueBoolean": True}]},
        {"name": "name", "resource": {"resourceType": "Patient"}},
        {"name": "reason", "valueCoding": {"code": "x"}},
        {"name": "manager", "valueReference": {"reference": "Practitioner/7"}},
        {"name": "manager", "valueReference": {"reference": "https://elsewhere.example.org/PractitionerRole/7"}},
        {"name": "manager", "valueReference": {"display": "Ann"}},
        {"name": "hire", "valueString": "two"},
        {"name": "hire", "valueInteger": 0},
    ],
)
def test_read_refuses_a_value_of_another_type(parameter: dict[str, Any]) -> None:
    assert [("value", place(parameter["name"]))] == refused(body(parameter))


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ({"count": 2}, {"valueInteger": 2}),
        ({"location": "Location/1"}, {"valueReference": {"reference": "Location/1"}}),
        ({"count": 2, "start": "2026-01-01"}, {"part": [{"name": "count", "valuePositiveInt": 2}, START]}),
    ],
)
def test_read_takes_a_value_for_the_part_of_its_type(expected: dict[str, Any], value: dict[str, Any]) -> None:
    [found] = given({"name": "hire", **value})["hire"]
    assert expected == {name: one.value for name, [one] in found.value.given.items()}


def test_read_refuses_the_part_that_a_value_cannot_be() -> None:
    assert [("value", place("location"))] == refused(
        body({"name": "hire", "valueReference": {"reference": "Patient/1"}})
    )


def test_read_leaves_out_how_the_answer_is_written() -> None:
    assert {} == given({"name": "_format", "valueCode": "csv"}, {"name": "_pretty", "valueBoolean": True})


def test_read_names_everything_that_is_wrong_at_once() -> None:
    found = Body.of(
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "color", "valueString": "red"},
                {"name": "detail", "valueBoolean": True},
                {"name": "detail", "valueBoolean": True},
                {"name": "name", "valueInteger": 1},
            ],
        }
    )
    assert [
        ("not-supported", place("color")),
        ("value", place("name")),
        ("required", place("program")),
        ("duplicate", place("detail")),
    ] == refused(found)
    assert [("required", place("program"))] == refused(None)


@pytest.mark.parametrize(
    "resource",
    [{"resourceType": "Parameters", "parameter": [{"valueString": "x"}]}, {"resourceType": "Parameters", "foo": 1}],
)
def test_read_refuses_what_is_no_parameters(resource: dict[str, Any]) -> None:
    with pytest.raises(Problem) as problem:
        read(DEFINITION, Body.of(resource), ())
    assert 400 == problem.value.status


def test_read_refuses_another_resource_where_it_takes_none() -> None:
    with pytest.raises(Problem) as problem:
        read(DEFINITION, Body.of({"resourceType": "Patient"}), ())
    assert ("invalid", 400) == (problem.value.kind, problem.value.status)


@pytest.mark.parametrize(
    ("expected", "name", "text"),
    [
        (Given("date", "2026-01-01"), "asOf", "2026-01-01"),
        (Given("dateTime", "2026-01-01T00:00:00Z"), "asOf", "2026-01-01T00:00:00Z"),
        (Given("instant", "2026-01-01T00:00:00Z"), "at", "2026-01-01T00:00:00Z"),
        (Given("integer", 12), "at", "12"),
        (Given("boolean", True), "detail", "true"),
        (Given("Reference", "PractitionerRole/7"), "manager", "PractitionerRole/7"),
        (Given("string", "x"), "name", "x"),
    ],
)
def test_read_takes_simple_values_from_a_query(expected: Given, name: str, text: str) -> None:
    assert [expected] == read(DEFINITION, None, [("program", "urn:p"), (name, text)]).given[name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asOf", "soon"),
        ("at", "1.5"),
        ("at", "99999999999999999999"),
        ("detail", "yes"),
        ("reason", "x"),
        ("share", "much"),
        ("manager", "Ann"),
    ],
)
def test_read_refuses_what_a_query_cannot_say(name: str, text: str) -> None:
    assert [("value", place(name))] == refused(None, [("program", "urn:p"), (name, text)])


def test_read_takes_a_resource_as_the_body() -> None:
    taking = {"parameter": [declared("resource", "Resource"), declared("mode", "code")]}
    patient = {"resourceType": "Patient", "active": "perhaps"}
    for found in (
        Body.of(patient),
        Body.of({"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}]}),
    ):
        assert Given("Patient", patient) == read(taking, found, [("mode", "create")]).typed("resource")


def test_written_is_bare_where_the_output_is_return() -> None:
    alone = {"parameter": [{"name": "return", "use": "out", "type": "Patient"}]}
    assert {"resourceType": "Patient"} == written(alone, [("return", {"resourceType": "Patient"})])


def test_written_follows_the_definition() -> None:
    parts = [
        {"name": "who", "type": "Reference"},
        {"name": "lead", "type": "boolean"},
        {"name": "since", "type": "dateTime"},
    ]
    made = {
        "parameter": [
            {"name": "count", "use": "out", "type": "integer"},
            {"name": "limit", "use": "out", "type": "integer"},
            {"name": "found", "use": "out", "part": parts},
            {"name": "contact", "use": "out", "type": "Resource"},
        ]
    }
    outputs = [
        ("count", 0),
        ("limit", None),
        ("found", [("who", "Patient/1"), ("lead", False), ("since", None)]),
        ("contact", {"resourceType": "Organization"}),
    ]
    assert {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "count", "valueInteger": 0},
            {
                "name": "found",
                "part": [
                    {"name": "who", "valueReference": {"reference": "Patient/1"}},
                    {"name": "lead", "valueBoolean": False},
                ],
            },
            {"name": "contact", "resource": {"resourceType": "Organization"}},
        ],
    } == written(made, outputs)
    assert {"resourceType": "Parameters"} == written(made, [])
