"""Patient/[id]/$comprehensive-plan: what both organizations plan and order for a member, as one plan to read.

With `propose` it is stored as a draft, and proposed to the other organization.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from server.coordination import period, stored
from server.coordination.actor import organizations
from server.coordination.agreement import agreement
from server.coordination.facts import Team, literal
from server.coordination.lead.who import Lead, is_led_by, lead
from server.coordination.plan import shared as shared_plan
from server.coordination.plan.acceptance import proposed
from server.coordination.plan.comprehensive import LISTS, Plan, document, one_plan
from server.coordination.plan.conflict import conflicts, detail_of, refusals
from server.coordination.proposal import conflict
from server.coordination.responsibility.check import Check, When, check
from server.coordination.responsibility.detected_issue import issue
from server.coordination.responsibility.finding import findings, services
from server.coordination.responsibility.item import Item, acting_for
from server.coordination.write import Place, refusal
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Resource, View, micros
from server.ledger import Plan as Written
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.outcome import Issue, Problem
from server.repository import new_id
from server.search import compartment

PLANNED = ("CarePlan", "ServiceRequest")
MOST = 5000  # resources of one type


async def comprehensive_plan(call: Call) -> Answer:
    """A Bundle of type document, read at one position. Problem forbidden for whoever acts for neither."""
    if call.inputs.one("propose"):
        return await _propose(call)
    view, now = await call.view()
    return Answer([("return", document(await _read(call, view, call.inputs.one("asOf"), now)))])


async def _propose(call: Call) -> Answer:
    """201 and the document, with the draft and the Task as they are stored."""
    if not call.writes or any(call.inputs.typed(name) for name in ("asOf", "at")):
        raise Problem.invalid("A plan is proposed by POST, as of now", place("propose"))
    now, id, task = datetime.now(UTC), new_id(), new_id()

    async def decide(view: View) -> Written:
        plan = await _read(call, view, None, micros(now))
        if plan.is_agreed:
            why = (
                "One plan of both is active: propose a draft that replaces it, with a Task of the code plan-acceptance"
            )
            raise conflict(why, call.reference, "CarePlan.status")
        if not plan.services:
            raise Problem.with_issues("unprocessable", [Issue("required", "Neither has anything planned or ordered")])
        draft = one_plan(plan) | {"id": id}
        made = Change("POST", "CarePlan", id, draft, Body.of(draft).text(id))
        return Written([made, proposed(call.reference, f"CarePlan/{id}", task)], _with(document(plan), plan.id, id))

    commit = await call.commit(decide, now)
    answer: Resource = commit.output
    for version in commit.versions:
        resource = body.loads(version.body or b"")
        where = next((one for one in answer["entry"] if one["resource"]["id"] == resource["id"]), None)
        if where:
            where["resource"] = resource
        elif version.type == "Task":
            answer["entry"].append({"fullUrl": f"{call.base_url}/{version.reference}", "resource": resource})
    return Answer([("return", answer)], status=201)


def _with(made: Resource, former: str, id: str) -> Resource:
    """The document with the one CarePlan under the id that it is stored by."""
    was, now = f"CarePlan/{former}", f"CarePlan/{id}"
    composition, whole, *rest = made["entry"]
    (link,) = composition["resource"]["section"][0]["entry"]
    assert link["reference"] == was, "the first section is the plan's"
    link["reference"] = now
    whole = {"fullUrl": whole["fullUrl"].replace(was, now), "resource": whole["resource"] | {"id": id}}
    return {**made, "entry": [composition, whole, *rest]}


async def _read(call: Call, view: View, as_of: str | None, now: int) -> Plan:
    await call.here(view)
    asked = await check(view, call.reference, When(now, as_of))
    if asked is None:
        why = f"{call.reference} is not with two organizations then: there is nothing to put together"
        raise Problem.with_issues("unprocessable", [Issue("required", why)])
    await _check_may_see(call, view, asked, now)
    at = asked.window.high - 1
    await _check_agreement(view, asked, at)
    if call.caller.actor not in (None, call.reference):  # sees what the other keeps under one that is in force now
        await _check_agreement(await call.present(view), asked, micros(datetime.now(UTC)))
    found = [one for type in PLANNED for one in await _of_member(view, asked, type)]
    resources = [stored.localized(one, call.base_url) for one in found]
    whose = await _whose(view, asked, resources)
    drafts = _drafts(resources, whose)
    planned = [one | {"status": "active"} if one["id"] in drafts else one for one in resources]
    listed = await services(view, asked, planned)
    refused = await services(view, asked, refusals(planned))
    named = {item.reference for item in (*listed, *refused)} | _on(planned, whose, asked, at)
    sources = {reference: one for one in resources if (reference := f"{one['resourceType']}/{one['id']}") in named}
    patient = stored.localized((await stored.read_many(view, [call.reference]))[call.reference], call.base_url)
    leading = await lead(view, call.reference, period.text(at, asked.terms.zone), now)
    beside = await _beside(view, asked, patient, listed, sources, leading, call.base_url)
    differing = conflicts([*listed, *refused], sources, _goals(sources.values(), whose, asked, beside))
    rule = shared_plan.rule_of(asked.terms, at) or asked.duplication or asked.terms.rule
    settled = [one.finding(asked.terms.program, rule) for one in differing]
    (told,) = await findings(view, [asked], planned)
    return Plan(
        asked,
        patient,
        sources,
        listed,
        [issue(asked, one, now) for one in [*told, *settled]],
        differing,
        beside,
        await _of_member(view, asked, "RelatedPerson"),
        leading,
        await _is_agreed(view, asked),
        at,
        now,
        view.position,
        call.base_url,
    )


async def _check_may_see(call: Call, view: View, asked: Check, now: int) -> None:
    """Somebody who acts for one of both organizations, the lead, and the member. The local system may all."""
    actor = call.caller.actor
    if actor is None or actor == call.reference:
        return
    acting = await organizations(view, actor, now)
    if acting.isdisjoint(asked.pair.organizations) and not await is_led_by(view, call.reference, actor, now):
        raise Problem.of("forbidden", f"{actor} acts for neither of two organizations that have {call.reference}")


async def _check_agreement(view: View, asked: Check, at: int) -> None:
    """A member's plan is shared under an agreement, where the program asks for one then."""
    pair, terms = asked.pair, asked.terms
    if not period.holds([terms.agreement.period], at):
        return
    if await agreement.in_force(view, terms.program, pair.organizations, at) is None:
        why = f"{' and '.join(pair.organizations)} have no agreement in force then, under which a plan is shared."
        raise Problem.with_issues("business_rule", [refusal(terms.program, terms.agreement, why, Place("", "Patient"))])


