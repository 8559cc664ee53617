"""Offer: whatever happens in whatever order, who is eligible has one offer, which only an answer or its grounds end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import Memory, coding, organization, patient
from tests.scenarios.new_york import HOME, PLAN, enrolled, shipped

MEMBER = "Patient/m"
OFFER = "health-home-offer"
ENDS = {"active": None, "finished": "2026-01-31", "cancelled": None}
STEPS = st.one_of(
    st.tuples(st.just("ny-mltcp"), st.sampled_from(sorted(ENDS))),
    st.tuples(st.just("ny-health-home"), st.sampled_from(sorted(ENDS))),
    st.tuples(st.sampled_from(["first", "second"]), st.sampled_from([True, False, "entered-in-error"])),
    st.tuples(st.just("answer"), st.sampled_from(["permit", "deny", "none"])),
)


class World:
    """One member, with what is known of them and what was offered."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.number = 0
        self.plan = self.home = ""
        self.evidence: dict[str, Any] = {}

    async def begin(self) -> None:
        parties = [organization(one.partition("/")[2]) for one in (PLAN, HOME)]
        await self.memory.put(shipped("ny-mltcp"), *parties, patient("m"))

    async def do(self, what: str, how: Any) -> None:
        if what == "answer":
            await self.answer(how)
        elif what in {"first", "second"}:
            await self.memory.put(observation(what, how))
            self.evidence[what] = how
        else:
            at = PLAN if what == "ny-mltcp" else HOME
            try:
                await self.memory.put(enrolled(MEMBER, what, at, end=ENDS[how], status=how))
            except Problem:  # who declined is in no Health Home
                return
            if what == "ny-mltcp":
                self.plan = how
            else:
                self.home = how

    async def answer(self, how: str) -> None:
        """Complete the open offer with a Consent, which is refused without one."""
        for task in self.offers("requested"):
            self.number += 1
            consent = f"c{self.number}"
            given = [{"type": {"text": "answer"}, "valueReference": {"reference": f"Consent/{consent}"}}]
            ended = {**task, "status": "completed", "output": given, "statusReason": {"text": "Said so"}}
            if how == "none":
                with pytest.raises(Problem):
                    await self.memory.put(ended)
            else:
                await self.memory.put(decision(consent, how, self.number), ended)

    def offers(self, *statuses: str) -> list[Resource]:
        tasks = [self.memory.get(one) for one, version in self.memory.versions.items() if version.type == "Task"]
        codes = [(task["code"]["coding"][0]["code"], task) for task in tasks]
        return [task for code, task in codes if code == OFFER and task["status"] in statuses]

    @property
    def is_due(self) -> bool:
        """By the plain words: in the plan, eligible by the latest evidence, and in no Health Home."""
        known = [how for _, how in sorted(self.evidence.items()) if how != "entered-in-error"]
        return self.plan == "active" and known[-1:] == [True] and self.home != "active"


def observation(id: str, how: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "entered-in-error" if how == "entered-in-error" else "final",
        "code": coding("cm-evidence", "health-home-eligible"),
        "subject": {"reference": MEMBER},
        "effectiveDateTime": "2026-01-01" if id == "first" else "2026-02-01",
        "valueBoolean": how is True,
    }


def decision(id: str, type: str, number: int) -> Resource:
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "category": [coding("cm-consent", "health-home")],
        "patient": {"reference": MEMBER},
        "performer": [{"reference": MEMBER}],
        "dateTime": f"2026-03-01T00:00:{number:02}Z",
        "provision": {"type": type},
    }


@pytest.mark.requirement("NY-03")
@given(st.lists(STEPS, max_size=12))
@settings(max_examples=150)
def test_who_is_eligible_has_one_offer_and_who_is_not_has_none_open(steps: list[tuple[str, Any]]) -> None:
    async def check() -> None:
        world = World()
        await world.begin()
        for step in steps:
            await world.do(*step)
            opened, answered = world.offers("requested"), world.offers("completed")
            assert len(opened) == (1 if world.is_due and not answered else 0), step

    asyncio.run(check())
