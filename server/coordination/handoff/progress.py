"""Progress: how a transfer goes on: its steps in their order with their evidence, by whom; and how it ends.

Task.status of the transfer is accepted, rejected, cancelled and failed by a party's word; in-progress and completed
follow from its steps, and so does businessStatus: the step, and the state that the evidence has brought it to.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.coordination import assignment, facts, period
from server.coordination.assignment import in_program
from server.coordination.facts import OPEN, Transfer, literal
from server.coordination.handoff import party
from server.coordination.handoff.evidence import Judge, Lack
from server.coordination.handoff.party import Parties
from server.coordination.handoff.protocol import Protocol
from server.coordination.handoff.switch import switched
from server.coordination.handoff.transfer import GIVEN_UP, Side, coding, conflict, put, text
from server.coordination.program import Part
from server.coordination.write import Place, refusal
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Problem

BY_WORD = {  # a status that somebody gives the transfer -> from which, by whom
    "received": (("requested",), ("new-manager",)),
    "accepted": (("requested", "received"), ("new-manager",)),
    "rejected": (tuple(OPEN), ("new-manager",)),
    "cancelled": (tuple(OPEN), ("requester",)),
    "entered-in-error": (tuple(OPEN), ("requester",)),
    "failed": (tuple(OPEN), ("requester", "current-manager", "new-manager")),
}


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
    parties: Parties
    patients: list[str]

    @property
    def transfer(self) -> Transfer:
        return self.was.transfers[self.reference]

    def status_of(self, step: Part) -> str:
        return self.now.steps[self.reference][step.code].status

    async def judged(self) -> list[Change]:
        """Further changes. Problem where the commit may not do what it does."""
        await self._check_terms()
        if not self.transfer.is_open:
            self._check_ended()
            return []
        if ending := self._ending():
            await self._check_who(ending)
            return await self._given_up(ending)
        completing = [step for step in self.protocol.steps if self._completes(step)]
        for step in completing:
            await self._check_completion(step)
        await self._check_steps_in_hand()
        return [*await self._parent(), *await self._switch(completing)]

    # What stays as it is

    async def _check_terms(self) -> None:
        """Whom, from whom, to whom and why stay as they were; another transfer is another Task."""
        now = self.now.transfers.get(self.reference)
        if now is None:
            raise self._conflict("A transfer is kept: give it up by its status (cancelled, entered-in-error).", "Task")
        was = self.transfer
        changed = [
            path
            for path, before, after in (
                ("Task.instantiatesCanonical", was.program, now.program),
                ("Task.for", was.patient, now.patient),
                ("Task.owner", was.receiver, now.receiver),
                ("Task.authoredOn", was.opened, now.opened),
                ("Task.reasonCode", was.reasons, now.reasons),
                (
                    "Task.input",
                    (was.organization, was.sender, was.effective),
                    (now.organization, now.sender, now.effective),
                ),
            )
            if before != after
        ]
        stored, written = await self.was.there(self.reference), await self.now.there(self.reference)
        if stored.get("instantiatesUri") != written.get("instantiatesUri"):
            changed.append("Task.instantiatesUri")
        if literal(stored.get("requester")) != literal(written.get("requester")):
            changed.append("Task.requester")
        if changed:
            raise self._conflict(f"{', '.join(changed)} of a transfer stay as they were opened.", changed[0])
        self._check_steps_are_the_same()

    def _check_steps_are_the_same(self) -> None:
        was, now = self.was.steps[self.reference], self.now.steps[self.reference]
        for code, step in was.items():
            if code not in now or now[code].task != step.task:
                raise self._conflict(f"{step.task} is a step of {self.reference}, and stays it.", "Task", step.task)
        for code, step in now.items():
            if code not in was:
                raise self._conflict(
                    "The steps of a transfer are the program's; there is no other.", "Task.partOf", step.task
                )

    def _check_ended(self) -> None:
        pairs = [(self.reference, self.transfer.status, self.now.transfers[self.reference].status)]
        now = self.now.steps[self.reference]
        pairs += [(one.task, one.status, now[code].status) for code, one in self.was.steps[self.reference].items()]
        for task, was, status in pairs:
            if was != status:
                raise self._conflict(
                    f"The transfer is {self.transfer.status}: its Tasks stay as they are.", "Task.status", task
                )

    # Giving it up

    def _ending(self) -> str | None:
        """The status by which somebody gives the transfer up."""
        own = self.now.transfers[self.reference].status
        if own in GIVEN_UP:
            return own
        was = self.was.steps[self.reference]
        found = {
            one.status
            for code, one in self.now.steps[self.reference].items()
            if one.status in GIVEN_UP and was[code].status != one.status
        }
        if len(found) > 1:
            raise self._conflict(f"A transfer ends in one way, not {' and '.join(sorted(found))}.", "Task.status")
        return next(iter(found), None)

    async def _given_up(self, status: str) -> list[Change]:
        """The transfer ended, and with it the steps that are open; the assignment is as it was."""
        changes = []
        parent = await self.now.there(self.reference)
        ended = {**parent, "status": status, "executionPeriod": self._execution(parent, has_ended=True)}
        if ended != parent:
            changes.append(put(ended))
        left = [one.task for one in self.now.steps[self.reference].values() if one.status in OPEN]
        return changes + [put({**await self.now.there(task), "status": "cancelled"}) for task in left]

    # Who

    async def _check_who(self, status: str, task: str | None = None) -> None:
        _, who = BY_WORD[status]
        if not await party.may_act(self.before, self.parties, self.context.actor, who):
            raise self._refused(f"{self._actor} may not set it to {status}: that is for {' or '.join(who)}", task)

    @property
    def _actor(self) -> str:
        return self.context.actor or "The local system"

    async def _check_steps_in_hand(self) -> None:
        """A step that is begun, or gets evidence, is written by who completes it."""
        if self.context.actor is None:
            return
        for step in self.protocol.steps:
            task = self.now.steps[self.reference][step.code].task
            if task in self.now.written and not await party.may_act(
                self.before, self.parties, self.context.actor, completers(step)
            ):
                raise self._refused(
                    f"{self._actor} may not write this step: that is for {' or '.join(completers(step))}", task
                )

    # Completing a step

    def _completes(self, step: Part) -> bool:
        was, now = (side.steps[self.reference][step.code] for side in (self.was, self.now))
        if was.status == "completed" and now.status != "completed":
            raise self._conflict(f"Step {_name(step)} is completed, and stays so.", "Task.status", now.task)
        return was.status != "completed" and now.status == "completed"

    async def _check_completion(self, step: Part) -> None:
        task = self.now.steps[self.reference][step.code].task
        await self._check_steps_in_hand()
        await self._check_order(step, task)
        await self._check_possible(task)
        lacks = await self.lacking(step)
        if lacks:
            raise self._lacks(lacks, task)

    async def _check_order(self, step: Part, task: str) -> None:
        for earlier in self.protocol.steps[: self.protocol.steps.index(step)]:
            if self.status_of(earlier) != "completed":
                lacks = await self.lacking(earlier)
                missing = (
                    "; ".join(f"{lack.item.id or lack.item.title}: {lack.why}" for lack in lacks) or "its completion"
                )
                first = self.now.steps[self.reference][earlier.code].task
                raise self._conflict(
                    f"Step {_name(step)} comes after step {_name(earlier)} ({first}), which is outstanding: {missing}.",
                    "Task.status",
                    task,
                )

    async def _check_possible(self, task: str) -> None:
        """Whoever is to get the member is there, and the member is in the program."""
        now, program = micros(self.context.now), self.protocol.program
        receiver = self.transfer.receiver
        if not self.parties.is_active(receiver, now):
            raise self._conflict(
                f"{receiver} is no longer active, and cannot get the member: cancel {self.reference}, which leaves the "
                "member as before, and open another transfer.",
                "Task.status",
                task,
            )
        member = (await assignment.members(self.after, [self.transfer.patient]))[self.transfer.patient]
        effective = period.starts(self.transfer.effective, program.zone) if self.transfer.effective else now
        if not period.holds(in_program(member, program), max(now, effective)):
            raise self._conflict(
                f"{self.transfer.patient} has no episode of {program.title} then: cancel {self.reference}.",
                "Task.status",
                task,
            )

    async def lacking(self, step: Part) -> list[Lack]:
        parent = await self.now.there(self.reference)
        task = await self.now.there(self.now.steps[self.reference][step.code].task)
        own = {self.reference, *(one.task for one in self.now.steps[self.reference].values())}
        judge = Judge(self.after, self.protocol, self.parties, self.transfer.patient, frozenset(own))
        return await judge.lacking(step, parent, task)

    # What follows

    async def _switch(self, completing: list[Part]) -> list[Change]:
        if not any(step.parameters["switches"] for step in completing):
            return []
        parent = await self.now.there(self.reference)
        return await switched(self.context, self.before, self.after, self.protocol, self.parties, self.transfer, parent)

    async def _parent(self) -> list[Change]:
        """The transfer as its steps make it."""
        parent = await self.now.there(self.reference)
        status = await self._status()
        made = {
            **parent,
            "status": status,
            "businessStatus": {"coding": await self._business_status()},
            "executionPeriod": self._execution(parent, has_ended=status == "completed"),
        }
        if not made["executionPeriod"]:
            del made["executionPeriod"]
        return [] if made == parent else [put(made)]

    async def _status(self) -> str:
        """What follows from the steps, or what somebody says that may."""
        derived = self._derived()
        was, now = self.transfer.status, self.now.transfers[self.reference].status
        if now in (was, derived):
            return derived if _RANK[derived] > _RANK[was] else was
        origins, _ = BY_WORD.get(now, ((), ()))
        if was not in origins or now not in OPEN:
            raise self._conflict(
                f"A transfer that is {was} does not become {now} so; legal are "
                f"{', '.join(one for one, (origin, _) in BY_WORD.items() if was in origin)}, and the completion of its "
                "steps ($advance).",
                "Task.status",
            )
        await self._check_who(now)
        return now if _RANK[now] > _RANK[derived] else derived

    def _derived(self) -> str:
        statuses = [self.status_of(step) for step in self.protocol.steps]
        accepting = max((i for i, step in enumerate(self.protocol.steps) if step.parameters["accepts"]), default=-1)
        if all(status == "completed" for status in statuses):
            return "completed"
        if any(status in {"in-progress", "completed"} for status in statuses[accepting + 1 :]):
            return "in-progress"
        return "accepted" if accepting >= 0 and statuses[accepting] == "completed" else "requested"

    async def _business_status(self) -> list[dict[str, str]]:
        steps = self.protocol.steps
        current = next((step for step in steps if self.status_of(step) != "completed"), None)
        state = self.protocol.rule.parameters["completed" if current is None else "opened"]
        for step in steps:
            if current is None:
                break
            if step is current:
                state = await self._reached(step) or state
                break
            reached = [item.parameters["state"] for item in step.parts if item.parameters["state"]]
            state = step.parameters["state"] or (reached[-1] if reached else state)
        return [coding((current or steps[-1]).code), *([coding(state)] if state else [])]

    async def _reached(self, step: Part) -> str | None:
        """The state that the evidence of the current step has brought it to: each follows the one before."""
        task = await self.now.there(self.now.steps[self.reference][step.code].task)
        if not task.get("output"):
            return None
        missing = {lack.item.code for lack in await self.lacking(step)}
        state = None
        for item in step.parts:
            is_given = item.parameters["resource"] or item.parameters["code"]
            if item.code in missing or not is_given:
                break
            state = item.parameters["state"] or state
        return state

    def _execution(self, parent: Resource, *, has_ended: bool) -> dict[str, str]:
        """From the first step that is begun until the transfer has ended."""
        now = text(micros(self.context.now), self.protocol)
        begun = any(self.status_of(step) in {"in-progress", "completed"} for step in self.protocol.steps)
        found = {name: at for name, at in parent.get("executionPeriod", {}).items() if name == "start"}
        if begun or has_ended:
            found.setdefault("start", now)
        return found | ({"end": now} if has_ended else {})

    # Refusals

    def _conflict(self, diagnostics: str, path: str, task: str | None = None) -> Problem:
        return conflict(self.protocol, diagnostics, task or self.reference, path)

    def _refused(self, why: str, task: str | None) -> Problem:
        place = Place(task or self.reference, "Task.status")
        return Problem.with_issues(
            "business_rule", [refusal(self.protocol.program, self.protocol.rule, f"{why}.", place)]
        )

    def _lacks(self, lacks: list[Lack], task: str) -> Problem:
        program, rule = self.protocol.program, self.protocol.rule
        issues = []
        for item, why in lacks:
            name = f"{item.id} " if item.id else ""
            found = refusal(program, rule, f"{name}{item.title}: {why}.", Place(task, "Task.output"))
            details = {"coding": [coding(item.code)], "text": f"{program.canonical}#{item.id or rule.id}"}
            issues.append(
                type(found)(found.code, found.diagnostics, found.expression, found.severity, details, found.resources)
            )
        return Problem.with_issues("business_rule", issues)


_RANK = {"requested": 0, "received": 1, "accepted": 2, "ready": 3, "on-hold": 3, "in-progress": 4, "completed": 5}


def completers(step: Part) -> list[str]:
    """Who may complete a step."""
    return [*dict.fromkeys([step.parameters["owner"], *step.parameters["completer"]])]


def _name(step: Part) -> str:
    return f"{facts.token(coding(step.code)).rpartition('|')[2]} ({step.title})"
