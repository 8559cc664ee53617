"""Whatever is agreed on, by whom and in whatever order: who led when is what a naive replay of the agreements says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination.assignment import assignment
from server.coordination.facts import Designation
from server.coordination.lead.request import Wanted, answered, open_proposal, proposed
from server.coordination.lead.terms import every, leading, leads
from server.coordination.lead.who import lead
from server.coordination.program.programs import active
from server.ledger import Plan, Resource, View, micros
from server.outcome import Problem
from tests.coordination.memory import BASE, Memory, coding, patient
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    NEW_YORK,
    PAT,
    PLAN,
    asa,
    enrolled,
    form,
    manager,
    organization,
    shipped,
)

START = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)  # noon in New York
FIRST = date(2026, 1, 1)
DAYS = 200  # from the first on


async def new_york() -> Memory:
    memory = Memory(START)
    people = [*manager(PAT, PLAN), *manager(HAL, HOME)]
    await memory.put(shipped("ny-map"), organization(PLAN), organization(HOME), *people, asa())
    await memory.put(patient("m1"), enrolled(MEMBER, "ny-map", PLAN), enrolled(MEMBER, "ny-health-home", HOME))
    return memory


async def agree(memory: Memory, number: int, who: str, effective: str | None) -> Designation:
    """Propose and accept; the designation as it is then."""
    id, answer = f"t{number}", {"resourceType": "QuestionnaireResponse", "id": f"f{number}"}
    await memory.put(form(who) | answer)
    needs = (coding("ny-primary-need", "behavioral-health"),)
    wanted = Wanted(MEMBER, who, needs, f"QuestionnaireResponse/f{number}", effective)

    async def opening(view: View) -> Plan:
        return Plan([proposed(wanted, id)])

    async def accepting(view: View) -> Plan:
        task, _ = await open_proposal(view, f"Task/{id}")
        return Plan([answered(task, "accept", None)])

    async def withdrawing(view: View) -> Plan:
        task, _ = await open_proposal(view, f"Task/{id}")
        return Plan([answered(task, "withdraw", None)])

    await memory.commit(opening)
    try:
        await memory.commit(accepting)
    except Problem:
        await memory.commit(withdrawing)
        raise
    rows = (await memory.facts("designation", [f"Task/{id}"]))[f"Task/{id}"]
    return Designation.of(rows[0])


class Told(list[tuple[datetime, str | None]]):
    """From when on who leads; and the end of the enrolment that is on file, which has not come yet."""

    until: datetime | None = None

    def lapse(self, at: datetime) -> None:
        """The member is with both no more: whoever was to come is not."""
        if any(who for _, who in self):
            self[:] = [one for one in self if one[0] <= at]
            self.append((at, None))
        self.until = None


def replayed(told: Told, at: datetime) -> str | None:
    """The agreement that began last, of those in their order; a later word on the same time takes its place."""
    if told.until and at >= told.until:
        return None
    held: str | None = None
    began: datetime | None = None
    for since, who in told:
        if since <= at and (began is None or since >= began):
            began, held = since, who
    return held


Step = tuple[str, str, int | None, int]


def steps() -> st.SearchStrategy[list[Step]]:
    """(what, who, effective in days from today, how many days pass afterwards)."""
    what = st.sampled_from(["agree"] * 6 + ["end", "end", "return", "leave", "close", "open", "move", "hold"])
    effective = st.one_of(st.none(), st.integers(-20, 20))
    return st.lists(st.tuples(what, st.sampled_from([HAL, PAT]), effective, st.integers(0, 6)), max_size=8)


@pytest.mark.requirement("NY-20")
@settings(max_examples=60)
@given(steps())
def test_lead_at_any_instant_is_what_a_replay_of_the_agreements_says(told: list[Step]) -> None:
    asyncio.run(_compared(told))


async def _compared(drawn: Sequence[Step]) -> None:
    memory, told = await new_york(), Told()
    for number, (what, who, offset, passes) in enumerate(drawn):
        with suppress(Problem):
            if what == "agree":
                await _agreed(memory, told, number, who, offset)
            else:
                await _moved(memory, told, what, abs(offset or 0))
        await _check(memory, told)
        memory.now += timedelta(days=passes, hours=1)
        if told.until and told.until <= memory.now:
            told.lapse(told.until)


async def _agreed(memory: Memory, told: Told, number: int, who: str, offset: int | None) -> None:
    today = memory.now.astimezone(NEW_YORK).date()
    effective = None if offset is None else today + timedelta(days=offset)
    await agree(memory, number, who, effective and effective.isoformat())
    since = memory.now if effective is None else midnight(effective)
    told[:] = [one for one in told if one[0] < since]  # what was to come gives way
    told.append((since, who))


async def _moved(memory: Memory, told: Told, what: str, days: int) -> None:
    """The member leaves the Health Home, which lets the lead lapse as its closing does, or what is no disenrollment."""
    home = organization(HOME) | {"active": what != "close"}
    last = memory.now.astimezone(NEW_YORK).date() + timedelta(days=days) if what == "end" else None
    until = told.until
    await memory.put(home if what in {"close", "open"} else _segment(what, last))
    if what in {"leave", "close"}:
        told.lapse(memory.now)
    if what == "close":
        told.until = until
    elif what != "open":
        told.until = midnight(last + timedelta(days=1)) if last else None


def _segment(what: str, last: date | None) -> Resource:
    """`move` is an end by code 3, to another agency of the same Health Home; `last` is the last day."""
    status = {"leave": "cancelled", "move": "cancelled", "hold": "onhold"}.get(what, "active")
    code = coding("ny-segment-end", "3")
    ended = [{"url": f"{BASE}/StructureDefinition/segment-end", "valueCodeableConcept": code}]
    more = {"extension": ended} if what == "move" else {}
    return enrolled(MEMBER, "ny-health-home", HOME, end=last and last.isoformat(), status=status, **more)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


async def _check(memory: Memory, told: Told) -> None:
    """At each noon one lead at most, and the one that was agreed on."""
    programs = await active(memory)
    member = (await assignment.members(memory, [MEMBER]))[MEMBER]
    terms = next(every(programs, micros(memory.now)))
    for offset in range(DAYS):
        at = datetime(2026, 1, 1, 12, 30, tzinfo=NEW_YORK) + timedelta(days=offset)
        instant = micros(at)
        there = [leading(one, terms.zone) for one in leads(member, terms)]
        assert len([one for one in there if one.low <= instant < one.high]) in (0, 2)
        found = await lead(memory, MEMBER, at.isoformat(), micros(memory.now))
        assert replayed(told, at) == (found.role if found else None), at
