"""Designation: a member's lead, as one organization proposes it and the other accepts it."""

from __future__ import annotations

from server.coordination.facts import DESIGNATION, TASK, Designation
from server.coordination.lead.naming import named
from server.coordination.lead.opening import Proposal, judged, told
from server.coordination.program.programs import Programs
from server.coordination.proposal import Kind, check_between
from server.ledger import Change, Context, Resource, View


async def _accepted(
    context: Context, after: View, programs: Programs, task: Resource, was: Designation
) -> list[Change]:
    proposal = await judged(context, after, programs, was)
    check_between(proposal, proposal.terms.rule, was)
    return await named(context, after, task, proposal)


LEAD: Kind[Designation, Proposal] = Kind(
    noun="lead",
    code=DESIGNATION,
    dispute=f"{TASK}|lead-dispute",
    unsettled="Who leads",
    fact="designation",
    of=Designation.of,
    rule=lambda terms: terms.rule,
    reasons=lambda terms: terms.rule.parameters["reason"],
    judged=judged,
    proposer=lambda found: found.lead.organization or "",
    told=told,
    accepted=_accepted,
)
