"""Designation: a Task by which one organization proposes a member's lead to another.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from server.coordination.facts.element import literal, tokens
from server.coordination.facts.transfer import OPEN
from server.coordination.facts.vocabulary import DESIGNATION_TERM
from server.ledger import Fact, FactRow, Resource


class Designation(NamedTuple):
    """A Task by which one organization (`proposer`) proposes a member's lead to another (`answerer`).

    `program` is the url without the version; `organization` is the lead's; `since` is from when on the lead leads,
    once it is accepted.
    """

    task: str
    program: str
    patient: str
    proposer: str | None
    answerer: str | None
    status: str
    lead: str | None
    organization: str | None
    form: str | None
    agreement: str | None
    effective: str | None
    needs: list[str]  # tokens
    since: str | None
    opened: str | None

    @property
    def is_open(self) -> bool:
        """True until it is answered or withdrawn; a draft is none yet."""
        return self.status in OPEN

    @property
    def terms(self) -> tuple[Any, ...]:
        """What was proposed, to whom."""
        return self[1:5] + self[6:9] + (self.effective, self.needs)

    def is_kept(self, later: Designation) -> bool:
        """True where a later version of the Task proposes the same; once it is answered, with what came of it."""
        same = (self.agreement, self.since) == (later.agreement, later.since)
        return self.terms == later.terms and (self.is_open or same)

    @classmethod
    def of(cls, fact: Fact) -> Designation:
        return cls(fact.source, *fact.data)


def designation(task: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of a Task that proposes a lead: by itself, by the member, and by what it rests on."""
    own, member = f"Task/{task['id']}", literal(task.get("for"), base_url, ("Patient",))
    given = [*_terms(task.get("input", ())), *_terms(task.get("output", ()))]
    named = {name: one.get("valueReference") for name, one in given}
    needs = [one.get("valueCodeableConcept", {}) for name, one in given if name == "primary-need"]
    times = {name: one.get("valueDate") or one.get("valueDateTime") for name, one in given}
    form = literal(named.get("form"), base_url, ("QuestionnaireResponse",))
    agreement = literal(named.get("agreement"), base_url, ("Contract",))
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        literal(task.get("requester"), base_url, ("Organization",)),
        literal(task.get("owner"), base_url, ("Organization",)),
        task.get("status", ""),
        literal(named.get("lead"), base_url, ("PractitionerRole",)),
        literal(named.get("organization"), base_url, ("Organization",)),
        form,
        agreement,
        times.get("effective"),
        sorted(tokens(needs or [task.get("reasonCode", {})])),
        times.get("since"),
        task.get("authoredOn"),
    ]
    if member:
        yield "subject", own, member
    for key in (own, member, form, agreement):
        if key:
            yield "designation", key, data


def _terms(values: Iterable[Resource]) -> Iterator[tuple[str, Resource]]:
    """Task.input or Task.output by the codes of cm-designation."""
    for given in values:
        for coding in given["type"].get("coding", ()):
            if coding.get("system") == DESIGNATION_TERM and "code" in coding:
                yield coding["code"], given
