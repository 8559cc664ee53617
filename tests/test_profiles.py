"""Everything in profiles/ is what it says it is, and agrees with the code that reads it."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from server.coordination import facts
from server.coordination.program import plan_definition
from server.coordination.program.kind import KINDS, Parameter
from server.fhir import body
from server.operations.registry import OPERATIONS
from server.validation.element import validate

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "profiles").glob("*.json"))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("path", [*FILES, ROOT / "examples" / "iowa-directory.json"], ids=lambda path: path.stem)
def test_profile_is_valid_to_us_and_to_the_oracle(path: Path) -> None:
    resource = body.parse(path.read_bytes()).resource
    assert [] == validate(resource)
    models = importlib.import_module(f"fhir.resources.R4B.{resource['resourceType'].lower()}")
    getattr(models, resource["resourceType"]).model_validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_profile_is_named_by_its_type_and_id_under_our_base(path: Path) -> None:
    resource = json.loads(path.read_text())
    assert f"{resource['resourceType']}-{resource['id']}" == path.stem
    assert f"{facts.BASE}/{resource['resourceType']}/{resource['id']}" == resource["url"]
    assert "1.0.0" == resource["version"]


def test_rule_kinds_are_those_that_the_code_knows() -> None:
    assert set(KINDS) == {concept["code"] for concept in read("CodeSystem-rule-kind")["concept"]}
    severities = {concept["code"] for concept in read("CodeSystem-rule-severity")["concept"]}
    assert all(set(kind.severities) <= severities for kind in KINDS.values())


ROLES = """
cbcm area-manager case-manager care-coordinator pcc nurse social-worker coordinator medical-director pcp
dementia-care-specialist single-point-of-contact lead-care-manager liaison hh-care-manager plan-care-manager
guardian-parent caregiver qi-staff state-overseer
"""


def test_roles_are_those_of_the_requirements() -> None:
    roles = read("CodeSystem-cm-role")["concept"]
    assert ROLES.split() == [concept["code"] for concept in roles]
    assert {"CBCM", "CBCCM"} == {one["value"] for one in roles[0]["designation"]}


@pytest.mark.requirement("IA-08", "IA-09")
def test_transfer_reasons_are_those_of_the_requirements() -> None:
    expected = ["area-member-needs", "area-cm-staffing", "member-request-conflict-or-grievance", "ratio-realignment"]
    assert expected == [concept["code"] for concept in read("CodeSystem-ia-transfer-reason")["concept"]]


@pytest.mark.requirement("IA-07")
def test_transfer_steps_and_states_are_those_of_the_requirements() -> None:
    assert list("12345") == [concept["code"] for concept in read("CodeSystem-ia-transfer-step")["concept"]]
    states = """
    requested planned internal-notified file-access-granted member-introduced letter-sent contacts-scheduled
    providers-notified completed
    """
    assert states.split() == [concept["code"] for concept in read("CodeSystem-ia-transfer-state")["concept"]]


@pytest.mark.requirement("IA-16", "IA-21")
def test_considerations_and_modes_are_those_of_the_requirements() -> None:
    considerations = ["member-need-continuity", "cm-location", "long-term-relationship", "provider-location"]
    assert considerations == [one["code"] for one in read("CodeSystem-ia-reassign-consideration")["concept"]]
    modes = ["in-person-both", "phone-both", "phone-notice-current-cm"]
    assert modes == [one["code"] for one in read("CodeSystem-ia-handoff-mode")["concept"]]


@pytest.mark.requirement("NY-01", "NY-15")
def test_new_york_has_two_kinds_of_plan_and_three_needs() -> None:
    programs = {concept["code"] for concept in read("CodeSystem-cm-program")["concept"]}
    assert {"ny-mltcp", "ny-map", "ny-health-home"} <= programs
    assert ["ltss", "behavioral-health", "other"] == [
        one["code"] for one in read("CodeSystem-ny-primary-need")["concept"]
    ]


@pytest.mark.requirement("ADJ-05")
def test_new_york_segments_end_by_the_codes_that_were_readable() -> None:
    assert list("123457") == [concept["code"] for concept in read("CodeSystem-ny-segment-end")["concept"]]


@pytest.mark.requirement("NY-18")
def test_new_york_meetings_have_four_goals() -> None:
    expected = ["team-approach", "avoid-duplication", "outcomes", "qi"]
    assert expected == [concept["code"] for concept in read("CodeSystem-ny-meeting-goal")["concept"]]


@pytest.mark.requirement("NY-07", "ADJ-10")
@pytest.mark.parametrize("program", ["ny-mltcp", "ny-map"])
def test_new_york_programs_have_the_hashes_of_the_texts_that_stand_in(program: str) -> None:
    rule = next(one for one in read(f"PlanDefinition-{program}")["action"] if one["id"] == "NY-06")
    documents = rule["action"][0]["action"]
    expected = [
        base64.b64encode(hashlib.sha1((ROOT / "examples" / name).read_bytes()).digest()).decode()
        for name in ("ny-asa.txt", "ny-statement-and-certification.txt")
    ]
    assert expected == [one["extension"][0]["extension"][1]["valueString"] for one in documents]


@pytest.mark.parametrize(
    "url",
    [
        *(
            plan_definition.TIME_ZONE,
            plan_definition.RULE_PERIOD,
            plan_definition.RULE_SEVERITY,
            plan_definition.RULE_OVERRIDE,
            plan_definition.RULE_PARAMETER,
        ),
        *(facts.PROGRAM_EXTENSION, facts.ENTERED_IN_ERROR),
    ],
)
def test_extensions_that_the_code_reads_are_defined(url: str) -> None:
    elements = read(f"StructureDefinition-{url.rpartition('/')[2]}")["differential"]["element"]
    assert [url] == [element["fixedUri"] for element in elements if element["path"] == "Extension.url"]


@pytest.mark.requirement("IA-25")
def test_directory_names_whom_to_call_at_each_plan() -> None:
    entries = json.loads((ROOT / "examples" / "iowa-directory.json").read_text())["entry"]
    services = [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "HealthcareService"]
    maps = "https://www.provider.wellpoint.com/docs/gpp/IA_WLP_CAID_LTSSRegionalManagerMap.pdf?v=202402052232"
    assert {
        "Iowa Total Care": [
            "itc_ltss@iowatotalcare.com",
            "1-833-404-1061",
            "https://www.iowatotalcare.com/territory-maps.html",
        ],
        "Molina Healthcare of Iowa": ["IA_CM@molinahealthcare.com", "1-844-236-0894", "https://molinahealthcare.com"],
        "Wellpoint Iowa": ["LTSS_Iowa@elevancehealth.com", "1-833-731-2140", maps],
    } == {one["providedBy"]["display"]: [point["value"] for point in one["telecom"]] for one in services}
    phone = services[0]["telecom"][1]
    assert [("http://hl7.org/fhir/StructureDefinition/contactpoint-extension", "press 1, then 6")] == [
        (extension["url"], extension["valueString"]) for extension in phone["extension"]
    ]
    assert "LTSS Supervisor Map Updated October 2024" in services[1]["extraDetails"]


def test_operations_are_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for code, operation in OPERATIONS.items():
        assert f"${code}" in text
        for parameter in operation.definition["parameter"]:
            assert f"`{parameter['name']}`" in text, f"${code} {parameter['name']}"


def test_rule_kinds_are_documented_with_each_parameter() -> None:
    lines = (ROOT / "docs" / "programs.md").read_text().splitlines()
    for name, kind in KINDS.items():
        for parameter, declared in kind.parameters.items():
            assert _row(f"`{name}`", parameter, declared) in lines
        for level in kind.levels:
            for parameter, declared in level.parameters.items():
                assert _row(f"`{name}`, {level.name}", parameter, declared) in lines


def _row(kind: str, name: str, declared: Parameter) -> str:
    often = f"{int(declared.required)}..{'*' if declared.repeats else 1}"
    default = "" if declared.default is None else f"`{json.dumps(declared.default).strip(chr(34))}`"
    return f"| {kind} | `{name}` | {declared.type} | {often} | {default} |"
