"""FHIRPath Patch: https://hl7.org/fhir/R4/fhirpatch.html.

The first cases are those of HL7's own test file (FHIR/fhir-test-cases, r4/patch), in our words.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir import fhirpath_patch
from server.outcome import Problem
from server.validation.element import validate


def operation(type: str, path: str, value: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    given: list[dict[str, Any]] = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    if "name" in parts:
        given.append({"name": "name", "valueString": parts.pop("name")})
    given += [{"name": name, "valueInteger": number} for name, number in parts.items()]
    if value is not None:
        given.append({"name": "value", **value})
    return {"name": "operation", "part": given}


def patched(resource: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    parameters = {"resourceType": "Parameters", **({"parameter": list(operations)} if operations else {})}
    assert [] == validate(parameters)
    return fhirpath_patch.read(parameters).applied(resource)


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


def identified(*values: int) -> dict[str, Any]:
    return patient(identifier=[{"system": "http://example.org", "value": f"value {value}"} for value in values])


def third() -> dict[str, Any]:
    return {"valueIdentifier": {"system": "http://example.org", "value": "value 3"}}


NAMED = {"name": {"text": "a name"}}


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [
        (patient(birthDate="1920-01-01"), [], patient(birthDate="1920-01-01")),
        (
            patient(birthDate="1920-01-01"),
            [operation("replace", "Patient.birthDate", {"valueDate": "1930-01-01"})],
            patient(birthDate="1930-01-01"),
        ),
        (patient(birthDate="1920-01-01"), [operation("delete", "Patient.birthDate")], patient()),
        (
            patient(),
            [operation("add", "Patient", {"valueDate": "1930-01-01"}, name="birthDate")],
            patient(birthDate="1930-01-01"),
        ),
        (
            patient(contact=[{**NAMED, "gender": "male"}]),
            [operation("replace", "Patient.contact[0].gender", {"valueCode": "female"})],
            patient(contact=[{**NAMED, "gender": "female"}]),
        ),
        (
            patient(contact=[{**NAMED, "gender": "male"}]),
            [operation("replace", "Patient.contact[0].name.text", {"valueString": "the name"})],
            patient(contact=[{"name": {"text": "the name"}, "gender": "male"}]),
        ),
        (
            patient(contact=[{**NAMED, "gender": "male"}]),
            [operation("delete", "Patient.contact[0].gender")],
            patient(contact=[NAMED]),
        ),
        (
            patient(contact=[{**NAMED, "gender": "male"}]),
            [operation("delete", "Patient.contact[0].name.text")],
            patient(contact=[{"gender": "male"}]),
        ),
        (
            patient(contact=[NAMED]),
            [operation("add", "Patient.contact[0]", {"valueCode": "male"}, name="gender")],
            patient(contact=[{**NAMED, "gender": "male"}]),
        ),
        (
            patient(),
            [operation("add", "Patient", {"valueCodeableConcept": {"text": "married"}}, name="maritalStatus")],
            patient(maritalStatus={"text": "married"}),
        ),
        (
            patient(maritalStatus={"id": "1", "text": "married"}),
            [operation("replace", "Patient.maritalStatus", {"valueCodeableConcept": {"id": "2", "text": "not"}})],
            patient(maritalStatus={"id": "2", "text": "not"}),
        ),
        (patient(maritalStatus={"text": "married"}), [operation("delete", "Patient.maritalStatus")], patient()),
        (
            patient(),
            [
                operation(
                    "add",
                    "Patient",
                    {"part": [{"name": "name", "valueHumanName": {"text": "a name"}}]},
                    name="contact",
                )
            ],
            patient(contact=[NAMED]),
        ),
        (patient(contact=[NAMED]), [operation("delete", "Patient.contact[0]")], patient()),
        (
            identified(1, 2),
            [
                operation("replace", "Patient.identifier[0].value", {"valueString": "value 2"}),
                operation("replace", "Patient.identifier[1].value", {"valueString": "value 1"}),
            ],
            identified(2, 1),
        ),
        (identified(1, 2), [operation("insert", "Patient.identifier", third(), index=2)], identified(1, 2, 3)),
        (identified(1, 2), [operation("insert", "Patient.identifier", third(), index=1)], identified(1, 3, 2)),
        (identified(1, 2), [operation("insert", "Patient.identifier", third(), index=0)], identified(3, 1, 2)),
        (identified(1, 2, 3), [operation("delete", "Patient.identifier[1]")], identified(1, 3)),
        (
            identified(1, 2, 3, 4),
            [operation("move", "Patient.identifier", source=3, destination=1)],
            identified(1, 4, 2, 3),
        ),
        (
            identified(1, 2, 3, 4),
            [operation("move", "Patient.identifier", source=3, destination=0)],
            identified(4, 1, 2, 3),
        ),
        (
            identified(1, 2, 3, 4),
            [operation("move", "Patient.identifier", source=1, destination=3)],
            identified(1, 3, 4, 2),
        ),
        (
            identified(1, 2, 3, 4),
            [operation("move", "Patient.identifier", source=3, destination=to) for to in range(3)],
            identified(4, 3, 2, 1),
        ),
        (patient(), [operation("add", "Patient", third(), name="identifier")], identified(3)),
        (
            patient(text={"status": "generated", "div": "<div>a</div>"}),
            [operation("replace", "Patient.text.div", {"valueString": "<div>b</div>"})],
            patient(text={"status": "generated", "div": "<div>b</div>"}),
        ),
    ],
)
def test_patch(before: dict[str, Any], operations: list[dict[str, Any]], after: dict[str, Any]) -> None:
    assert after == patched(before, *operations)


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        (patient(), operation("insert", "Patient.identifier", third(), index=0), identified(3)),
        (identified(1), operation("add", "Patient", third(), name="identifier"), identified(1, 3)),
        (patient(), operation("delete", "Patient.birthDate"), patient()),
        (
            patient(deceasedBoolean=False),
            operation("replace", "Patient.deceased", {"valueDateTime": "2026"}),
            patient(deceasedDateTime="2026"),
        ),
        (
            patient(),
            operation("add", "Patient", {"valueBoolean": True}, name="deceased"),
            patient(deceasedBoolean=True),
        ),
        (
            patient(birthDate="1950", _birthDate={"id": "a"}),
            operation("replace", "Patient.birthDate", {"valueDate": "1951"}),
            patient(birthDate="1951"),
        ),
        (
            patient(birthDate="1950"),
            operation("replace", "Patient.birthDate", {"valueDate": "1951", "_valueDate": {"id": "a"}}),
            patient(birthDate="1951", _birthDate={"id": "a"}),
        ),
        (
            patient(birthDate="1950"),
            operation(
                "add",
                "Patient.birthDate",
                {"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueBoolean": True}]},
                name="extension",
            ),
            patient(birthDate="1950", _birthDate={"extension": [{"url": "urn:x", "valueBoolean": True}]}),
        ),
        (
            patient(name=[{"given": ["A", "B"], "_given": [None, {"id": "b"}]}]),
            operation("insert", "Patient.name[0].given", {"valueString": "Z"}, index=0),
            patient(name=[{"given": ["Z", "A", "B"], "_given": [None, None, {"id": "b"}]}]),
        ),
        (
            patient(name=[{"use": "usual", "given": ["A"]}, {"use": "official", "given": ["A", "B"]}]),
            operation("delete", "Patient.name.where(use = 'official').given[1]"),
            patient(name=[{"use": "usual", "given": ["A"]}, {"use": "official", "given": ["A"]}]),
        ),
        (
            patient(extension=[{"url": "urn:x", "valueString": "a"}, {"url": "urn:y", "valueString": "b"}]),
            operation("replace", "Patient.extension('urn:y').value", {"valueCode": "c"}),
            patient(extension=[{"url": "urn:x", "valueString": "a"}, {"url": "urn:y", "valueCode": "c"}]),
        ),
        (
            patient(extension=[{"url": "urn:x", "valueQuantity": {"value": 1}}]),
            operation("replace", "Patient.extension.value.ofType(Quantity).value", {"valueDecimal": 2}),
            patient(extension=[{"url": "urn:x", "valueQuantity": {"value": 2}}]),
        ),
        (
            patient(contained=[{"resourceType": "Organization", "id": "o", "name": "A"}]),
            operation("replace", "Patient.contained.where(id = 'o').name", {"valueString": "B"}),
            patient(contained=[{"resourceType": "Organization", "id": "o", "name": "B"}]),
        ),
        (
            patient(),
            operation(
                "add",
                "Patient",
                {"resource": {"resourceType": "Organization", "id": "o", "name": "A"}},
                name="contained",
            ),
            patient(contained=[{"resourceType": "Organization", "id": "o", "name": "A"}]),
        ),
        (
            patient(),
            operation(
                "add",
                "Patient",
                {
                    "part": [
                        {"name": "relationship", "valueCodeableConcept": {"text": "a"}},
                        {"name": "relationship", "valueCodeableConcept": {"text": "b"}},
                    ]
                },
                name="contact",
            ),
            patient(contact=[{"relationship": [{"text": "a"}, {"text": "b"}]}]),
        ),
    ],
)
def test_patch_beyond_the_page(before: dict[str, Any], given: dict[str, Any], after: dict[str, Any]) -> None:
    assert after == patched(before, given)


def test_patch_takes_a_narrower_type() -> None:
    given = operation("add", "Patient.identifier.period", {"valueDate": "2021-12-01"}, name="end")
    before = patient(identifier=[{"period": {"start": "2020"}}])
    assert patient(identifier=[{"period": {"start": "2020", "end": "2021-12-01"}}]) == patched(before, given)


@pytest.mark.parametrize(
    ("before", "given"),
    [
        (
            patient(identifier=[{"value": "1"}]),
            operation("add", "Patient.identifier.period", {"valueDateTime": "2026"}, name="end"),
        ),
        (patient(active=True), operation("add", "Patient", {"valueBoolean": True}, name="active")),
        (patient(deceasedBoolean=True), operation("add", "Patient", {"valueDateTime": "2026"}, name="deceased")),
        (patient(), operation("add", "Patient", {"valueBoolean": True}, name="deceasedBoolean")),
        (patient(), operation("add", "Patient", {"valueString": "x"}, name="nickname")),
        (patient(), operation("add", "Patient", {"valueString": "true"}, name="active")),
        (patient(), operation("add", "Patient", {"valueString": "x"}, name="name")),
        (patient(), operation("add", "Patient", {"part": [{"name": "x", "valueString": "x"}]}, name="contact")),
        (
            patient(),
            operation("add", "Patient", {"part": [{"name": "gender", "valueCode": "male"}] * 2}, name="contact"),
        ),
        (patient(), operation("add", "Patient", {"resource": {"resourceType": "Patient"}}, name="contact")),
        (identified(1, 2), operation("add", "Patient.identifier", {"valueCode": "usual"}, name="use")),
        (identified(1, 2), operation("insert", "Patient.identifier", third(), index=3)),
        (identified(1, 2), operation("insert", "Patient.identifier", third(), index=-1)),
        (identified(1, 2), operation("insert", "Patient.identifier[0]", third(), index=0)),
        (patient(), operation("insert", "Patient.active", {"valueBoolean": True}, index=0)),
        (identified(1, 2), operation("delete", "Patient.identifier")),
        (identified(1, 2), operation("delete", "Patient")),
        (patient(), operation("replace", "Patient.active", {"valueBoolean": True})),
        (identified(1, 2), operation("replace", "Patient.identifier", third())),
        (patient(active=True), operation("replace", "Patient", {"resource": patient()})),
        (patient(active=True), operation("replace", "Patient.active", {"valueInteger": 1})),
        (identified(1, 2), operation("move", "Patient.identifier", source=2, destination=0)),
        (identified(1, 2), operation("move", "Patient.identifier", source=0, destination=2)),
        (identified(1, 2), operation("move", "Patient.identifier", source=-1, destination=0)),
        (identified(1, 2), operation("delete", "Patient.identifier.single()")),
        (identified(1), operation("delete", "Patient.where(identifier = 1)")),
    ],
)
def test_patch_that_does_not_fit(before: dict[str, Any], given: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        patched(before, operation("delete", "Patient.language"), given)
    place = refused.value.issues[0].expression[0]
    assert (422, True) == (refused.value.status, place.startswith("Parameters.parameter[1]"))


@pytest.mark.parametrize(
    "given",
    [
        {"name": "other", "valueCode": "a"},
        {"name": "operation", "valueCode": "a"},
        {"name": "operation", "part": [{"name": "type", "valueCode": "merge"}]},
        {"name": "operation", "part": [{"name": "type", "valueInteger": 1}]},
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]},
        operation("add", "Patient", {"valueBoolean": True}),
        operation("add", "Patient", name="active"),
        operation("insert", "Patient.identifier", third()),
        operation("move", "Patient.identifier", source=1),
        operation("delete", "Patient.identifier", index=1),
        operation("delete", "Patient.managingOrganization.resolve()"),
        operation("delete", "Patient..name"),
        operation("delete", "Patient.name["),
        operation("delete", "Patient.name.where(use"),
        operation("delete", "Patient.name.where(use = 'a"),
        operation("delete", "Patient.name.where()"),
        operation("delete", "Patient.name[0] extra"),
        operation("delete", "Patient" + ".name" * 1000),
        operation("delete", "(" * 500 + "Patient" + ")" * 500),
        {"name": "operation", "part": operation("delete", "Patient.name")["part"] * 2},
    ],
)
def test_patch_that_is_none(given: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        patched(patient(), operation("delete", "Patient.language"), given)
    place = refused.value.issues[0].expression[0]
    assert (400, True) == (refused.value.status, place.startswith("Parameters.parameter[1]"))


def test_patch_of_too_many_operations_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        patched(patient(), *[operation("delete", "Patient.language")] * 1001)
    assert 413 == refused.value.status


def test_patch_that_looks_at_too_much_is_refused() -> None:
    inner = "$this"
    for _ in range(4):
        inner = f"extension.where({inner}.extension.exists()).exists()"
    resource = patient(extension=[{"url": "urn:x", "extension": [{"url": "urn:y"}] * 100}] * 100)
    with pytest.raises(Problem) as refused:
        patched(resource, *[operation("delete", f"Patient.extension.where({inner})")] * 100)
    assert 413 == refused.value.status
