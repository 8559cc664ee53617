"""The rules about agreements and leads, as a program's file may say them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.coordination.program.plan_definition import RULE_PARAMETER, parse
from server.ledger import Resource
from tests.scenarios.new_york import shipped


def action(plan: Resource, id: str) -> Resource:
    return next(one for one in plan["action"] if one["id"] == id)


@pytest.mark.requirement("NY-01")
@pytest.mark.parametrize("name", ["ny-mltcp", "ny-map"])
def test_parse_reads_the_shipped_program(name: str) -> None:
    program, issues = parse(shipped(name))
    assert [] == issues
    assert program is not None
    assert ("America/New_York", None) == (program.zone, program.role)
    assert {"agreement", "lead"} <= {rule.kind for rule in program.rules}


def without_agreement(plan: Resource) -> None:
    plan["action"].remove(action(plan, "NY-06"))


def without_template(plan: Resource) -> None:
    del action(plan, "NY-06")["action"]


def without_documents(plan: Resource) -> None:
    del action(plan, "NY-06")["action"][0]["action"]


def without_leads(plan: Resource) -> None:
    plan["action"].remove(action(plan, "NY-14"))


def with_an_unknown_placeholder(plan: Resource) -> None:
    given = [one["extension"] for one in action(plan, "NY-14")["extension"] if one["url"] == RULE_PARAMETER]
    text = next(value for name, value in given if name["valueCode"] == "lapse-text")
    text["valueString"] = "{weather}"


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        (without_agreement, "PlanDefinition.action"),
        (without_leads, "PlanDefinition.action"),
        (without_template, "PlanDefinition.action[0].action"),
        (without_documents, "PlanDefinition.action[0].action"),
        (with_an_unknown_placeholder, "PlanDefinition.action[1]"),
    ],
)
def test_parse_names_the_place_of_what_leads_cannot_be_named_by(broken: Callable[[Resource], None], place: str) -> None:
    plan = shipped("ny-map")
    broken(plan)
    program, issues = parse(plan)
    assert program is None
    assert [(place,)] == [issue.expression for issue in issues]
