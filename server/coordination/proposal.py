"""Proposal: a Task by which one of two organizations that have a member proposes something, and the other answers it.

https://hl7.org/fhir/R4/task-definitions.html#Task.intent

What is proposed stays as it was. There is one proposal of a kind at a time; who is asked accepts it, declines it for a
reason or counters it by another one, and who proposed it may withdraw it, until it is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from server.coordination import period, record
from server.coordination.actor import organizations
from server.coordination.assignment.assignment import Member
from server.coordination.facts import facts, tokens
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.terms import Pair, Terms, every
from server.coordination.program.program import Rule
from server.coordination.program.programs import Programs
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Fact, Resource, View, micros
from server.outcome import Issue, Problem

ACCEPTING = frozenset({"accepted", "completed"})
ANSWERS = {  # what an open proposal may become -> whose word that is
    "received": "answerer",
    "accepted": "answerer",
    "completed": "answerer",
    "rejected": "answerer",
    "cancelled": "proposer",
    "entered-in-error": "proposer",
}
GIVEN_UP = frozenset({"cancelled", "entered-in-error"})
LEGAL = "accepted or rejected (by who is asked), cancelled (by who proposed it)"


class Proposed(Protocol):
    """The fact of a proposal: what its Task says."""

    @property
    def task(self) -> str: ...
    @property
    def program(self) -> str: ...  # the url without the version
    @property
    def patient(self) -> str: ...
    @property
    def proposer(self) -> str | None: ...
    @property
    def answerer(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def is_open(self) -> bool: ...
    def is_kept(self, later: Self) -> bool: ...


class Judged(Protocol):
    """A proposal that may be made, and what it was judged by."""

    @property
    def terms(self) -> Terms: ...
    @property
    def member(self) -> Member: ...
    @property
    def pair(self) -> Pair: ...


F = TypeVar("F", bound=Proposed)
J = TypeVar("J", bound=Judged)


@dataclass(frozen=True, slots=True)
class Kind(Generic[F, J]):
    """What two organizations agree on, and what holds for that alone."""

    noun: str
    code: str  # of its Tasks, a token
    dispute: str  # of the liaisons' Tasks where it is not settled in time, a token
    unsettled: str  # what those say is not settled
    fact: str  # the kind of fact that its Tasks make
    of: Callable[[Fact], F]
    rule: Callable[[Terms], Rule]  # by which it is refused
    reasons: Callable[[Terms], Collection[str]]  # for which it is declined, as tokens; empty where any will do
    judged: Callable[[Context, View, Programs, F], Awaitable[J]]  # Problem where it is not what it has to be, as of now
    proposer: Callable[[J], str]  # of what the local system proposes, and names nobody for
    told: Callable[[Resource, J], Resource]  # what its Task says beside what every proposal's does
    accepted: Callable[[Context, View, Programs, Resource, F], Awaitable[list[Change]]]  # what follows, with the Task

    def found(self, change: Change) -> F | None:
        """What a change's Task proposes."""
        own = (self.fact, change.reference)
        return next((self.of(Fact(*row, change.reference)) for row in change.facts or () if row[:2] == own), None)

    async def others(self, view: View, patients: Collection[str], but: str) -> list[F]:
        """The open proposals for a member but for one Task."""
        found = (await view.facts(self.fact, patients)).values()
        return [one for rows in found for one in map(self.of, rows) if one.is_open and one.task != but]

    def refused(self, terms: Terms, why: str, task: str, path: str) -> Problem:
        """Refused by the program's rule about it."""
        return refused(terms, self.rule(terms), why, task, path)


def refused(terms: Terms, rule: Rule, why: str, task: str, path: str) -> Problem:
    """Refused by a rule of the program."""
    return Problem.with_issues("business_rule", [refusal(terms.program, rule, why, Place(task, path))])


def conflict(why: str, task: str, path: str = "Task.status") -> Problem:
    """Not possible as things stand."""
    return Problem.with_issues("conflict", [Issue("conflict", why, (path,), resources=(task,))])


