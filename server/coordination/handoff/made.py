"""Made: the evidence that the server makes where a client gives none: the letter, first contacts, notices to providers.

All are resources of the commit that completes the step; their ids are named by `seed`, since it may be decided again.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.coordination.assignment import assignment
from server.coordination.communication import letter, notice, template
from server.coordination.communication.letter import Letter
from server.coordination.communication.representative import Recipient, representative
from server.coordination.facts import Transfer
from server.coordination.handoff import switch
from server.coordination.handoff.evidence import Given, Judge
from server.coordination.handoff.protocol import Protocol
from server.coordination.handoff.transfer import coding
from server.coordination.program.program import Part, Program
from server.coordination.write import refusal
from server.ledger import EPOCH, Change, View
from server.outcome import Problem

Printed = tuple[bytes, bytes]  # HTML, PDF


@dataclass(frozen=True, slots=True)
class Unprinted(Exception):  # noqa: N818 - no error: what is to be done before the step can be completed
    """A letter that has to be printed first, which is not done while the ledger is held."""

    letter: Letter


@dataclass(slots=True)
class Maker:
    """Makes what a step of one transfer needs."""

    view: View
    judge: Judge
    transfer: Transfer
    printed: Mapping[Letter, Printed]
    seed: str
    now: int

    @property
    def program(self) -> Program:
        return self.judge.protocol.program

    @property
    def moment(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.now)

    def id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.seed), name))

    async def make(self, item: Part, given: Given) -> list[Change]:
        """What is not given of an evidence that can be made. Raises Unprinted where a letter is to be printed first."""
        try:
            return await self._made(item, given)
        except Problem as problem:
            raise self._cited(problem, item) from None

    async def _made(self, item: Part, given: Given) -> list[Change]:
        if item.parameters["made"] == "letter" and not given.resources:
            return await self._letter(item)
        if item.parameters["made"] == "first-contacts" and not given.resources:
            return [await self._first_contacts()]
        if item.parameters["made"] == "provider-notice":
            return await self._notices(item, given)
        return []

    async def _letter(self, item: Part) -> list[Change]:
        parameters = {**self.judge.protocol.rule.parameters, **item.parameters}
        written = await letter.letter(self.view, self.program, self.transfer, parameters, self.now)
        if written not in self.printed:
            raise Unprinted(written)
        html, pdf = self.printed[written]
        return letter.changes(written, html, pdf, (self.id("letter"), self.id("letter sent")), self.moment)

    def _cited(self, problem: Problem, item: Part) -> Problem:
        """What the directory lacks, with the evidence that it is lacking for and the rule that asks for it."""
        rule = self.judge.protocol.rule
        details = {"coding": [coding(item.code)], "text": f"{self.program.canonical}#{item.id or rule.id}"}
        cited = [
            replace(
                refusal(self.program, rule, f"{item.id} {item.title}: {issue.diagnostics}."),
                expression=issue.expression,
                details=details,
            )
            for issue in problem.issues
        ]
        return Problem.with_issues(problem.kind, cited)

    async def _first_contacts(self) -> Change:
        told = await self._recipient()
        since = await self._effective()
        return notice.first_contacts(
            self.transfer.patient,
            self.transfer.task,
            self.transfer.receiver,
            told.reference,
            since,
            self.program.zone,
            self.id("first contacts"),
            self.moment,
        )

    async def _notices(self, item: Part, given: Given) -> list[Change]:
        """One to each provider with active services whom nothing that is given reaches."""
        await self.judge.identify(item, given.resources)
        untold = self.judge.untold(given)
        if not untold:
            return []
        text = await words(self.view, self.judge.protocol, self.transfer, item, await self._effective(), self.now)
        return [
            notice.notice(
                self.transfer.patient,
                self.transfer.task,
                self.transfer.receiver,
                provider,
                text,
                self.id(f"notice to {provider}"),
                self.moment,
            )
            for provider in untold
        ]

    async def _recipient(self) -> Recipient:
        majority = self.judge.protocol.rule.parameters["majority"]
        return await representative(self.view, self.transfer.patient, self.now, majority, self.program.zone)

    async def _effective(self) -> int:
        member = (await assignment.members(self.view, [self.transfer.patient]))[self.transfer.patient]
        return switch.instant(self.program, self.transfer, member, self.now)


async def words(view: View, protocol: Protocol, transfer: Transfer, part: Part, effective: int, now: int) -> str:
    """A part's notice-text, filled."""
    known = await letter.words(view, protocol.program, transfer, now, effective)
    return "\n".join(template.filled(part.parameters["notice-text"], known))
