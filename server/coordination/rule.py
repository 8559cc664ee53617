"""Rule: the care rules over one commit at the ledger's head, in one fixed order.

Every write comes here, whatever door it came through; one that concerns no rule costs a look at its types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.coordination import escalation, modifier, parting, proposal, write
from server.coordination.agreement import agreement, expiry
from server.coordination.agreement.document import KEPT
from server.coordination.assignment import episode, staff, team
from server.coordination.caseload import caseload
from server.coordination.communication import notification
from server.coordination.enrolment import judgement as enrolment
from server.coordination.enrolment import segment
from server.coordination.handoff import hold, judgement
from server.coordination.lead import kept as lead
from server.coordination.lead import person, review
from server.coordination.lead.designation import LEAD
from server.coordination.plan import deletion
from server.coordination.plan import shared as shared_plan
from server.coordination.plan.acceptance import PLAN
from server.coordination.program import amendment
from server.coordination.program.programs import Programs, active
from server.coordination.responsibility import attribution, consequence, responsibility
from server.ledger import Change, Context, View
from server.outcome import Issue, Problem

ASSIGNING = frozenset({"CareTeam", "EpisodeOfCare", "Patient", "Practitioner", "PractitionerRole"})
DOCUMENTS = frozenset({"CarePlan", "Contract", "PlanDefinition", "QuestionnaireResponse", "Task"})
WATCHED = ASSIGNING | DOCUMENTS | enrolment.TOLD | {"Organization"} | {*KEPT}

PROPOSED: tuple[proposal.Kind[Any, Any], ...] = (PLAN, LEAD)  # what two organizations agree on

# What a commit must be for its assignments to be counted, what counting them then refuses, and what stays as it was.
SOUND = (
    modifier.understood,
    team.references,
    team.marked,
    team.kept,
    episode.named,
    episode.past,
    episode.kept,
    staff.kept,
)
COUNTED = (team.exclusive, hold.kept, episode.care_manager, caseload.capped)
PAST = (staff.same,)


async def rules(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
    """Further changes, or a Problem that refuses the commit with every issue that its rules find."""
    further: Sequence[Change] = ()
    if any(change.type in WATCHED for change in changes):
        concerning = [one for one in changes if _concerns(one)]
        further = await _judged(context, before, await _concerned(before, concerning), after)
    if context.actor is not None:
        further = [*further, *await attribution.attributed(context, changes, after)]
        latest = {change.reference: change for change in (*changes, *further)}
        further = [*further, *await notification.told(context, before, list(latest.values()), after)]
    if further:
        return further
    issues = await consequence.coordinated(context, before, changes, after)
    return [*issues, *await review.reviewed(context, before, changes, after)]


def _concerns(change: Change) -> bool:
    if change.type == "Practitioner":
        return change.resource is None
    if change.method == "POST" and change.type in {"Patient", "PractitionerRole"}:
        return change.type == "Patient" and _is_linked(change)
    if change.type == "CarePlan":
        return change.resource is None or shared_plan.is_active(change)
    if change.type in enrolment.TOLD and enrolment.concerns(change):
        return True
    if change.type == "Organization":
        return change.resource is None or any(kind == "closure" for kind, _, _ in change.facts or ())
    if change.type in {"QuestionnaireResponse", *KEPT}:
        return change.method != "POST"
    if change.type in {"Contract", "Task"} and change.method == "POST":
        return bool(change.facts)
    return change.type in WATCHED - enrolment.TOLD


def _is_linked(change: Change) -> bool:
    return any(kind == "member" for kind, _, _ in change.facts or ())


async def _concerned(before: View, changes: list[Change]) -> list[Change]:
    """Patients that are no part of a merge, and Tasks and forms that no rule knows, concern no rule."""
    patients = [change for change in changes if change.type == "Patient" and change.resource is not None]
    unlinked = [change.reference for change in patients if not _is_linked(change)]
    loose = [change.reference for change in changes if change.type == "Task" and not change.facts]
    apart: set[str] = set()
    forms = [change.reference for change in changes if change.type == "QuestionnaireResponse" and not change.facts]
    for kind, references in (("member", unlinked), ("subject", loose), (LEAD.fact, forms)):
        if references:
            found = await before.facts(kind, references)
            apart |= {
                one for one in references if not any(kind == LEAD.fact or fact.source == one for fact in found[one])
            }
    return [change for change in changes if change.reference not in apart] if apart else changes


async def _judged(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
    if not changes:
        return ()
    written = [change for change in changes if change.type == "PlanDefinition"]
    further = await amendment.checked(context, before, written, after) if written else []
    if len(written) == len(changes):
        return further
    programs = await active(after)
    further = [*further, *await _documents(context, before, changes, after, programs)]
    further += await enrolment.judged(context, before, changes, after, programs)
    _refuse(segment.sound(context, [change for change in changes if change.type == "EpisodeOfCare"], programs))
    _refuse(await person.same(context, before, changes, after, programs))
    closing = [change for change in changes if change.type == "Organization" and change.resource is not None]
    further += await lead.closures(context, before, closing, after, programs) if closing else []
    tasks = [change for change in changes if change.type == "Task"]
    opened: list[Change] = []
    if tasks:
        proposed = [(kind, await proposal.concerned(kind, context, before, tasks)) for kind in PROPOSED]
        for kind, found in proposed:
            further += await proposal.judged(kind, context, found, after, programs)
            further += await escalation.answered(kind, found, after)
        transfers = await judgement.judged(context, before, tasks, after, programs)
        further, opened = [*further, *transfers.further], transfers.opened
    if any(change.type == "CareTeam" for change in further):
        return further  # what the teams call for is judged by what they say then
    assigning = [change for change in changes if change.type in ASSIGNING] + opened
    if not assigning or not (programs.roles or programs.leads):
        return further
    commit = await write.read(context, before, assigning, after, programs)
    _refuse(await lead.kept(commit))
    further += [*await lead.lapses(commit), *await team.closings(commit), *await parting.parted(commit, PROPOSED)]
    if further:
        return further
    for kinds in (SOUND, COUNTED, PAST):
        _refuse([issue for kind in kinds for issue in await kind(commit)])
    return ()


def _refuse(issues: Sequence[Issue]) -> None:
    if issues:
        raise Problem.with_issues("business_rule", issues)


async def _documents(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """What two organizations rest on: their agreements, forms and plans.

    What follows is when an agreement ends, and how plans are linked.
    """
    plans = [change for change in changes if change.type in {"CarePlan", "Patient"}]
    contracts = [change for change in changes if change.type == "Contract"]
    forms = [change for change in changes if change.type == "QuestionnaireResponse"]
    if plans:
        _refuse(await shared_plan.one(context, before, plans, after, programs))
        _refuse(await deletion.kept(context, before, [one for one in plans if one.type == "CarePlan"], after, programs))
    if contracts:
        _refuse(await agreement.sound(context, before, contracts, after, programs))
        _refuse(responsibility.unread(context, contracts, programs))
    if kept := [change for change in changes if change.type in KEPT]:
        _refuse(await agreement.texts(context, before, kept, after, programs))
    if forms:
        _refuse(await lead.forms(context, before, forms, after, programs))
    links = await shared_plan.linked(context, plans, after, programs) if plans else []
    return [*links, *(await expiry.tasks(context, before, contracts, after, programs) if contracts else [])]