def unprocessable(why: str, task: str, path: str) -> Problem:
    return Problem.with_issues("unprocessable", [Issue("required", why, (path,), resources=(task,))])


def terms_of(programs: Programs, found: Proposed, now: int) -> Terms:
    """Those of the program that a proposal names."""
    known = {one.program.url: one for one in every(programs, now)}
    if found.program not in known:
        why = f"In {found.program} no two organizations work together; in {', '.join(known) or 'none'} they do"
        raise unprocessable(why, found.task, "Task.instantiatesCanonical")
    return known[found.program]


def written(
    id: str, code: str, patient: str, program: str | None, requester: str | None, counters: str | None
) -> Resource:
    """The Task of a proposal of this code (a token), which answers the Task `counters`; what it lacks is added."""
    return {
        "resourceType": "Task",
        "id": id,
        **({"instantiatesCanonical": program} if program else {}),
        **({"basedOn": [{"reference": counters}]} if counters else {}),
        "status": "requested",
        "intent": "proposal",
        "code": concept(code),
        "for": {"reference": patient},
        **({"requester": {"reference": requester}} if requester else {}),
    }


async def waiting(kind: Kind[F, J], view: View, task: str) -> F | None:
    """What a Task proposes; None where it proposes nothing of the kind. Problem conflict where it is answered."""
    rows = (await view.facts(kind.fact, [task]))[task]
    found = next((one for one in map(kind.of, rows) if one.task == task), None)
    if found and not found.is_open:
        raise conflict(f"{task} is {found.status} already.", task)
    return found


async def concerned(
    kind: Kind[F, J], context: Context, before: View, changes: Sequence[Change]
) -> list[tuple[Change, F | None]]:
    """The Tasks that are proposals of the kind or were, each with what it was: one stays what it is.

    An update that leaves out what the server filled in leaves it as it is: that Task is derived. Problem conflict where
    one is changed, or is none any more. What a load takes over as recorded is let be.
    """
    given = [change for change in changes if not change.is_derived and context.override is not AS_RECORDED]
    anew = [change.reference for change in given if change.method != "POST"]
    rows = await before.facts(kind.fact, anew) if anew else {}
    known = {row.source: kind.of(row) for some in rows.values() for row in some if row.source == row.key}
    made = [one for one, was in known.items() if was.status != "draft"]
    there = await read_many(before, made) if made else {}
    found = []
    for sent in given:
        was, stored = known.get(sent.reference), there.get(sent.reference)
        change = _completed(sent, stored, context.base_url) if stored else sent
        if was and was.status != "draft":
            _check_kept(was, kind.found(change))
        if was and change.resource and stored:
            _check_said(was, stored, change.resource)
        if was or kind.found(change):
            found.append((change, was))
    return found


def _completed(change: Change, stored: Resource, base_url: str) -> Change:
    """An update with what the server filled in, where it leaves that out; a patch that removes it says so."""
    if change.method != "PUT" or change.resource is None:
        return change
    whole = record.completed(stored, change.resource)
    if whole == change.resource:
        return change
    made = put(whole)
    made.facts, made.is_derived = list(facts(whole, base_url)), True
    return made


def _check_kept(was: F, now: F | None) -> None:
    """What was proposed stays as it was, for whoever reads it later."""
    if now is None:
        why = f"{was.task} is kept as it was proposed: to withdraw a proposal set it to cancelled."
        raise conflict(why, was.task, "Task")
    if not was.is_kept(now):
        why = f"What {was.task} proposes stays as it was: counter it, or withdraw it and propose anew."
        raise conflict(why, was.task, "Task")


