"""What two agree on is told from what goes on with it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.coordination.plan.content import AGREED, content

Json = dict[str, Any]

PLAN: Json = {
    "resourceType": "CarePlan",
    "id": "1",
    "status": "active",
    "intent": "plan",
    "subject": {"reference": "Patient/1"},
    "contributor": [{"reference": "Organization/plan"}, {"reference": "Organization/home"}],
    "goal": [{"reference": "Goal/1"}],
    "addresses": [{"reference": "Condition/1"}],
    "period": {"start": "2026-01-01"},
    "description": "Home with help",
    "activity": [{"detail": {"status": "scheduled", "code": {"text": "Aide"}, "quantity": {"value": 5}}}],
}


def detail(**more: Any) -> Json:
    return PLAN | {"activity": [{"detail": PLAN["activity"][0]["detail"] | more}]}


def test_what_goes_on_is_no_other_content() -> None:
    same = content(PLAN)
    progress = PLAN | {"activity": [PLAN["activity"][0] | {"progress": [{"text": "Begun"}]}]}
    others = [PLAN | {"status": "completed"}, PLAN | {"title": "Ours"}, PLAN | {"note": [{"text": "Seen"}]}, progress]
    assert {same} == {content(one) for one in [*others, detail(status="on-hold"), PLAN | {"meta": {"versionId": "2"}}]}


def test_each_thing_that_is_agreed_on_is_other_content() -> None:
    changed = [PLAN | {name: [{"reference": "Basic/9"}]} for name in AGREED]
    changed += [detail(quantity={"value": 6}), detail(performer=[{"reference": "Organization/home"}])]
    changed += [PLAN | {"activity": PLAN["activity"] * 2}, {name: PLAN[name] for name in PLAN if name != "goal"}]
    assert len(changed) + 1 == len({content(one) for one in [PLAN, *changed]})


@given(st.permutations(sorted(PLAN)))
def test_order_of_members_says_nothing(names: list[str]) -> None:
    assert content(PLAN) == content({name: PLAN[name] for name in names})
