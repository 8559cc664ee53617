from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.coordination import period
from server.coordination.program.kind import KINDS
from server.coordination.program.plan_definition import (
    RULE_OVERRIDE,
    RULE_PARAMETER,
    RULE_PERIOD,
    RULE_SEVERITY,
    TIME_ZONE,
    parse,
)
from server.coordination.program.programs import active
from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import BASE, IA_HCBS, Memory, limited, patient, shipped
from tests.scenarios.new_york import shipped as new_york


def day(text: str) -> int:
    return period.starts(text, "America/Chicago")


def action(plan: Resource, id: str) -> Resource:
    return next(one for one in plan["action"] if one["id"] == id)


def parameter(name: str, **value: Any) -> Resource:
    return {"url": RULE_PARAMETER, "extension": [{"url": "name", "valueCode": name}, {"url": "value", **value}]}


@pytest.mark.requirement("IA-01", "IA-02", "IA-03", "IA-04", "IA-30")
def test_parse_reads_the_shipped_program() -> None:
    program, issues = parse(shipped())
    assert [] == issues
    assert program is not None
    assert (IA_HCBS, "America/Chicago") == (program.url, program.zone)
    assert day("2025-01-01") == program.period.low
    caps = {
        rule.id: (rule.parameters["level"], rule.parameters["limit"], rule.severity)
        for rule in program.of_kind("caseload-cap")
    }
    assert {"IA-03": ("average", 45, "report"), "IA-04": ("manager", 50, "block")} == caps
    assert f"{BASE}/CodeSystem/cm-role|cbcm" == program.role
    assert "November 21, 2024" in program.rules[0].citation
    assert "latisha.mcguire@hhs.iowa.gov" == shipped()["contact"][0]["telecom"][0]["value"]


def drop(id: str, url: str) -> Callable[[Resource], None]:
    def broken(plan: Resource) -> None:
        found = action(plan, id)
        found["extension"] = [one for one in found["extension"] if one["url"] != url]

    return broken


def extend(id: str, extension: Resource) -> Callable[[Resource], None]:
    return lambda plan: action(plan, id)["extension"].append(extension)


def replace(id: str, name: str, value: Any) -> Callable[[Resource], None]:
    return lambda plan: action(plan, id).update({name: value})


@pytest.mark.parametrize(
    ("expected", "broken"),
    [
        (("required", "PlanDefinition.url"), lambda plan: plan.pop("url")),
        (("required", f"PlanDefinition.extension('{TIME_ZONE}')"), lambda plan: plan.pop("extension")),
        (
            ("value", f"PlanDefinition.extension('{TIME_ZONE}')"),
            lambda plan: plan["extension"][0].update(valueCode="Iowa"),
        ),
        (("required", "PlanDefinition.useContext"), lambda plan: plan.pop("useContext")),
        (("value", "PlanDefinition.effectivePeriod"), lambda plan: plan["effectivePeriod"].update(end="2024-01-01")),
        (("required", f"PlanDefinition.action[2].extension('{RULE_PARAMETER}')"), drop("IA-04", RULE_PARAMETER)),
        (("value", f"PlanDefinition.action[2].extension('{RULE_SEVERITY}')"), drop("IA-04", RULE_SEVERITY)),
        (
            ("not-supported", "PlanDefinition.action[2].extension[4]"),
            extend("IA-04", parameter("color", valueCode="red")),
        ),
        (("value", "PlanDefinition.action[2].extension[4]"), extend("IA-04", parameter("limit", valueString="50"))),
        (("value", "PlanDefinition.action[2].extension[4]"), extend("IA-04", parameter("limit", valueInteger=-1))),
        (
            ("code-invalid", "PlanDefinition.action[2].extension[4]"),
            extend("IA-04", parameter("counted", valueCode="some")),
        ),
        (
            ("duplicate", f"PlanDefinition.action[2].extension('{RULE_PARAMETER}')"),
            extend("IA-04", parameter("limit", valueInteger=40)),
        ),
        (("required", "PlanDefinition.action[2].id"), lambda plan: action(plan, "IA-04").pop("id")),
        (("duplicate", "PlanDefinition.action[2].id"), replace("IA-04", "id", "IA-03")),
        (("required", "PlanDefinition.action[2].documentation"), replace("IA-04", "documentation", [])),
        (("required", "PlanDefinition.action[2].code"), replace("IA-04", "code", [])),
        (
            ("code-invalid", "PlanDefinition.action[2].code"),
            replace("IA-04", "code", [{"coding": [{"system": f"{BASE}/CodeSystem/rule-kind", "code": "guess"}]}]),
        ),
        (
            ("value", "PlanDefinition.action[2].condition[0].expression"),
            replace(
                "IA-04",
                "condition",
                [{"kind": "applicability", "expression": {"language": "text/fhirpath", "expression": "a ="}}],
            ),
        ),
        (
            ("not-supported", "PlanDefinition.action[2].condition[0].expression"),
            replace(
                "IA-04", "condition", [{"kind": "start", "expression": {"language": "text/cql", "expression": "a"}}]
            ),
        ),
        (("required", "PlanDefinition.action"), lambda plan: plan["action"].pop(0)),
        (
            ("value", f"PlanDefinition.action[1].extension('{RULE_SEVERITY}')"),
            lambda plan: action(plan, "IA-03")["extension"][1].update(valueCode="block"),
        ),
    ],
)
def test_parse_names_the_place_of_what_is_malformed(
    expected: tuple[str, str], broken: Callable[[Resource], object]
) -> None:
    plan = shipped()
    broken(plan)
    program, issues = parse(plan)
    assert program is None
    assert expected in [(issue.code, *issue.expression) for issue in issues]


