"""Expiry: an agreement's end shows ahead of time, as a Task for each of the two organizations.

https://hl7.org/fhir/R4/task-definitions.html#Task.restriction

The Task is there as long as the agreement has an end; its time (restriction.period) begins so many days before it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from server.coordination import facts, period
from server.coordination.agreement.agreement import EXECUTED, rule_of
from server.coordination.facts import OPEN, Agreement
from server.coordination.handoff.transfer import concept, put
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.coordination.stored import read
from server.coordination.write import AS_RECORDED
from server.ledger import Change, Context, Fact, Resource, View, micros

EXPIRY = f"{facts.TASK}|agreement-expiry"


async def tasks(context: Context, changes: Sequence[Change], after: View, programs: Programs) -> list[Change]:
    """Further changes: the Tasks of these Contracts that are new or other ones, or are not needed any more."""
    if context.override is AS_RECORDED:
        return []
    now = micros(context.now)
    found: list[Change] = []
    for change in changes:
        own = change.reference
        rows = (Fact(*row, own) for row in change.facts or () if row[:2] == ("agreement", own))
        written = next(map(Agreement.of, rows), None)
        if written:
            found += await _of(after, written, programs, now)
    return found


async def _of(after: View, written: Agreement, programs: Programs, now: int) -> list[Change]:
    restriction = _restriction(written, programs, now)
    found = []
    for organization in written.organizations:
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{EXPIRY} {written.contract} {organization}"))
        stored = await read(after, f"Task/{id}")
        if stored and restriction is None and stored["status"] in OPEN:
            found.append(put({**stored, "status": "cancelled"}))
        elif restriction and not (stored and _stands(stored, restriction)):
            found.append(put(_task(id, written, organization, restriction, now)))
    return found


def _stands(task: Resource, restriction: dict[str, str]) -> bool:
    """True of what says so already, done or not."""
    return bool(task["status"] != "cancelled" and task.get("restriction", {}).get("period") == restriction)


def _restriction(written: Agreement, programs: Programs, now: int) -> dict[str, str] | None:
    """When it is to be seen to: from so many days before its last day to that day."""
    near = (programs.near(url, now) for url in programs)
    ruled = [(program, days) for program in near if (days := _days(program, written)) is not None]
    if not ruled or written.end is None or written.status != EXECUTED:
        return None
    program, days = ruled[0]
    last = period.day(period.ends(written.end, program.zone) - 1, program.zone)
    return {"start": (last - timedelta(days=days)).isoformat(), "end": last.isoformat()}


def _days(program: Program, written: Agreement) -> int | None:
    rule = rule_of(program)
    found: int | None = rule.parameters["expiry-days"] if rule and rule.parameters["type"] in written.types else None
    return found


def _task(id: str, written: Agreement, organization: str, restriction: dict[str, str], now: int) -> Resource:
    others = " and ".join(one for one in written.organizations if one != organization)
    return {
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "order",
        "code": concept(EXPIRY),
        "description": f"The agreement with {others} ends on {restriction['end']}: renew it, or let it end",
        "focus": {"reference": written.contract},
        "authoredOn": period.text(now, "UTC"),
        "owner": {"reference": organization},
        "restriction": {"period": restriction},
    }
