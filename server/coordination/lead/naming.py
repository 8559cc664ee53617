"""Naming: the accepted lead leads: in the CareTeams of both organizations, from the instant at which the former ends.

All of it is one commit, with the Task that accepts, so that there is no instant with two leads or, once one was named,
without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.coordination import period
from server.coordination.assignment import directory
from server.coordination.communication import demographics, letter, notice, template
from server.coordination.facts import PROGRAM_EXTENSION, Designation, Team
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.opening import Proposal, term
from server.coordination.lead.terms import Terms, leading, leads
from server.coordination.record import STATE, others
from server.coordination.stored import read
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View, micros


async def named(context: Context, after: View, task: Resource, proposal: Proposal) -> list[Change]:
    """The Task with its outcome, the CareTeams, and a notice to each of both."""
    own = await _own(context, after, proposal)
    since = _text(proposal, proposal.start)
    teams = await _ended(after, proposal, own)
    for reference in own:
        team = teams[reference]
        teams[reference] = {**team, "participant": [*team.get("participant", ()), _participant(proposal, since)]}
    done = {
        **task,
        "status": "completed",
        "businessStatus": concept(f"{STATE}|accepted"),
        "output": [
            *others(task.get("output", ())),
            term("since", since, "valueDateTime"),
            *([term("agreement", {"reference": proposal.agreement})] if proposal.agreement else []),
            *(term("care-team", {"reference": reference}) for reference in own),
        ],
    }
    return [put(done), *map(written, teams.values()), *await _notices(context, after, proposal)]


def _text(proposal: Proposal, at: int) -> str:
    return period.text(at, proposal.terms.zone)


# The CareTeams


async def _own(context: Context, after: View, proposal: Proposal) -> dict[str, Resource]:
    """Each organization's CareTeam of the member; where it has none, one that is made."""
    url = proposal.terms.program.url
    rows = (await after.facts("team", proposal.member.patients)).values()
    there = [team for found in rows for team in map(Team.of, found) if team.status in (None, "active")]
    own: dict[str, Resource] = {}
    for organization in proposal.pair.organizations:
        fitting = [one for one in there if organization in one.organizations and url in (one.programs or [url])]
        best = min(fitting, key=lambda one: (url not in one.programs, one.reference), default=None)
        team = await read(after, best.reference) if best else _new(context, proposal, organization)
        assert team, "a fact is of a resource that is there"
        own[f"CareTeam/{team['id']}"] = team
    return own


def _new(context: Context, proposal: Proposal, organization: str) -> Resource:
    return {
        "resourceType": "CareTeam",
        "id": context.derive(f"{proposal.found.task} team of {organization}"),
        "extension": [{"url": PROGRAM_EXTENSION, "valueCanonical": proposal.terms.program.url}],
        "status": "active",
        "subject": {"reference": proposal.found.patient},
        "managingOrganization": [{"reference": organization}],
    }


async def _ended(after: View, proposal: Proposal, own: Mapping[str, Resource]) -> dict[str, Resource]:
    """These teams, and every other one in which somebody would lead at that instant or later: closed then."""
    teams = dict(own)
    for one in leads(proposal.member, proposal.terms):
        low, high = leading(one, proposal.terms.zone)
        if low < proposal.until and high > max(low, proposal.start):
            team = teams.get(one.team) or await read(after, one.team) or {}
            teams[one.team] = reaching(team, one.place, _text(proposal, max(low, proposal.start)))
    return teams


def reaching(team: Resource, place: int, end: str | None) -> Resource:
    """The team with one participant's period until an end; without one where there is none."""
    participants = list(team["participant"])
    left = {name: value for name, value in participants[place].get("period", {}).items() if name != "end"}
    participants[place] = {**participants[place], "period": {**left, **({"end": end} if end else {})}}
    return {**team, "participant": participants}


def written(team: Resource) -> Change:
    return Change("PUT", "CareTeam", team["id"], team, Body.of(team).text(team["id"]))


def _participant(proposal: Proposal, since: str) -> Resource:
    end = {"end": _text(proposal, proposal.until)} if proposal.until < period.NEVER else {}
    return {
        "role": [concept(proposal.terms.role)],
        "member": {"reference": proposal.found.lead},
        "period": {"start": since, **end},
    }


# Both are told


async def _notices(context: Context, after: View, proposal: Proposal) -> list[Change]:
    texts = proposal.terms.rule.parameters["notice-text"]
    found = proposal.found._replace(organization=proposal.lead.organization)
    return await notices(context, after, proposal.terms, found, proposal.pair.organizations, texts, proposal.start)


async def notices(
    context: Context,
    after: View,
    terms: Terms,
    found: Designation,
    parties: Sequence[str],
    texts: Sequence[str],
    at: int,
) -> list[Change]:
    """A Communication to each of both, from the other, about what is or was agreed on; none without a text."""
    told = await _words(after, terms, found, at, micros(context.now))
    text = "\n".join(template.filled(texts, told))
    ids = {one: context.derive(f"{found.task} notice to {one}") for one in parties}
    return [
        notice.notice(str(found.patient), found.task, other, one, text, ids[one], context.now)
        for one, other in zip(parties, reversed(parties), strict=True)
        if text
    ]


async def _words(after: View, terms: Terms, found: Designation, at: int, now: int) -> dict[str, str]:
    lead = await directory.manager(after, found.lead, now, terms.zone)
    member = await directory.read(after, found.patient)
    organization = await directory.read(after, found.organization)
    return {
        "member": demographics.name(member.get("name"), now, terms.zone) or "the member",
        "manager": lead.name or lead.reference,
        "telecom": " or ".join(lead.telecom) or "no telecom on file",
        "organization": str(organization.get("name", "")),
        "effective": letter.day(at, terms.zone),
    }
