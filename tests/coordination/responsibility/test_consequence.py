"""Whatever is written in whatever order: the issues that are kept are what a check finds, or somebody resolved them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination.responsibility.check import When
from server.coordination.responsibility.detected_issue import issues_of, judged, task_of
from server.ledger import Resource, micros
from tests.coordination.memory import NOW, Memory, organization, patient
from tests.scenarios.new_york import HAL, HOME, MEMBER, PAT, PLAN, asa, enrolled, manager, shipped
from tests.scenarios.new_york_care import appendix, ordered, planned, visit

BY = (PAT, HAL, HOME, None)
DAYS = ("2026-02-01", "2026-03-01", "2026-03-09")

Step = Callable[[Memory], list[Resource | str]]


def written(*resources: Resource | str) -> Step:
    return lambda memory: list(resources)


def settled(memory: Memory) -> list[Resource | str]:
    """Somebody ends the first Task that is open."""
    tasks = (memory.get(one) for one in sorted(memory.versions) if one.startswith("Task/"))
    return [{**next(one for one in tasks if one["status"] == "requested"), "status": "completed"}]


def gone(id: str) -> Step:
    return lambda memory: [id] if (one := memory.versions.get(id)) and one.body else [patient("m1")]


def _settles(memory: Memory) -> list[Resource | str]:
    try:
        return settled(memory)
    except StopIteration:
        return [patient("m1")]


def table(whose: str | None) -> Resource:
    return asa(term=appendix(("personal-care", "in-plan", whose), code="appendix-a")) if whose else asa()


IDS, KINDS = st.sampled_from("abc"), st.sampled_from(["personal-care", "behavioral-health", None])
STEPS = st.one_of(
    st.builds(lambda id, kind, by: written(ordered(id, kind, by)), IDS, KINDS, st.sampled_from(BY)),
    st.builds(
        lambda id, by, day: written(visit(f"v{id}", by, day)), IDS, st.sampled_from((PLAN, HOME)), st.sampled_from(DAYS)
    ),
    st.builds(
        lambda by, kind: written(planned("plan", by, kind)), st.sampled_from((PLAN, HOME)), st.just("personal-care")
    ),
    st.builds(lambda id: gone(f"ServiceRequest/{id}"), IDS),
    st.builds(lambda whose: written(table(whose)), st.sampled_from((PLAN, HOME, None))),
    st.builds(
        lambda end: written(enrolled(MEMBER, "ny-health-home", HOME, end=end, status="finished" if end else "active")),
        st.sampled_from(("2026-03-01", None)),
    ),
    st.just(_settles),
)


async def replayed(steps: list[Step]) -> None:
    memory = Memory()
    people = [*manager(PAT, PLAN), *manager(HAL, HOME), organization("plan"), organization("home")]
    await memory.put(shipped("ny-mltcp"), *people, asa())
    await memory.put(patient("m1"), enrolled(MEMBER, "ny-mltcp", PLAN), enrolled(MEMBER, "ny-health-home", HOME))
    for step in steps:
        await memory.put(*step(memory))
        found = {one["id"]: one for one in issues_of(await judged(memory, [MEMBER], When(micros(NOW))))}
        kept = {
            name.partition("/")[2]: memory.get(name) for name in memory.versions if name.startswith("DetectedIssue/")
        }
        assert found.keys() <= kept.keys()
        for id, issue in kept.items():
            check(issue, found.get(id), memory.get(f"Task/{task_of(id)}"))


def check(issue: Resource, found: Resource | None, task: Resource) -> None:
    """An issue that is open is what is found, with an open Task; one that is over is not found, or was resolved."""
    actions = [one["action"]["coding"][0]["code"] for one in issue.get("mitigation", ())]
    if actions and actions[-1] == "resolved":
        assert (found, "completed") == (None, task["status"])
    elif actions:
        assert found is not None
        items = [{one["reference"] for one in each["implicated"]} for each in (found, issue)]
        assert items[0] <= items[1]
        assert "completed" == task["status"]
    else:
        assert found is not None
        same = ("code", "implicated", "evidence", "detail", "reference", "extension")
        assert [found[name] for name in same] == [issue[name] for name in same]
        assert "requested" == task["status"]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=14))
def test_issues_that_are_kept_are_those_that_are_found(steps: list[Step]) -> None:
    asyncio.run(replayed(steps))
