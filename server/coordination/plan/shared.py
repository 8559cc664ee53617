"""Shared plan: where two organizations have a member together, one active CarePlan, which is of both and both accepted.

https://hl7.org/fhir/R4/careplan.html

In MAP since behavioral health is in its package (NY-11): what counts is the time that a plan is for (period), as far as
both have the member in it. A plan that is part of another one is no second plan, and what names others than the two as
author or contributor is none of theirs. What names no organization, nor anybody of one, is whose it is that writes it;
what names nobody at all and is written by nobody in particular, a second plan all the same. In other programs each has
its plan, and they are linked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Acceptance, Followed
from server.coordination.lead.terms import Pair, Terms, every, pairs
from server.coordination.period import Interval
from server.coordination.plan.content import content
from server.coordination.program.program import Rule
from server.coordination.program.programs import Programs
from server.coordination.responsibility.item import Acting, acting_for
from server.coordination.stored import read
from server.coordination.write import AS_RECORDED, Place, refusal
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Issue

Plans = dict[str, set[str]]  # the active plans, each with those of the two organizations that it is of
ONE, LINKED = "one", "linked"  # what the rule's parameter `plans` says
NONE: Mapping[str, frozenset[str]] = MappingProxyType({})


class Standing(NamedTuple):
    """An active plan that is part of no other one of the two: of which of them, and the time that it is for.

    Of neither is what nobody in particular writes, naming nobody.
    """

    of: frozenset[str]
    when: Interval


def rule_of(terms: Terms, at: int) -> Rule | None:
    """The rule that there is one plan, where it is in force."""
    rule = _ruling(terms, ONE)
    return rule if rule and period.holds([rule.period], at) else None


def _ruling(terms: Terms, plans: str) -> Rule | None:
    return next((rule for rule in terms.program.of_kind("shared-plan") if rule.parameters["plans"] == plans), None)


def is_active(change: Change) -> bool:
    return (change.resource or {}).get("status") == "active"


async def plans(view: View, member: Member, pair: Pair) -> Plans:
    """The active plans of the two organizations that are part of no other one."""
    return {reference: set(one.of) for reference, one in (await standing(view, member, pair, "UTC")).items()}


async def standing(
    view: View, member: Member, pair: Pair, zone: str, unnamed: Mapping[str, frozenset[str]] = NONE
) -> dict[str, Standing]:
    """Those plans, each with the time that it is for; of those that name nobody, the `unnamed`, of whom these say."""
    rows = (await view.facts("plan", member.patients)).values()
    found = {row.source: Followed.of(row) for some in rows for row in some}
    known = await acting_for(view, member.patients, {link for one in found.values() for link in one.keepers})
    whose = {
        reference: frozenset(of for link in one.keepers for of in known.get(link, ())) & set(pair.organizations)
        for reference, one in found.items()
    }
    taken = {
        reference: of
        for reference, of in unnamed.items()
        if reference in found and not _names_somebody(found[reference].keepers, known if of else None)
    }
    theirs = {reference: found[reference] for reference, of in whose.items() if of or reference in taken}
    return {
        reference: Standing(taken.get(reference, whose[reference]), period.between(one.start, one.end, zone))
        for reference, one in theirs.items()
        if not _is_part(reference, theirs)
    }


def _names_somebody(keepers: Sequence[str], known: Acting | None) -> bool:
    """Whether these say whose a plan is: as far as it is known, an organization by them; where nobody asks, anybody."""
    if known is None:
        return bool(keepers)
    return any(of.startswith("Organization/") for link in keepers for of in known.get(link, ()))


def _is_part(plan: str, found: Mapping[str, Followed]) -> bool:
    """True where it is part of a plan that is part of none; plans that are parts of one another are whole."""
    seen, waiting = {plan}, [plan]
    while waiting:
        wholes = [one for one in found[waiting.pop()].wholes if one in found]
        for one in wholes:
            if not any(whole in found for whole in found[one].wholes):
                return True
        waiting += [one for one in wholes if one not in seen]
        seen.update(wholes)
    return False


# One plan


async def one(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse a second active plan, one of one organization alone, and one that both have not accepted.

    What was so before stays as it was; the time up to now counts, and the first instant of what begins later.
    """
    now = micros(context.now)
    ruled = [(terms, rule) for terms in every(programs, now) if (rule := _ruling(terms, ONE))]
    patients = {key for change in changes for kind, key, _ in change.facts or () if kind in ("plan", "member")}
    if context.override is AS_RECORDED or not ruled or not patients:
        return []
    judging = await _together(after, patients, ruled)
    written = {change.reference: number for number, change in enumerate(changes)}
    issues: list[Issue] = []
    for member, terms, rule, pair in judging:
        judged = await _read(context, before, after, written, member, pair, (terms, rule))
        issues += [*_seconds(judged), *await _halves(judged)] or await _unaccepted(judged)
    return issues


