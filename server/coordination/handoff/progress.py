"""Progress: how a transfer goes on: by whom, by which steps in which order, with which evidence, and to which end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.coordination import period
from server.coordination.assignment.assignment import Member, in_program
from server.coordination.facts import OPEN, Step, Transfer
from server.coordination.handoff import consequence, party, terms
from server.coordination.handoff.evidence import Judge, Lack, issues
from server.coordination.handoff.party import Parties
from server.coordination.handoff.protocol import Protocol
from server.coordination.handoff.transfer import ANYBODY, BY_WORD, GIVEN_UP, Side, conflict, following, name, put
from server.coordination.program.program import Part
from server.coordination.write import Place, refusal
from server.ledger import Change, Context, View, micros
from server.outcome import Problem


@dataclass(slots=True)
class Progress:
    """One running transfer, and what a commit makes of it."""

    context: Context
    before: View
    after: View
    protocol: Protocol
    reference: str
    was: Side
    now: Side
    member: Member  # after the commit
    parties: Parties

    @property
    def transfer(self) -> Transfer:
        """As it was, which is what it goes by."""
        return self.was.transfers[self.reference]

    @property
    def steps(self) -> dict[str, Step]:
        return self.now.steps[self.reference]

    @property
    def at(self) -> int:
        return micros(self.context.now)

    async def judged(self) -> list[Change]:
        """Further changes. Problem where the commit may not do what it does."""
        await terms.check(self)
        if not self.transfer.is_open:
            return []
        completing = [step for step in self.protocol.steps if self._completes(step)]
        if ending := self._ending():
            self._check_not_switched()
            await self.check_who(ending)
            return await self._given_up(ending)
        await self._check_writers()
        for step in completing:
            await self._check_order(step)
            self._check_possible(step)
            if lacks := await self.lacking(step):
                raise Problem.with_issues("business_rule", issues(self.protocol, lacks, self.steps[step.code].task))
        return await consequence.of(self, completing)

    # Giving it up

    def _ending(self) -> str | None:
        """The status by which somebody gives the transfer up."""
        own = self.now.transfers[self.reference].status
        if own in GIVEN_UP:
            return own
        was = self.was.steps[self.reference]
        changed = {one.status for code, one in self.steps.items() if was[code].status != one.status}
        found = sorted(GIVEN_UP & changed)
        if len(found) > 1:
            raise self.conflict(f"A transfer ends in one way, not {' and '.join(found)}.", "Task.status")
        return found[0] if found else None

    def _check_not_switched(self) -> None:
        was = self.was.steps[self.reference]
        if any(step.parameters["switches"] and was[step.code].status == "completed" for step in self.protocol.steps):
            why = (
                f"{self.transfer.patient} is with {self.transfer.receiver} by now: complete the steps that are left, "
                "or open a transfer back."
            )
            raise self.conflict(why, "Task.status")

    async def _given_up(self, status: str) -> list[Change]:
        """The transfer ended, and with it the steps that are open; the assignment is as it was."""
        parent = await self.now.there(self.reference)
        ended = {**parent, "status": status, "executionPeriod": consequence.execution(self, parent, has_ended=True)}
        left = [one.task for one in self.steps.values() if one.status in OPEN]
        return ([] if ended == parent else [put(ended)]) + [
            put({**await self.now.there(task), "status": "cancelled"}) for task in left
        ]

    # By whom

    async def check_who(self, status: str) -> None:
        """Refuse a word that is for somebody else."""
        _, who = BY_WORD[status]
        if not await self._may(who):
            raise self.refused(f"{self.context.actor} may not set it to {status}: that is for the {' or '.join(who)}.")

    async def _check_writers(self) -> None:
        """A step that is begun, completed or gets evidence is written by who may complete it; the transfer by any
        of those who take part.
        """
        if self.context.actor is None:
            return
        if await self._is_changed(self.reference) and not await self._may(ANYBODY):
            raise self.refused(
                f"{self.context.actor} may not write this transfer: that is for the {' or '.join(ANYBODY)}."
            )
        for step in self.protocol.steps:
            task = self.steps[step.code].task
            if await self._is_changed(task) and not await self._may(completers(step)):
                who = " or ".join(completers(step))
                raise self.refused(f"{self.context.actor} may not write this step: that is for the {who}.", task)

    async def _is_changed(self, task: str) -> bool:
        return task in self.now.written and await self.was.task(task) != await self.now.task(task)

    async def _may(self, who: Sequence[str]) -> bool:
        return await party.may_act(self.before, self.parties, self.context.actor, who)

    # Completing a step

    def status_of(self, step: Part) -> str:
        return self.steps[step.code].status

    def _completes(self, step: Part) -> bool:
        was, now = self.was.steps[self.reference][step.code], self.steps[step.code]
        if was.status == now.status:
            return False
        if was.status == "completed":
            raise self.conflict(f"Step {name(step)} is completed, and stays so.", "Task.status", now.task)
        legal = following(was.status)
        if now.status not in legal and now.status not in GIVEN_UP:
            why = (
                f"Step {name(step)} is {was.status} and does not become {now.status}. Legal are {', '.join(legal)}; "
                f"{', '.join(sorted(GIVEN_UP))} give the transfer up."
            )
            raise self.conflict(why, "Task.status", now.task)
        return now.status == "completed"

    async def _check_order(self, step: Part) -> None:
        for earlier in self.protocol.steps[: self.protocol.steps.index(step)]:
            if self.status_of(earlier) != "completed":
                lacks = await self.lacking(earlier)
                missing = "; ".join(f"{item.id or item.title}: {why}" for item, why in lacks) or "its completion"
                raise self.conflict(
                    f"Step {name(step)} comes after step {name(earlier)} ({self.steps[earlier.code].task}), which is "
                    f"outstanding: {missing}.",
                    "Task.status",
                    self.steps[step.code].task,
                )

    def _check_possible(self, step: Part) -> None:
        """Whoever is to get the member is there then, and the member is in the program."""
        program, transfer = self.protocol.program, self.transfer
        at = max(self.at, period.starts(transfer.effective, program.zone))
        if not self.parties.is_active(transfer.receiver, at):
            why = (
                f"{transfer.receiver} is not active then, and cannot get the member: cancel {self.reference}, which "
                "leaves the member as before, and open another transfer."
            )
            raise self.conflict(why, "Task.status", self.steps[step.code].task)
        if not period.holds(in_program(self.member, program), at):
            why = f"{transfer.patient} has no episode of {program.title} then: cancel {self.reference}."
            raise self.conflict(why, "Task.status", self.steps[step.code].task)

    async def lacking(self, step: Part) -> list[Lack]:
        """What evidence a step lacks."""
        parent = await self.now.there(self.reference)
        task = await self.now.there(self.steps[step.code].task)
        own = frozenset({self.reference, *(one.task for one in self.steps.values())})
        judge = Judge(self.after, self.protocol, self.parties, self.transfer.patient, own)
        return await judge.lacking(step, parent, task)

    # Refusals

    def conflict(self, diagnostics: str, path: str, task: str | None = None) -> Problem:
        """Not possible as things stand."""
        return conflict(self.protocol, diagnostics, task or self.reference, path)

    def refused(self, why: str, task: str | None = None) -> Problem:
        """Not for whoever acts."""
        place = Place(task or self.reference, "Task.status")
        issue = refusal(self.protocol.program, self.protocol.rule, why, place)
        return Problem.with_issues("business_rule", [issue])


def completers(step: Part) -> list[str]:
    """Who may complete a step."""
    return [*dict.fromkeys([step.parameters["owner"], *step.parameters["completer"]])]