def _check_said(was: Proposed, stored: Resource, task: Resource) -> None:
    """Nobody but the server says what became of it, and nobody says anew on what it was proposed."""
    status = task.get("status")
    is_answered = was.is_open and status != was.status and status in ANSWERS and status != "received"
    elements = record.altered(
        stored, task, is_open=was.is_open, is_answered=is_answered, is_accepted=is_answered and status in ACCEPTING
    )
    if elements:
        paths = [f"Task.{element}" for element in elements]
        why = (
            f"{' and '.join(paths)} of {was.task} stays as it was. What becomes of a proposal is answered by "
            "Task.status (Task/[id]/$respond), and the server says it in businessStatus and output."
        )
        raise Problem.with_issues("conflict", [Issue("conflict", why, tuple(paths), resources=(was.task,))])


async def judged(
    kind: Kind[F, J], context: Context, found: Sequence[tuple[Change, F | None]], after: View, programs: Programs
) -> list[Change]:
    """Further changes of the proposals, each with what it was. Problem where one may not be made, or so answered."""
    further: list[Change] = []
    for change, was in found:
        made = await _judged(kind, context, after, programs, change, was)
        is_made = any(one.reference == change.reference for one in made)
        further += made if is_made or not change.is_derived else [change, *made]
    for change in further:
        change.is_derived = True
    return further


async def _judged(
    kind: Kind[F, J], context: Context, after: View, programs: Programs, change: Change, was: F | None
) -> list[Change]:
    task, now = change.resource, kind.found(change)
    if was is None or was.status == "draft":
        if task is None or now is None:
            return []
        if now.status == "draft" or (was and now.status in GIVEN_UP):
            _check_nothing_said(task, now)
            return []
        return await _opened(kind, context, after, programs, task, now)
    if task is None or now is None or was.status == now.status:
        return []
    if not was.is_open:
        raise conflict(f"{was.task} is {was.status}, and stays so: propose a {kind.noun} anew.", was.task)
    if now.status not in ANSWERS:
        raise conflict(f"A proposal does not become {now.status}. Legal are {LEGAL}.", was.task)
    await _check_who(kind, context, after, programs, was, now.status)
    if now.status in ACCEPTING:
        return await kind.accepted(context, after, programs, task, was)
    return await _put_down(kind, context, after, programs, task, was, now.status)


# Proposed


def _check_nothing_said(task: Resource, found: Proposed) -> None:
    """Of a draft nothing became yet."""
    if record.states(task):
        why = f"{found.task} is {found.status}: of what is not proposed nothing became yet."
        raise unprocessable(why, found.task, "Task.businessStatus")


async def _opened(
    kind: Kind[F, J], context: Context, after: View, programs: Programs, task: Resource, found: F
) -> list[Change]:
    """The proposal with all that it says by itself. Problem where it may not be made."""
    if found.status != "requested":
        raise unprocessable(f"A proposal begins as requested, not as {found.status}", found.task, "Task.status")
    proposal = await kind.judged(context, after, programs, found)
    await _check_alone(kind, after, proposal, found)
    proposer = await _proposer(kind, context, after, proposal, found)
    for named, wanted, path in (
        (found.proposer, proposer, "Task.requester"),
        (found.answerer, proposal.pair.other(proposer), "Task.owner"),
    ):
        if named not in (None, wanted):
            both = " and ".join(proposal.pair.organizations)
            why = f"{found.patient}'s {kind.noun} is agreed on by {both}: here is {wanted}."
            raise kind.refused(proposal.terms, why, found.task, path)
    given = record.others(task.get("output", ()))
    rest = {name: value for name, value in task.items() if name != "output"}
    output = {"output": given} if given else {}
    whole = {**rest, **output, **_said(context, proposal, proposer), **kind.told(task, proposal)}
    return [] if whole == task else [put(whole)]


async def _check_alone(kind: Kind[F, J], after: View, proposal: J, found: F) -> None:
    """One proposal at a time, between the same two; one of the same commit may not name them yet."""
    waiting = await kind.others(after, proposal.member.patients, but=found.task)
    between = {*proposal.pair.organizations, None}
    if others := [one for one in waiting if {one.proposer, one.answerer} <= between]:
        first = min(one.task for one in others)
        why = (
            f"A {kind.noun} for {found.patient} is proposed already: answer {first} first (accept, decline or "
            "counter), or let who proposed it withdraw it."
        )
        raise conflict(why, found.task, "Task.for")