async def _together(
    view: View, patients: Collection[str], ruled: Sequence[tuple[Terms, Rule]]
) -> list[tuple[Member, Terms, Rule, Pair]]:
    """Those of these members whom two organizations have in a program with such a rule: most have one, or none.

    Whose plans they have is asked of all at one question, for a view remembers.
    """
    members = await assignment.members(view, patients)
    found = [
        (member, terms, rule, pair)
        for member in {id(one): one for one in members.values()}.values()
        for terms, rule in ruled
        for pair in pairs(member, terms)
    ]
    if asked := {patient for member, *_ in found for patient in member.patients}:
        rows = (await view.facts("plan", asked)).values()
        await acting_for(view, asked, {link for some in rows for row in some for link in Followed.of(row).keepers})
    return found


@dataclass(frozen=True, slots=True)
class _Judged:
    """The plans of one member and two organizations, before and after a commit."""

    context: Context
    before: View
    after: View
    written: Sequence[str]  # of the member's plans and records
    terms: Terms
    rule: Rule
    pair: Pair
    were: Sequence[Mapping[str, Standing]]  # of each record of the member that was apart
    are: Mapping[str, Standing]
    lost: Mapping[str, Standing]  # those that say no more whose they are

    @property
    def now(self) -> int:
        return micros(self.context.now)

    def was(self, plan: str) -> Standing | None:
        return next((one[plan] for one in self.were if plan in one), None)

    def counted(self, *when: Interval) -> list[Interval]:
        """The time that these hold in common, as far as the rule is in force, both have the member, and it has come."""
        until = max(self.now, *(one.low for one in when)) + 1
        times = period.intersection(
            self.pair.times, [Interval(self.rule.period.low, min(self.rule.period.high, until))]
        )
        for one in when:
            times = period.intersection(times, period.union([one]))
        return times

    def refused(self, why: str, resource: str, path: str) -> Issue:
        return refusal(self.terms.program, self.rule, why, Place(resource, path))


async def _read(
    context: Context,
    before: View,
    after: View,
    written: Mapping[str, int],
    member: Member,
    pair: Pair,
    ruled: tuple[Terms, Rule],
) -> _Judged:
    terms, rule = ruled
    earlier = (await assignment.members(before, member.patients)).values()
    rows = [row for found in (await after.facts("plan", member.patients)).values() for row in found]
    theirs = {*(row.source for row in rows), *member.patients}
    own = sorted((one for one in theirs if one in written), key=written.__getitem__)
    unnamed = await _unnamed(context, after, own, pair)
    apart = {id(found): found for found in earlier}.values()
    were = [await standing(before, one, pair, terms.zone, unnamed) for one in apart]
    are = await standing(after, member, pair, terms.zone, unnamed)
    acting = await acting_for(after, member.patients, {link for row in rows for link in Followed.of(row).keepers})
    nobodys = {
        row.source
        for row in rows
        if not set(pair.organizations) & {of for link in Followed.of(row).keepers for of in acting.get(link, ())}
    }
    lost = {plan: one[plan] for one in were for plan in one if plan in nobodys}
    return _Judged(context, before, after, own, terms, rule, pair, were, are, lost)


async def _unnamed(context: Context, after: View, written: Sequence[str], pair: Pair) -> Mapping[str, frozenset[str]]:
    """Of which of the two what is written is where it names nobody: of whoever acts, and not of others who act."""
    if context.actor is None:
        return dict.fromkeys(written, frozenset())
    acts = await acting_for(after, (), {context.actor})
    of = frozenset(acts.get(context.actor, ())) & set(pair.organizations)
    return dict.fromkeys(written, of) if of else NONE


def _seconds(judged: _Judged) -> Iterator[Issue]:
    """Plans for a time that another one is for, too."""
    both = " and ".join(judged.pair.organizations)
    found = sorted(judged.are)
    for index, plan in enumerate(found):
        for other in found[index + 1 :]:
            if not _are_together(judged, plan, other):
                continue
            first, second = (other, plan) if plan in judged.written else (plan, other)
            why = (
                f"{second} would be a second active plan beside {first}: {both} have one. Put what it says into that "
                "one, let it be part of it (partOf), or let its period begin as the other one's ends; what is somebody "
                "else's names them (author)."
            )
            is_written = second in judged.written
            place = (second, "CarePlan.status") if is_written else (judged.written[0], "Patient.link")
            yield judged.refused(why, *place)


def _are_together(judged: _Judged, plan: str, other: str) -> bool:
    """True where there is a time that both are for, and there was not."""
    after = judged.counted(judged.are[plan].when, judged.are[other].when)
    before = [judged.counted(one[plan].when, one[other].when) for one in judged.were if plan in one and other in one]
    return bool(period.difference(after, before[0] if before else []))


