"""Expiry: an agreement's end shows ahead of time, as a Task for each of the two organizations.

https://hl7.org/fhir/R4/task-definitions.html#Task.restriction

The Task is there as long as the agreement has an end; its time (restriction.period) begins so many days before it. It
is completed by the commit that brings the next agreement of the two, and is to be done again if that one is withdrawn.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.agreement.agreement import EXECUTED, is_in_force, rule_of
from server.coordination.facts import DESIGNATION_TERM, OPEN, Agreement, literal, tokens
from server.coordination.handoff.transfer import concept, put
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED
from server.ledger import Change, Context, Fact, Resource, View, micros

EXPIRY = f"{facts.TASK}|agreement-expiry"
RENEWAL = f"{DESIGNATION_TERM}|agreement"  # the type of Task.output: the agreement that goes on where this one ends


class _Due(NamedTuple):
    """What is to be seen to by one organization as an agreement ends: nothing where it has no `restriction`."""

    contract: str
    organization: str
    is_written: bool  # by this commit: what is not is only told apart by whether it is renewed
    others: str = ""
    restriction: dict[str, str] | None = None  # from so many days before its last day to that day
    renewals: tuple[str, ...] = ()  # the agreements that go on where this one ends

    @property
    def task(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{EXPIRY} {self.contract} {self.organization}"))


async def tasks(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """Further changes: the Tasks of these Contracts, and of others of the same two, that are to say something else."""
    if context.override is AS_RECORDED:
        return []
    now = micros(context.now)
    written = [change.reference for change in changes]
    were, are = [_known(await view.facts("agreement", written)) for view in (before, after)]
    organizations = {each for some in (were, are) for one in some.values() for each in one.organizations}
    known = _known(await after.facts("agreement", sorted(organizations)))
    near = [programs.near(url, now) for url in programs]
    due = [*_left(were, are), *_of(were, are, known.values(), near, now)]
    stored = await read_many(after, [f"Task/{one.task}" for one in due])
    return [change for one in due if (change := _change(one, stored.get(f"Task/{one.task}"), now))]


def _known(rows: Mapping[str, Sequence[Fact]]) -> dict[str, Agreement]:
    return {fact.source: Agreement.of(fact) for found in rows.values() for fact in found}


def _left(were: Mapping[str, Agreement], are: Mapping[str, Agreement]) -> Iterator[_Due]:
    """Whom a Contract names no more, and of one that is deleted everybody."""
    for contract, one in were.items():
        still = are[contract].organizations if contract in are else []
        yield from (_Due(contract, each, True) for each in one.organizations if each not in still)


def _of(
    were: Mapping[str, Agreement],
    are: Mapping[str, Agreement],
    known: Collection[Agreement],
    programs: Sequence[Program],
    now: int,
) -> Iterator[_Due]:
    """Of the Contracts that are written, and of those that they may renew."""
    concerned = {frozenset(one.organizations) for one in (*were.values(), *are.values())}
    for one in known:
        if (parties := frozenset(one.organizations)) in concerned:
            beside = [other for other in known if other != one and parties == set(other.organizations)]
            restriction, renewals = _restriction(one, programs), _renewals(one, beside, programs, now)
            for each in one.organizations:
                others = " and ".join(other for other in one.organizations if other != each)
                yield _Due(one.contract, each, one.contract in are, others, restriction, renewals)


def _restriction(one: Agreement, programs: Sequence[Program]) -> dict[str, str] | None:
    """When it is to be seen to: from so many days before its last day to that day."""
    ruled = [(program, days) for program in programs if (days := _days(program, one)) is not None]
    if not ruled or one.end is None or one.status != EXECUTED:
        return None
    program, days = ruled[0]
    last = _last(one, program)
    return {"start": (last - timedelta(days=days)).isoformat(), "end": last.isoformat()}


def _last(one: Agreement, program: Program) -> date:
    return period.day(period.ends(one.end, program.zone) - 1, program.zone)


def _days(program: Program, one: Agreement) -> int | None:
    rule = rule_of(program)
    found: int | None = rule.parameters["expiry-days"] if rule and rule.parameters["type"] in one.types else None
    return found


def _renewals(one: Agreement, beside: Sequence[Agreement], programs: Sequence[Program], now: int) -> tuple[str, ...]:
    """Which go on, by each program that it is for: on the day after its last, or now where that is past."""
    if one.end is None:
        return ()
    own = [program for program in programs if is_in_force(one, program, period.ends(one.end, program.zone) - 1)]
    return tuple(other.contract for other in beside if own and all(_renews(other, one, by, now) for by in own))


def _renews(other: Agreement, one: Agreement, program: Program, now: int) -> bool:
    after = period.ends(_last(one, program).isoformat(), program.zone)
    return any(is_in_force(other, program, at) for at in (after, max(after, now)))


def _change(due: _Due, stored: Resource | None, now: int) -> Change | None:
    """The Task as it is to be; one that is renewed from the first on is there as well, to be opened again."""
    if due.restriction is None:
        return put({**stored, "status": "cancelled"}) if stored and stored["status"] in OPEN else None
    is_other = due.is_written and not (stored and _stands(stored, due.restriction))
    is_anew = is_other or not _renewing(stored) <= set(due.renewals)
    task = _task(due, due.restriction, now) if is_anew else stored
    if task and due.renewals and task["status"] in OPEN:
        task = _completed(task, due.renewals[0])
    return put(task) if task and task is not stored else None


def _stands(task: Resource, restriction: dict[str, str]) -> bool:
    """True of what says so already, done or not."""
    return bool(task["status"] != "cancelled" and task.get("restriction", {}).get("period") == restriction)


def _renewing(task: Resource | None) -> set[str]:
    """The agreement by which a Task was completed; nothing of what was not, or by somebody."""
    found = task.get("output", ()) if task and task["status"] == "completed" else ()
    links = [literal(one.get("valueReference")) for one in found if RENEWAL in tokens([one["type"]])]
    return set(filter(None, links))


def _completed(task: Resource, renewal: str) -> Resource:
    output = {"type": concept(RENEWAL), "valueReference": {"reference": renewal}}
    return {**task, "status": "completed", "output": [*task.get("output", ()), output]}


def _task(due: _Due, restriction: dict[str, str], now: int) -> Resource:
    return {
        "resourceType": "Task",
        "id": due.task,
        "status": "requested",
        "intent": "order",
        "code": concept(EXPIRY),
        "description": f"The agreement with {due.others} ends on {restriction['end']}: renew it, or let it end",
        "focus": {"reference": due.contract},
        "authoredOn": period.text(now, "UTC"),
        "owner": {"reference": due.organization},
        "restriction": {"period": restriction},
    }
