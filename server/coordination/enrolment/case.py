"""Case: one member as the rules about enrolments judge them in a commit, and the Tasks and Flags that they call for.

https://hl7.org/fhir/R4/task.html, https://hl7.org/fhir/R4/flag.html
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from server.coordination import period
from server.coordination.assignment.assignment import Member, enrolled
from server.coordination.facts import OPEN, Cover, Decision, Enrolment, Evidence, Offer
from server.coordination.handoff.transfer import coding, concept
from server.coordination.lead.terms import TOGETHER
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs
from server.coordination.stored import read
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View, micros


@dataclass(slots=True)
class Case:
    """One member after a commit, and the enrolments there `were`. `written` are the references that it writes."""

    context: Context
    before: View
    after: View
    programs: Programs
    member: Member
    were: list[Enrolment]
    written: frozenset[str]
    evidence: list[Evidence] = field(default_factory=list)
    had: list[Evidence] = field(default_factory=list)  # as it was, where the commit changes or deletes some
    decisions: list[Decision] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    made: dict[str, Resource] = field(default_factory=dict)  # what is to be written, by its reference

    @property
    def now(self) -> int:
        return micros(self.context.now)

    def ruled(self, kind: str, start: str | None = None) -> Iterator[tuple[Program, Rule]]:
        """The rules of a kind that are in force on a day, else now, of each program in its version of then."""
        for url in self.programs:
            near = self.programs.near(url, self.now)
            at = period.starts(start, near.zone) if start else self.now
            program = self.programs.at(url, at) if start else near
            for rule in program.of_kind(kind) if program else ():
                if program and period.holds([rule.period], at):
                    yield program, rule

    def enrolments(self, types: Collection[str]) -> list[Enrolment]:
        """The member's episodes of these types (tokens) that are, or are to come."""
        return [one for one in self.member.enrolments if _stands(one, types)]

    def begun(self, types: Collection[str], statuses: Collection[str] = TOGETHER) -> list[Enrolment]:
        """Those by which the commit enrols the member: in such a status, from a day on that they were not in any.

        What is on hold counts as enrolled: else whoever is enrolled on hold first would be by nobody's leave.
        """
        known = {(one.episode, one.start) for one in self.were if one.status in statuses and _stands(one, types)}
        return [
            one
            for one in self.enrolments(types)
            if one.status in statuses and one.episode in self.written and (one.episode, one.start) not in known
        ]

    def is_going_on(self, one: Enrolment, zone: str) -> bool:
        """True of an episode that has not come to its end."""
        return any(high > self.now for _, high in enrolled(one, zone, TOGETHER))

    async def there(self, reference: str) -> Resource | None:
        """A resource as it will be."""
        return self.made.get(reference) or await read(self.after, reference)

    def write(self, resource: Resource) -> None:
        self.made[f"{resource['resourceType']}/{resource['id']}"] = resource

    async def ask(self, code: str, about: Enrolment, program: Program, why: str) -> None:
        """A Task for who manages the episode, unless that has one which is not cancelled."""
        own = derived("Task", code, about)
        stored = await self.there(own)
        if about.organization is None or (stored and stored["status"] != "cancelled"):
            return
        self.made[own] = {
            "resourceType": "Task",
            "id": own.partition("/")[2],
            "instantiatesCanonical": program.canonical,
            "status": "requested",
            "intent": "order",
            "code": concept(code),
            "description": why,
            "focus": {"reference": about.episode},
            "for": {"reference": self.member.patient},
            "authoredOn": period.text(self.now, program.zone),
            "owner": {"reference": about.organization},
        }

    async def warn(self, code: str, about: Enrolment, program: Program, why: str) -> None:
        """A Flag on the member, by the episode's organization; R4 finds Flags by tags, and not by codes."""
        own = derived("Flag", code, about)
        stored = await self.there(own)
        if stored and stored["status"] == "active":
            return
        self.made[own] = {
            "resourceType": "Flag",
            "id": own.partition("/")[2],
            "meta": {"tag": [coding(code)]},
            "status": "active",
            "code": concept(code, why),
            "subject": {"reference": self.member.patient},
            "period": {"start": period.text(self.now, program.zone)},
            **({"author": {"reference": about.organization}} if about.organization else {}),
        }

    async def settle(self, code: str, about: Enrolment, status: str = "completed") -> None:
        """End the episode's Task of this code, where it has one that is open."""
        stored = await self.there(derived("Task", code, about))
        if stored and stored["status"] in OPEN:
            self.write({**stored, "status": status})

    async def clear(self, code: str, about: Enrolment, program: Program) -> None:
        """End the episode's Flag of this code, where it has one that is active."""
        stored = await self.there(derived("Flag", code, about))
        if stored and stored["status"] == "active":
            end = period.text(self.now, program.zone)
            over = {"status": "inactive", "meta": {}, "period": {**stored.get("period", {}), "end": end}}
            self.write({**stored, **over})

    def changes(self) -> list[Change]:
        """What was made, marked, so that it is not judged in its turn."""
        return [_put(resource) for resource in self.made.values()]


def derived(type: str, code: str, about: Enrolment) -> str:
    """The one Task or Flag of a code that an episode has."""
    return f"{type}/{uuid.uuid5(uuid.NAMESPACE_URL, f'{code} {about.episode}')}"


def _put(resource: Resource) -> Change:
    text = Body.of(resource).text(resource["id"])
    return Change("PUT", resource["resourceType"], resource["id"], resource, text, is_derived=True)


def _stands(one: Enrolment, types: Collection[str]) -> bool:
    return one.status in TOGETHER and not frozenset(types).isdisjoint(one.types)