def _is_between(found: Proposed, pair: Pair) -> bool:
    return {found.proposer, found.answerer} == set(pair.organizations)


def check_between(found: Judged, rule: Rule, was: Proposed) -> None:
    """What is accepted is agreed on by the two who have the member: Problem where others have by now."""
    if not _is_between(was, found.pair):
        both = " and ".join(found.pair.organizations)
        why = f"{was.patient} is with {both} by now, and {was.task} is between {was.proposer} and {was.answerer}."
        raise refused(found.terms, rule, why, was.task, "Task.for")


async def _proposer(kind: Kind[F, J], context: Context, after: View, proposal: J, found: F) -> str:
    """The organization that is named, or of who acts."""
    if context.actor is None:
        return found.proposer or kind.proposer(proposal)
    acting = await organizations(after, context.actor, micros(context.now))
    named = [one for one in proposal.pair.organizations if one in acting and found.proposer in (None, one)]
    if not named:
        who = found.proposer or " or ".join(proposal.pair.organizations)
        why = f"{context.actor} does not act for {who}, which is whose it is to propose."
        raise kind.refused(proposal.terms, why, found.task, "Task.requester")
    return named[0]


def _said(context: Context, proposal: Judged, proposer: str) -> Resource:
    """What every proposal's Task says; what a client wrote beside it stays."""
    program = proposal.terms.program
    return {
        "instantiatesCanonical": program.canonical,
        "status": "requested",
        "businessStatus": concept(f"{record.STATE}|proposed"),
        "intent": "proposal",
        "authoredOn": period.text(micros(context.now), program.zone),
        "requester": {"reference": proposer},
        "owner": {"reference": proposal.pair.other(proposer)},
    }


# Answered


async def _check_who(kind: Kind[F, J], context: Context, after: View, programs: Programs, was: F, status: str) -> None:
    """An answer is the other organization's word: of who acts for both it would be one's own."""
    whose, other = (was.answerer, was.proposer) if ANSWERS[status] == "answerer" else (was.proposer, None)
    acting = await organizations(after, context.actor, micros(context.now)) if context.actor else set()
    if context.actor is None or (whose in acting and other not in acting):
        return
    why = f"{context.actor} does not act for {whose}, whose word that is."
    if whose in acting:
        why = (
            f"{context.actor} acts for {other}, too, which proposed it: the answer is {whose}'s own, in a role there "
            "alone (a PractitionerRole), or the organization's."
        )
    raise kind.refused(terms_of(programs, was, micros(context.now)), why, was.task, "Task.status")


async def _put_down(
    kind: Kind[F, J], context: Context, after: View, programs: Programs, task: Resource, was: F, status: str
) -> list[Change]:
    """Declined with a reason, or countered by another proposal in the same commit; withdrawn; received is no answer."""
    if status == "received":
        return []
    state = "withdrawn"
    if status == "rejected":
        others = await kind.others(after, [was.patient], but=was.task)
        state = "countered" if any(one.proposer == was.answerer for one in others) else "declined"
    if state == "declined":
        _check_reason(kind, terms_of(programs, was, micros(context.now)), task, was)
    whole = {**task, "businessStatus": concept(f"{record.STATE}|{state}")}
    return [] if whole == task else [put(whole)]


def _check_reason(kind: Kind[F, J], terms: Terms, task: Resource, was: F) -> None:
    accepted, reason = set(kind.reasons(terms)), task.get("statusReason", {})
    if not reason or (accepted and accepted.isdisjoint(tokens([reason]))):
        known = ", ".join(sorted(accepted)) or "any, coded or in words"
        why = f"A proposal is declined for a reason (statusReason); accepted are {known}."
        raise kind.refused(terms, why, was.task, "Task.statusReason")