@pytest.mark.requirement("NY-21")
@pytest.mark.parametrize(
    ("expected", "broken"),
    [
        (("required", "trigger"), {"trigger": []}),
        (("value", ""), {"extension": [parameter("notice-text", valueString="{nobody} has changed")]}),
        (("not-supported", "extension[0]"), {"extension": [parameter("text", valueString="Changed")]}),
    ],
)
def test_parse_names_what_a_notification_lacks(expected: tuple[str, str], broken: Resource) -> None:
    plan = new_york("ny-map")
    index = next(index for index, one in enumerate(plan["action"]) if one["id"] == "NY-21-plan")
    plan["action"][index].update(broken)
    program, issues = parse(plan)
    code, place = expected
    where = f"PlanDefinition.action[{index}]" + (f".{place}" if place else "")
    assert (None, True) == (program, (code, where) in [(issue.code, *issue.expression) for issue in issues])


ODD: list[Resource] = [
    {},
    {"valueString": "x"},
    {"valueInteger": 1},
    {"valueCoding": {"display": "x"}},
    {"extension": []},
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("url", [TIME_ZONE, RULE_PERIOD, RULE_SEVERITY, RULE_OVERRIDE, RULE_PARAMETER, "name", "value"])
def test_parse_survives_whatever_an_extension_holds(url: str, odd: Resource) -> None:
    plan = shipped()
    action(plan, "IA-04")["extension"].append(
        {"url": RULE_OVERRIDE, "extension": [{"url": "role", "valueString": "x"}]}
    )

    def spoilt(node: Any) -> Any:
        if isinstance(node, list):
            return [spoilt(item) for item in node]
        if isinstance(node, dict):
            return (
                {"url": url, **odd} if node.get("url") == url else {name: spoilt(item) for name, item in node.items()}
            )
        return node

    program, issues = parse(spoilt(plan))
    assert (program is None) == bool(issues)


def test_parse_names_a_hash_that_no_text_has() -> None:
    plan = new_york("ny-map")
    (template,) = next(one for one in plan["action"] if one["id"] == "NY-06")["action"]
    for extension in template["action"][0]["extension"]:
        if extension["extension"][0]["valueCode"] == "hash":
            extension["extension"][1] = {"url": "value", "valueString": "zz"}
    program, issues = parse(plan)
    assert (None, {"value"}) == (program, {issue.code for issue in issues})


async def test_checked_refuses_an_active_program_that_is_malformed() -> None:
    memory = Memory()
    plan = shipped()
    del action(plan, "IA-04")["id"]
    with pytest.raises(Problem) as refused:
        await memory.put(plan)
    assert ("unprocessable", {"required"}) == (refused.value.kind, {issue.code for issue in refused.value.issues})
    await memory.put(plan | {"status": "draft"})
    assert "draft" == memory.get("PlanDefinition/ia-hcbs")["status"]


async def test_checked_lets_other_plan_definitions_be() -> None:
    other = {
        "resourceType": "PlanDefinition",
        "id": "opioids",
        "status": "active",
        "type": {"coding": [{"code": "eca-rule"}]},
        "action": [{"title": "Not ours"}],
    }
    memory = Memory()
    await memory.put(other)
    assert [] == list(await active(memory))


async def test_checked_refuses_two_versions_of_which_neither_is_in_force() -> None:
    memory = Memory()
    await memory.put(shipped())
    with pytest.raises(Problem) as refused:
        await memory.put(shipped() | {"id": "twin"})
    assert [("duplicate", ("PlanDefinition.version",))] == [(i.code, i.expression) for i in refused.value.issues]
    await memory.put(shipped() | {"id": "later", "version": "1.1.0"})


@pytest.mark.requirement("IA-02")
async def test_at_takes_the_latest_start_then_the_highest_version() -> None:
    memory = Memory()
    await memory.put(
        shipped(),
        limited(49, id="b", version="1.9.0"),
        limited(48, id="c", version="1.10.0"),
        limited(40, id="d", version="0.1.0", effectivePeriod={"start": "2027-01-01", "end": "2027-12-31"}),
    )
    found = await active(memory)
    versions = [found.at(IA_HCBS, day(text)) for text in ("2024-12-31", "2025-01-01", "2027-01-01", "2028-01-01")]
    assert [None, "1.10.0", "0.1.0", "1.10.0"] == [version and version.version for version in versions]
    assert "1.10.0" == found.near(IA_HCBS, day("2020-01-01")).version


async def limits(memory: Memory, *days: str) -> list[int | None]:
    found = await active(memory)
    versions = [found.at(IA_HCBS, day(text)) for text in days]
    return [
        next(v.of_kind("caseload-cap")) and [*v.of_kind("caseload-cap")][1].parameters["limit"] if v else None
        for v in versions
    ]


async def test_a_change_in_place_holds_from_its_start_and_earlier_dates_keep_the_earlier_version() -> None:
    memory = Memory()
    await memory.put(shipped())
    await memory.put(limited(40, effectivePeriod={"start": "2027-01-01"}))
    assert [None, 50, 50, 40] == await limits(memory, "2024-12-31", "2025-01-01", "2026-12-31", "2027-01-01")
    await memory.put(limited(30, version="2.0.0", effectivePeriod={"start": "2028-01-01", "end": "2028-12-31"}))
    expected = [50, 40, 30, None]
    assert expected == await limits(memory, "2026-12-31", "2027-12-31", "2028-06-01", "2029-01-01")
    versions = sorted(memory.get(one)["version"] for one in memory.versions)
    assert ["1.0.0", "1.0.0-until-2027-01-01", "2.0.0"] == versions


async def test_a_change_in_place_from_the_same_start_corrects_the_version_from_its_beginning() -> None:
    memory = Memory()
    await memory.put(shipped())
    await memory.put(limited(40))
    assert [None, 40] == await limits(memory, "2024-12-31", "2025-01-01")
    assert 1 == len(memory.versions)


async def test_a_program_that_is_retired_later_keeps_its_earlier_dates() -> None:
    memory = Memory()
    await memory.put(shipped())
    await memory.put(shipped() | {"status": "retired", "effectivePeriod": {"start": "2027-01-01"}})
    assert [50, None] == await limits(memory, "2026-12-31", "2027-01-01")


async def test_programs_are_read_again_when_their_content_changes() -> None:
    memory = Memory()
    await memory.put(limited(7))
    first = await active(memory)
    await memory.put(patient("m"))
    assert first is await active(memory)
    await memory.put(limited(8))
    assert first is not await active(memory)


def test_kinds_declare_what_they_take() -> None:
    assert all(kind.severities for kind in KINDS.values())