async def _of_member(view: View, asked: Check, type: str) -> list[Resource]:
    """The member's resources of a type."""
    found: list[Resource] = []
    for patient in asked.member.patients:
        versions = await view.search(type, compartment.filter(patient, type), MOST + 1)
        if len(versions) > MOST:
            raise Problem.of("too_costly", f"{patient} has more than {MOST} resources of the type {type}")
        found += [body.loads(version.body or b"") for version in versions]
    return found


# Whose plans


async def _whose(view: View, asked: Check, resources: Iterable[Resource]) -> dict[str, set[str]]:
    """Of which of the two each CarePlan is, by its id: "plan", "partner"."""
    keepers = {
        one["id"]: _links(one, "author", "contributor") for one in resources if one["resourceType"] == "CarePlan"
    }
    known = await acting_for(view, asked.member.patients, {link for links in keepers.values() for link in links})
    named = {"plan": asked.pair.plan, "partner": asked.pair.partner}
    return {
        id: {party for party, one in named.items() if any(one in known.get(link, ()) for link in links)}
        for id, links in keepers.items()
    }


def _drafts(resources: Sequence[Resource], whose: Mapping[str, set[str]]) -> set[str]:
    """The drafts of who has no active plan: of one of both alone, for what is of both is proposed already."""
    plans = [one for one in resources if one["resourceType"] == "CarePlan"]
    active = {party for one in plans if one.get("status") == "active" for party in whose[one["id"]]}
    drafts = (one["id"] for one in plans if one.get("status") == "draft")
    return {id for id in drafts if len(whose[id]) == 1 and whose[id].isdisjoint(active)}


