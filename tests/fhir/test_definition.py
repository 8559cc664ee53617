"""R4's own facts, against what the specification prints and against HL7's definitions where Maven has them."""

import runpy
from pathlib import Path

import pytest

from server.fhir import definition
from server.fhir.definition import RESOURCE_TYPES, Component, compartment, elements, kind, search_parameters, value_set

MAKE = runpy.run_path(str(Path(__file__).parents[2] / "scripts/make_r4.py"))


@pytest.mark.skipif(not MAKE["JAR"].exists(), reason="HL7's definitions are not in the local Maven repository")
def test_table_equals_a_fresh_generation() -> None:
    stale = [path.name for path, text in MAKE["files"](MAKE["jar"]()) if path.read_text("utf-8") != text]
    assert [] == stale


def test_resource_types_are_the_concrete_ones() -> None:
    codes = value_set("http://hl7.org/fhir/ValueSet/resource-types")["http://hl7.org/fhir/resource-types"]
    assert codes - {"Resource", "DomainResource"} == RESOURCE_TYPES
    assert 146 == len(RESOURCE_TYPES)


def test_elements_of_a_resource_begin_with_the_inherited_ones() -> None:
    names = list(elements("CarePlan"))
    inherited = ["id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"]
    assert [*inherited, "identifier"] == names[:9]
    assert "note" == names[-1]


def test_elements_of_a_required_code() -> None:
    status = elements("CarePlan")["status"]
    assert (("code",), 1, 1, True) == (status.types, status.min, status.max, status.summary)
    assert status.codes is not None
    assert {"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"} == set(status.codes)


def test_elements_of_a_reference_name_their_targets() -> None:
    assert ("Group", "Patient") == elements("CarePlan")["subject"].targets
    assert ("Resource",) == elements("CarePlan")["supportingInfo"].targets
    assert ("Resource",) == elements("Extension")["valueReference"].targets


def test_elements_of_a_choice_stand_once_a_type() -> None:
    scheduled = {name: row.types for name, row in elements("CarePlan.activity.detail").items() if row.choice}
    expected = {
        "scheduledTiming": ("Timing",),
        "scheduledPeriod": ("Period",),
        "scheduledString": ("string",),
        "productCodeableConcept": ("CodeableConcept",),
        "productReference": ("Reference",),
    }
    assert expected == scheduled


def test_elements_of_a_content_reference_are_the_referred_ones() -> None:
    assert ("Questionnaire.item",) == elements("Questionnaire.item")["item"].types


def test_elements_of_a_simple_quantity_keep_its_profile() -> None:
    quantity = elements("CarePlan.activity.detail")["quantity"]
    assert (("Quantity",), "SimpleQuantity") == (quantity.types, quantity.profile)


def test_elements_that_are_bound_have_codes_unless_the_system_is_not_hl7s() -> None:
    table = {row.binding: row.codes for name in definition._table("elements") for row in elements(name).values()}
    expected = {
        "http://hl7.org/fhir/ValueSet/currencies",  # ISO 4217
        "http://hl7.org/fhir/ValueSet/mimetypes",  # BCP 13
        "http://hl7.org/fhir/ValueSet/ucum-units",
        "http://loinc.org/vs/LL379-9",
    }
    assert expected == {url for url, codes in table.items() if url and not codes}


def test_elements_lead_only_to_known_types() -> None:
    table = definition._table("elements")
    assert set() == {row.types for name in table for row in elements(name).values() if row.types[0] not in table}


def test_elements_of_an_unknown_type() -> None:
    with pytest.raises(KeyError):
        elements("CarePlans")


@pytest.mark.parametrize(
    ("type_name", "code", "expression"),
    [
        ("CarePlan", "date", "CarePlan.period"),
        ("RiskAssessment", "date", "(RiskAssessment.occurrence as dateTime)"),
        ("DocumentManifest", "identifier", "DocumentManifest.masterIdentifier | DocumentManifest.identifier"),
        ("AllergyIntolerance", "code", "AllergyIntolerance.code | AllergyIntolerance.reaction.substance"),
        ("InsurancePlan", "name", "InsurancePlan.name | InsurancePlan.alias"),
        ("CarePlan", "_tag", "Resource.meta.tag"),
        ("CarePlan", "_text", ""),
    ],
)
def test_search_parameters_of_a_type(type_name: str, code: str, expression: str) -> None:
    assert expression == search_parameters(type_name)[code].expression


def test_search_parameters_lead_only_where_their_expression_does() -> None:
    assert ("Patient",) == search_parameters("CarePlan")["patient"].target
    assert ("Group", "Patient") == search_parameters("CarePlan")["subject"].target
    assert ("Resource",) == search_parameters("Task")["focus"].target


def test_search_parameters_of_a_composite_name_their_components() -> None:
    components = search_parameters("Observation")["code-value-quantity"].component
    assert (Component("code", "code"), Component("value-quantity", "value.as(Quantity)")) == components


def test_search_parameters_begin_at_their_base() -> None:
    astray = [
        (type_name, code)
        for type_name in RESOURCE_TYPES
        for code, parameter in search_parameters(type_name).items()
        for part in filter(None, parameter.expression.split(" | "))
        if part.lstrip("(").partition(".")[0] != parameter.base[0]
    ]
    assert [] == astray


def test_search_parameters_of_a_resource_without_narrative() -> None:
    assert "_text" not in search_parameters("Binary")
    assert "_lastUpdated" in search_parameters("Binary")


def test_compartment_of_a_patient() -> None:
    assert ("patient", "performer") == compartment("Patient")["CarePlan"]
    assert set(compartment("Patient")) < RESOURCE_TYPES


def test_compartment_names_only_search_parameters() -> None:
    unknown = [
        (code, type_name, parameter)
        for code in ("Patient", "Practitioner", "RelatedPerson", "Device", "Encounter")
        for type_name, parameters in compartment(code).items()
        for parameter in parameters
        if parameter not in search_parameters(type_name)
    ]
    assert [] == unknown


def test_kind() -> None:
    assert ["resource", "complex-type", "primitive-type", ""] == [
        kind(name) for name in ("CarePlan", "HumanName", "code", "CarePlan.activity")
    ]
