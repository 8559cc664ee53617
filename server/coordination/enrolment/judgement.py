"""Judgement: what a commit does to enrolments: refused, or with the Tasks and Flags that follow from it.

One look at a commit's facts tells whether it concerns a program with such rules; most do not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from server.coordination import facts
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.enrolment import coverage, eligibility, offer, single
from server.coordination.enrolment.case import Case, derived
from server.coordination.facts import Cover, Decision, Enrolment, Evidence, Offer
from server.coordination.program.programs import Programs
from server.ledger import Change, Context, Fact, View
from server.outcome import Issue, Problem

KINDS = frozenset({"coverage", "eligibility", "offer", "single-enrollment"})
TOLD = {"Condition", "Consent", "Coverage", "Observation", "QuestionnaireResponse"}  # what is known of a member
EVIDENCE = {"Condition", "Observation", "QuestionnaireResponse"}
OWN = {"consent", "coverage", "evidence", "offer"}  # kinds of fact


def concerns(change: Change) -> bool:
    """True of what says something that a rule may ask for, and of what is deleted, which may have."""
    if change.type not in TOLD:
        return False
    if change.type == "Consent" and change.method != "POST":
        return True
    return (change.resource is None and change.type in EVIDENCE) or any(
        kind in OWN for kind, _, _ in change.facts or ()
    )


async def judged(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """Further changes. Problem business_rule with all that is refused."""
    if programs.kinds.isdisjoint(KINDS):
        return []
    patients, known, decided = await _patients(before, changes, programs)
    if not patients:
        return []
    issues: list[Issue] = []
    further: list[Change] = []
    written, tasks = {change.reference: change for change in changes}, _offers(changes, known)
    for case in await _cases(context, before, changes, after, programs, patients):
        offer.check_kept(case, written, decided)
        own = [change for patient in case.member.patients for change in tasks.get(patient, ())]
        issues += await offer.answered(case, own, known)
        for rule in _RULES:
            issues += await rule(case)
        further += case.changes()
    if issues:
        raise Problem.with_issues("business_rule", issues)
    return further


async def offered(context: Context, view: View, programs: Programs, patients: Collection[str]) -> list[Change]:
    """The Tasks that members lack, and those that are over, as things stand. Nothing is written besides."""
    further: list[Change] = []
    for case in await _cases(context, view, (), view, programs, set(patients)) if patients else ():
        await offer.judged(case)
        further += case.changes()
    return further


async def _coverage(case: Case) -> list[Issue]:
    return coverage.judged(case)


_RULES: tuple[Callable[[Case], Awaitable[list[Issue]]], ...] = (
    _coverage,
    eligibility.judged,
    offer.judged,
    single.judged,
)


async def _patients(
    before: View, changes: Sequence[Change], programs: Programs
) -> tuple[set[str], dict[str, Offer], dict[str, Decision]]:
    """Whom the changes concern, and the offers and decisions that they write, as they were."""
    types = _types(programs)
    own = [change for change in changes if not change.is_derived]
    rows = [(change, row) for change in own for row in change.facts or ()]
    patients = {key for _, (kind, key, _) in rows if kind in OWN and key.startswith("Patient/")}
    enrolling = {change.reference for change, (kind, _, data) in rows if kind == "member" and _enrols(data, types)}
    patients |= {key for change, (kind, key, _) in rows if kind == "member" and change.reference in enrolling}
    stored = [change for change in own if change.method != "POST" and change.reference not in enrolling]
    offers = await _stored(before, "offer", stored, {"Task"})
    patients |= {str(row.data) for row in await _stored(before, "subject", stored, {"EpisodeOfCare"})}
    patients |= {row.data[0] for row in await _stored(before, "evidence", stored, EVIDENCE)}
    known = {row.source: Offer.of(row) for row in offers}
    decided = {row.source: Decision.of(row) for row in await _stored(before, "consent", stored, {"Consent"})}
    patients |= {one.patient for one in known.values()} | {one.patient for one in decided.values()}
    return patients, known, decided


def _enrols(data: Any, types: frozenset[str]) -> bool:
    return data[0] == facts.ENROLMENT and not types.isdisjoint(data[1])


async def _stored(before: View, kind: str, changes: Sequence[Change], types: set[str]) -> list[Fact]:
    """What resources of these types were, by their own facts."""
    references = [change.reference for change in changes if change.type in types]
    found = await before.facts(kind, references) if references else {}
    return [row for rows in found.values() for row in rows if row.source == row.key]


@lru_cache(maxsize=16)
def _types(programs: Programs) -> frozenset[str]:
    """The kinds of episode that such rules are about."""
    found: set[str] = set()
    for url in programs:
        for dated in programs.by_url[url]:
            for rule in dated.program.rules:
                if rule.kind in KINDS:
                    found |= dated.program.types
                    found |= {rule.parameters["program"]} if rule.kind == "offer" else set()
                    found |= set(rule.parameters["type"]) if rule.kind == "single-enrollment" else set()
    return frozenset(found)


async def _cases(
    context: Context,
    before: View,
    changes: Sequence[Change],
    after: View,
    programs: Programs,
    patients: set[str],
) -> list[Case]:
    """A case for each member who is, or was, in one of the programs, or has an offer of one."""
    types, written = _types(programs), frozenset(change.reference for change in changes if not change.is_derived)
    members = list({id(one): one for one in (await assignment.members(after, patients)).values()}.values())
    records = [patient for member in members for patient in member.patients]
    were = await before.facts("member", records)
    read = {kind: await after.facts(kind, records) for kind in sorted(OWN)}
    is_evident = any(change.type in EVIDENCE and change.method != "POST" for change in changes)
    had = await before.facts("evidence", records) if is_evident else {}
    await after.read_many(_asked(members))  # at one question; a view remembers
    found = []
    for member in members:
        earlier = [Enrolment.of(row) for one in member.patients for row in were[one] if row.data[0] == facts.ENROLMENT]
        case = Case(context, before, after, programs, member, earlier, written)
        case.evidence, case.decisions, case.covers, case.offers = (
            [of(row) for one in member.patients for row in read[kind][one]] for kind, of in _OF
        )
        case.had = [Evidence.of(row) for one in member.patients for row in had.get(one, ())]
        if case.offers or any(not types.isdisjoint(one.types) for one in (*member.enrolments, *earlier)):
            found.append(case)
    return found


def _asked(members: Iterable[Member]) -> list[str]:
    """The Tasks and Flags that the members' episodes may have."""
    kinds = (("Flag", eligibility.LACKING), ("Task", single.OVERLAP))
    return [derived(*kind, one) for member in members for one in member.enrolments for kind in kinds]


_OF: tuple[tuple[str, Callable[[Fact], Any]], ...] = (
    ("evidence", Evidence.of),
    ("consent", Decision.of),
    ("coverage", Cover.of),
    ("offer", Offer.of),
)


def _offers(changes: Sequence[Change], known: Mapping[str, Offer]) -> dict[str, list[Change]]:
    """The changes that are offers, or were, by whom they are for."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        if one := known.get(change.reference) or offer.of(change):
            found.setdefault(one.patient, []).append(change)
    return found