def _on(planned: Iterable[Resource], whose: Mapping[str, set[str]], asked: Check, at: int) -> set[str]:
    """The plans of the two at an instant, whether or not they have a service."""
    plans = [one for one in planned if one["resourceType"] == "CarePlan" and one.get("status") == "active"]
    when = {one["id"]: one.get("period", {}) for one in plans}
    zone = asked.terms.zone
    return {
        f"CarePlan/{id}"
        for id, one in when.items()
        if whose[id] and period.holds([period.between(one.get("start"), one.get("end"), zone)], at)
    }


def _goals(
    sources: Iterable[Resource], whose: Mapping[str, Collection[str]], asked: Check, beside: Iterable[Resource]
) -> list[tuple[Item, Resource]]:
    """Each goal, once for each party in whose plan it stands."""
    goals = {f"Goal/{one['id']}": one for one in beside if one["resourceType"] == "Goal"}
    found = []
    for plan in (one for one in sources if one["resourceType"] == "CarePlan"):
        for link in _links(plan, "goal"):
            if link in goals and len(whose[plan["id"]]) == 1:
                (party,) = whose[plan["id"]]
                found.append(
                    (Item(link, "", "goal", frozenset(), frozenset(), "a goal", party, asked.window), goals[link])
                )
    return found


def _links(resource: Resource, *names: str) -> list[str]:
    """The literal references of these elements."""
    values = [resource[name] for name in names if name in resource]
    links = (link for one in values for link in (one if isinstance(one, list) else [one]))
    return [found for link in links if (found := literal(link))]


async def _beside(
    view: View,
    asked: Check,
    patient: Resource,
    listed: Iterable[Item],
    sources: Mapping[str, Resource],
    leading: Lead | None,
    base_url: str,
) -> list[Resource]:
    """What the plans and services name, and the two organizations with their teams, the lead and people by name."""
    plans = [one for one in sources.values() if one["resourceType"] == "CarePlan"]
    named = [
        *asked.pair.organizations,
        *(link for one in plans for link in _links(one, *LISTS, "author", "contributor")),
    ]
    for item in listed:
        named += _links(detail_of(item, sources[item.reference]), "performer", "goal", "reasonReference", "requester")
    named += await _teams(view, asked)
    if leading:
        named += [leading.role, *([leading.form] if leading.form else [])]
    found = await _local(view, named + _links(patient, "generalPractitioner"), base_url)
    members = [
        link
        for one in found.values()
        if one["resourceType"] == "CareTeam"
        for participant in one.get("participant", ())
        for link in _links(participant, "member")
    ]
    found |= await _local(view, (one for one in members if one not in found), base_url)
    people = [
        link
        for one in found.values()
        if one["resourceType"] == "PractitionerRole"
        for link in _links(one, "practitioner")
    ]
    found |= await _local(view, (one for one in people if one not in found), base_url)
    return [one for one in found.values() if one["resourceType"] not in ("Patient", "RelatedPerson")]


async def _teams(view: View, asked: Check) -> list[str]:
    """The two organizations' CareTeams of the member, whether or not a plan names them."""
    rows = (await view.facts("team", asked.member.patients)).values()
    teams = [Team.of(row) for found in rows for row in found]
    theirs = [one for one in teams if not set(asked.pair.organizations).isdisjoint(one.organizations)]
    return [one.reference for one in theirs if one.status not in {"proposed", "entered-in-error"}]


async def _local(view: View, references: Iterable[str], base_url: str) -> dict[str, Resource]:
    found = await stored.read_many(view, dict.fromkeys(references))
    return {reference: stored.localized(one, base_url) for reference, one in found.items()}


async def _is_agreed(view: View, asked: Check) -> bool:
    """True where there is one active plan for the time that is asked about, which is of both."""
    plans = await shared_plan.standing(view, asked.member, asked.pair, asked.terms.zone)
    then = [one.of for one in plans.values() if period.holds([one.when], asked.at)]
    return then == [frozenset(asked.pair.organizations)]