async def _halves(judged: _Judged) -> list[Issue]:
    """Plans that come to be of one of both, or of neither; of both, where they have no agreement to share one under."""
    found = list[Issue]()
    for plan in judged.written:
        now = judged.are.get(plan) or judged.lost.get(plan)
        if now is None:
            continue
        of = now.of if plan in judged.are else frozenset[str]()
        missing, was = sorted(set(judged.pair.organizations) - of), judged.was(plan)
        if plan in judged.are and not of and not (was and was.of):
            continue  # it names nobody, and did not
        before = judged.counted(was.when) if was and was.of == of else []
        if not period.difference(judged.counted(now.when), before):
            continue
        may_share = await _may_share(judged, now.when)
        if missing and (may_share or not of):
            why = f"{' and '.join(missing)} is not among its contributors: the one plan is of both."
            found.append(judged.refused(why, plan, "CarePlan.contributor"))
        elif not missing and not may_share:
            found.append(_unshared(judged, plan))
    return found


def _unshared(judged: _Judged, plan: str) -> Issue:
    why = (
        f"{' and '.join(judged.pair.organizations)} have no agreement in force, under which a plan is shared: until "
        f"they have, {plan} is of one of them alone."
    )
    return refusal(judged.terms.program, judged.terms.agreement, why, Place(plan, "CarePlan.contributor"))


async def _may_share(judged: _Judged, when: Interval) -> bool:
    """True where the two have an agreement in force as the plan begins, or now, or need none then."""
    at = max(judged.now, when.low)
    if not period.holds([judged.terms.agreement.period], at):
        return True
    return await agreement.in_force(judged.after, judged.terms.program, judged.pair.organizations, at) is not None


async def _unaccepted(judged: _Judged) -> list[Issue]:
    """Plans of both that somebody makes active, or changes, without the other's word; the local system speaks for both.

    What goes on with a plan (status, progress, notes) is no change of what was agreed on.
    """
    if judged.context.actor is None:
        return []
    return [
        judged.refused(
            f"{plan} is not accepted by both, {' and '.join(judged.pair.organizations)}, as it is: keep it as a draft "
            "(a change of an active plan: a draft that replaces it), propose it to the other organization (a Task of "
            "the code plan-acceptance with it as focus, or Patient/$comprehensive-plan with propose), and it is active "
            "as soon as that one accepts (Task/$respond).",
            plan,
            "CarePlan.status",
        )
        for plan in judged.written
        if plan in judged.are
        and len(judged.are[plan].of) == 2
        and judged.counted(judged.are[plan].when)
        and not await _is_accepted(judged, plan)
    ]


async def _is_accepted(judged: _Judged, plan: str) -> bool:
    """True of what both have accepted as it is, and of what was active before and says the same."""
    agreed, was = content(await _there(judged.after, plan)), judged.was(plan)
    if was and len(was.of) == 2 and content(await _there(judged.before, plan)) == agreed:
        return True
    found = map(Acceptance.of, (await judged.after.facts("acceptance", [plan]))[plan])
    parties = set(judged.pair.organizations)
    return any(
        one.status == "completed" and one.content == agreed and {one.proposer, one.answerer} == parties for one in found
    )


async def _there(view: View, plan: str) -> Resource:
    found = await read(view, plan)
    assert found, "a fact is of a resource that is there"
    return found


# Linked plans


async def linked(context: Context, changes: Sequence[Change], after: View, programs: Programs) -> list[Change]:
    """Where each of both has a plan: what is written names the other's, as supportingInfo."""
    now = micros(context.now)
    ruled = [(terms, rule) for terms in every(programs, now) if (rule := _ruling(terms, LINKED))]
    patients = {key for change in changes for kind, key, _ in change.facts or () if kind == "plan"}
    if context.override is AS_RECORDED or not ruled or not patients:
        return []
    written = {change.reference: change for change in changes}
    found: dict[str, Change] = {}
    for member, terms, rule, pair in await _together(after, patients, ruled):
        if period.holds(pair.times, now) and period.holds([rule.period], now):
            _link(written, await standing(after, member, pair, terms.zone), now, found)
    return list(found.values())


def _link(changes: Mapping[str, Change], are: Mapping[str, Standing], now: int, found: dict[str, Change]) -> None:
    for written, own in are.items():
        change = changes.get(written)
        plan = change.resource if change else None
        if change is None or plan is None or not _is_on(own, now):
            continue
        others = [reference for reference, one in are.items() if one.of != own.of and _is_on(one, now)]
        named = {str(link.get("reference")).partition("/_history/")[0] for link in plan.get("supportingInfo", ())}
        missing = [{"reference": one} for one in sorted(others) if one not in named]
        if missing:
            whole = {**plan, "supportingInfo": [*plan.get("supportingInfo", ()), *missing]}
            found[change.reference] = _written(change, whole)


def _is_on(one: Standing, now: int) -> bool:
    return one.when.high > now


def _written(change: Change, plan: Resource) -> Change:
    return Change(change.method, "CarePlan", change.id, plan, Body.of(plan).text(change.id), is_derived=True)
