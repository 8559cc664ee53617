"""Shared plan: where two organizations have a member together, one active CarePlan, which is of both.

https://hl7.org/fhir/R4/careplan.html

In MAP since behavioral health is in its package (NY-11). A plan that is part of another one is no second plan, and what
names neither organization as author or contributor is none of theirs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import literal
from server.coordination.lead.terms import Pair, Terms, every, pair_at
from server.coordination.program.program import Rule
from server.coordination.program.programs import Programs
from server.coordination.responsibility.item import acting_for
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Issue

Plans = dict[str, set[str]]  # the active plans, each with those of the two organizations that it is of


def rule_of(terms: Terms, at: int) -> Rule | None:
    """The rule, where it is in force."""
    found = terms.program.of_kind("shared-plan")
    return next((rule for rule in found if period.holds([rule.period], at)), None)


def is_of_somebody(change: Change) -> bool:
    """True of an active plan that says whose it is: no other one is looked at."""
    plan = change.resource or {}
    return plan.get("status") == "active" and ("author" in plan or "contributor" in plan)


async def one(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse a second active plan, and one of one organization alone; what was so before stays as it was."""
    now = micros(context.now)
    ruled = [(terms, rule) for terms in every(programs, now) if (rule := rule_of(terms, now))]
    patients = {key for change in changes for kind, key, _ in change.facts or () if kind == "plan"}
    if context.override is AS_RECORDED or not ruled or not patients:
        return []
    members = await assignment.members(after, patients)
    issues: list[Issue] = []
    for member in {id(found): found for found in members.values()}.values():
        for terms, rule in ruled:
            if pair := pair_at(member, terms, now):
                was, are = await plans(before, member, pair), await plans(after, member, pair)
                issues += _judged(terms, rule, pair, was, are, {change.reference for change in changes})
    return issues


async def plans(view: View, member: Member, pair: Pair) -> Plans:
    """The active plans of the two organizations that are part of no other one."""
    rows = (await view.facts("plan", member.patients)).values()
    found = await read_many(view, {row.source for some in rows for row in some})
    keepers = {reference: list(_keepers(plan)) for reference, plan in found.items()}
    known = await acting_for(view, member.patients, {link for links in keepers.values() for link in links})
    whose = {
        reference: {one for link in links for one in known.get(link, ())} & set(pair.organizations)
        for reference, links in keepers.items()
    }
    return {reference: of for reference, of in whose.items() if of and not _is_part(found[reference], found)}


def _keepers(plan: Resource) -> Iterable[str]:
    links = (literal(link) for link in (plan.get("author"), *plan.get("contributor", ())))
    return (link for link in links if link)


def _is_part(plan: Resource, found: Container[str]) -> bool:
    return any((literal(link) or "") in found for link in plan.get("partOf", ()))


def _judged(terms: Terms, rule: Rule, pair: Pair, was: Plans, are: Plans, written: set[str]) -> list[Issue]:
    issues = []
    for reference in sorted(written & are.keys()):
        others = sorted(are.keys() - {reference})
        if others and len(are) > max(1, len(was)):
            why = (
                f"{reference} would be a second active plan beside {others[0]}: {' and '.join(pair.organizations)} "
                "have one. Put what it says into that one, or let it be part of it (partOf)."
            )
            issues.append(refusal(terms.program, rule, why, Place(reference, "CarePlan.status")))
        missing = sorted(set(pair.organizations) - are[reference])
        if missing and are[reference] != was.get(reference):
            why = f"{' and '.join(missing)} is not among its contributors: the one plan is of both."
            issues.append(refusal(terms.program, rule, why, Place(reference, "CarePlan.contributor")))
    return issues
