"""Transfer report: how often members change case managers, and why, so that unneeded churn shows.

A transfer counts as opened on its authoredOn, and as completed or given up when its executionPeriod ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.facts import Transfer
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.ledger import View


class Moved(NamedTuple):
    """A transfer, its member (whatever the record), and the persons from whom and to whom."""

    transfer: Transfer
    member: str
    sender: str | None
    receiver: str | None


@dataclass(slots=True)
class Transfers:
    """An organization's transfers in a time, and those that are open as of an instant."""

    opened: list[Moved] = field(default_factory=list)
    completed: list[Moved] = field(default_factory=list)
    given_up: list[Moved] = field(default_factory=list)
    open: list[Moved] = field(default_factory=list)

    def every(self) -> list[Moved]:
        """Each transfer once."""
        found = {one.transfer.task: one for one in (*self.opened, *self.completed, *self.given_up, *self.open)}
        return [found[task] for task in sorted(found)]

    def of(self, reason: str) -> Transfers:
        """Those that have this reason."""
        return self._where(lambda one: reason in one.transfer.reasons)

    def but(self, reason: str) -> Transfers:
        """Those that have not this reason."""
        return self._where(lambda one: reason not in one.transfer.reasons)

    def _where(self, holds: Callable[[Moved], bool]) -> Transfers:
        lists = (self.opened, self.completed, self.given_up, self.open)
        return Transfers(*([one for one in found if holds(one)] for found in lists))

    def reasons(self) -> list[str]:
        """Every reason that one of them has."""
        return sorted({reason for one in self.every() for reason in one.transfer.reasons})

    def persons(self) -> list[str]:
        """Everybody from whom or to whom a member was transferred."""
        return sorted({person for one in self.completed for person in (one.sender, one.receiver) if person})

    def members(self) -> Counter[str]:
        """How many completed transfers each member has."""
        return Counter(one.member for one in self.completed)

    def again(self) -> list[str]:
        """The members with more than one."""
        return sorted(member for member, count in self.members().items() if count > 1)


async def transfers(
    view: View, organizations: Iterable[str], wanted: Program, at: int, window: Interval
) -> dict[str, Transfers]:
    """Each organization's transfers in a program."""
    found = {
        organization: [one for one in map(Transfer.of, rows) if one.program == wanted.url]
        for organization, rows in (await view.facts("transfer", organizations)).items()
    }
    every = [one for rows in found.values() for one in rows]
    members = await assignment.members(view, {one.patient for one in every})
    roles = {role for one in every for role in (one.sender, one.receiver) if role}
    persons = await assignment.practitioners(view, roles)
    return {
        organization: _sorted(
            (
                Moved(one, members[one.patient].patient, persons.get(one.sender or ""), persons.get(one.receiver))
                for one in rows
            ),
            wanted.zone,
            at,
            window,
        )
        for organization, rows in found.items()
    }


def _sorted(every: Iterable[Moved], zone: str, at: int, window: Interval) -> Transfers:
    made = Transfers()
    for one in every:
        transfer = one.transfer
        opened, ended = period.starts(transfer.opened, zone), period.starts(transfer.ended, zone)
        if transfer.status in {"draft", "entered-in-error"} or opened > at:
            continue
        if period.holds([window], opened):
            made.opened.append(one)
        if transfer.is_open or (transfer.ended and ended > at):
            made.open.append(one)
        elif period.holds([window], ended):
            (made.completed if transfer.status == "completed" else made.given_up).append(one)
    return made
