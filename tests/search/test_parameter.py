from __future__ import annotations

import pytest

from server.fhir.definition import RESOURCE_TYPES, search_parameters
from server.search.extract import VERSIONED, rows
from server.search.parameter import TEXTS, Path, Step, follow, parameters, values


def test_parameters_compile_every_definition_of_every_type() -> None:
    """All 1,375 definitions, each for all its types; what is left out is left out by name."""
    definitions = {definition.url for type in RESOURCE_TYPES for definition in search_parameters(type).values()} | {
        "http://hl7.org/fhir/SearchParameter/Resource-query"
    }  # _query names operations; it has no values
    compiled = {
        search_parameters(type)[code].url
        for type in RESOURCE_TYPES
        for code, parameter in parameters(type).items()
        if parameter.paths and all(part.paths for part in parameter.components)
    }
    assert 1375 == len(definitions)
    assert {
        "http://hl7.org/fhir/SearchParameter/DomainResource-text",
        "http://hl7.org/fhir/SearchParameter/Resource-content",
        "http://hl7.org/fhir/SearchParameter/Resource-query",
    } == definitions - compiled
    assert {"_text", "_content"} == set(TEXTS)


def test_parameters_have_a_composition_for_each_composite() -> None:
    composites = [p for type in RESOURCE_TYPES for p in parameters(type).values() if p.kind == "composite"]
    assert 72 == len(composites)  # 46 definitions, two of them of 14 types
    assert all(
        len(parameter.components) == len(composition.parts) and all(composition.parts)
        for parameter in composites
        for composition in parameter.compositions
    )


def test_parameters_of_observation_read_the_indexes_of_their_parts() -> None:
    unions = {code: p.union for code, p in parameters("Observation").items() if p.union}
    assert ("Observation.code", "Observation.component-code") == unions["combo-code"]
    assert {"combo-code", "combo-value-concept", "combo-value-quantity", "combo-data-absent-reason"} < set(unions)
    assert {"combo-code-value-concept", "combo-code-value-quantity"} < set(unions)


@pytest.mark.parametrize("type", sorted(RESOURCE_TYPES))
def test_parameters_index_an_empty_resource(type: str) -> None:
    indexed = {index for index, _ in rows({"resourceType": type}, "")}
    assert ({"Patient.deceased"} if type == "Patient" else set()) == indexed
    assert set(parameters(type)) >= VERSIONED


@pytest.mark.parametrize(
    ("expression", "type", "expected"),
    [
        ("CarePlan.period", "CarePlan", [("period", "Period")]),
        ("Observation.value as Quantity", "Observation", []),
        ("(Observation.value as Quantity)", "Observation", [("valueQuantity", "Quantity")]),
        ("(Observation.value as CodeableConcept).text", "Observation", [("valueCodeableConcept.text", "string")]),
        (
            "Condition.onset.as(dateTime) | Condition.onset.as(Period)",
            "Condition",
            [("onsetDateTime", "dateTime"), ("onsetPeriod", "Period")],
        ),
        (
            "value.as(DateTime) | value.as(Period)",
            "Observation",
            [("valueDateTime", "dateTime"), ("valuePeriod", "Period")],
        ),
        ("Patient.telecom.where(system='phone')", "Patient", [("telecom", "ContactPoint")]),
        ("Questionnaire.item.code", "Questionnaire", [("item.code", "Coding")]),
        ("Resource.meta.tag", "Task", [("meta.tag", "Coding")]),
    ],
)
def test_follow_an_expression(expression: str, type: str, expected: list[tuple[str, str]]) -> None:
    if not expected:
        with pytest.raises(ValueError, match="not followed"):
            follow(expression, type)
        return
    assert expected == [(".".join(step.name for step in path.steps), path.type) for path in follow(expression, type)]


@pytest.mark.parametrize(
    "expression", ["CarePlan.nothing", "CarePlan.period.descendants()", "CarePlan.status.as(Quantity)", "CarePlan + 1"]
)
def test_follow_refuses_what_the_registry_does_not_use(expression: str) -> None:
    with pytest.raises(ValueError, match=r"CarePlan"):
        follow(expression, "CarePlan")


def test_follow_resolve_and_where() -> None:
    (path,) = follow("CarePlan.subject.where(resolve() is Patient)", "CarePlan")
    assert "Patient" == path.target
    (path,) = follow("Measure.relatedArtifact.where(type='depends-on').resource", "Measure")
    assert (Step("relatedArtifact", ("type", "depends-on")), Step("resource")) == path.steps
    (path,) = follow("Patient.deceased.exists() and Patient.deceased != false", "Patient")
    assert Path(type="boolean", exists=("deceasedBoolean", "deceasedDateTime")) == path


def test_values_skip_null_and_choose() -> None:
    patient = {"name": [{"given": ["Ada", None]}, {"family": "B"}], "telecom": [{"system": "sms"}, {"system": "email"}]}
    assert ["Ada"] == list(values(patient, (Step("name"), Step("given"))))
    assert [{"system": "email"}] == list(values(patient, (Step("telecom", ("system", "email")),)))
    assert [{"family": "B"}] == list(values(patient, (Step("name", at=1),)))
    assert [] == list(values(patient, (Step("name", at=2),)))
