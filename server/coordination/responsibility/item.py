"""Item: what two organizations do for a member: services that are ordered or planned, and contacts that took place.

https://hl7.org/fhir/R4/servicerequest.html, https://hl7.org/fhir/R4/careplan.html,
https://hl7.org/fhir/R4/encounter.html, https://hl7.org/fhir/R4/communication.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.facts import Role, Team, literal, tokens
from server.coordination.lead.terms import Pair
from server.coordination.period import Interval
from server.ledger import Resource, View

TYPES = ("CarePlan", "Communication", "Encounter", "ServiceRequest")
BILLING = f"{facts.BASE}/CodeSystem/ny-billing-party"
PARTY = {f"{BILLING}|plan": "plan", f"{BILLING}|health-home": "partner"}
OVER = frozenset({"cancelled", "stopped", "entered-in-error", "revoked", "draft"})


class Item(NamedTuple):
    """One service or contact. `party` is whose it is: "plan", "partner", or None where nobody's."""

    reference: str
    place: str  # within it: "" or "activity[2]"
    is_contact: bool
    codes: frozenset[str]
    text: str
    party: str | None
    when: Interval


class _Found(NamedTuple):
    """An item whose party is not known yet: who is asked for it, in the order that counts."""

    item: Item
    billed: str | None
    links: tuple[tuple[str, ...], ...]


async def items(
    view: View, patients: Iterable[str], pair: Pair, resources: Iterable[Resource], zone: str
) -> list[Item]:
    """The items in these resources, each with its party; what belongs to neither organization is nobody's."""
    found = [one for resource in resources for one in _READ[resource["resourceType"]](resource, zone)]
    known = await acting_for(view, patients, {link for one in found for links in one.links for link in links})
    return [one.item._replace(party=one.billed or _party(one, pair, known)) for one in found]


def _party(found: _Found, pair: Pair, known: Mapping[str, set[str]]) -> str | None:
    for links in found.links:
        named = {organization for link in links for organization in known.get(link, ())}
        parties = [name for name, one in (("plan", pair.plan), ("partner", pair.partner)) if one in named]
        if len(parties) == 1:
            return parties[0]
    return None


async def acting_for(view: View, patients: Iterable[str], links: set[str]) -> dict[str, set[str]]:
    """For whom each of these acts: itself, a role's organization, a person's, a team's."""
    persons = [one for one in links if one.startswith(("Practitioner/", "PractitionerRole/"))]
    roles = await view.facts("role", persons) if persons else {}
    known = {one: {one} for one in links if one.startswith("Organization/")}
    known |= {one: {str(Role.of(row).organization) for row in rows} for one, rows in roles.items()}
    if any(one.startswith("CareTeam/") for one in links):
        rows = (await view.facts("team", patients)).values()
        known |= {team.reference: set(team.organizations) for found in rows for team in map(Team.of, found)}
    return known


def _own(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _billed(resource: Resource) -> str | None:
    tags = (facts.token(tag) for tag in resource.get("meta", {}).get("tag", ()) if "code" in tag)
    return next((PARTY[tag] for tag in tags if tag in PARTY), None)


def _links(*groups: Iterable[Resource | None]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(found for link in group if (found := literal(link))) for group in groups)


def _codes(*concepts: Iterable[Resource]) -> frozenset[str]:
    return frozenset(token for group in concepts for token in tokens(list(group)))


def _text(concepts: Iterable[Resource], otherwise: str) -> str:
    for concept in concepts:
        for text in (concept.get("text"), *(coding.get("display") for coding in concept.get("coding", ()))):
            if text:
                return str(text)
    return otherwise


def _service_request(request: Resource, zone: str) -> Iterator[_Found]:
    if request.get("status") in OVER or request.get("doNotPerform"):
        return
    when = request.get("occurrencePeriod") or request.get("occurrenceTiming", {}).get("repeat", {}).get(
        "boundsPeriod", {}
    )
    start = when.get("start") or request.get("occurrenceDateTime") or request.get("authoredOn")
    end = when.get("end") or request.get("occurrenceDateTime")
    if request.get("status") == "completed" and not end:
        return
    coded = [request.get("code", {}), *request.get("category", ())]
    item = Item(_own(request), "", False, _codes(coded), _text(coded, "a service"), None, _between(start, end, zone))
    yield _Found(item, _billed(request), _links(request.get("performer", ()), [request.get("requester")]))


def _care_plan(plan: Resource, zone: str) -> Iterator[_Found]:
    if plan.get("status") in OVER:
        return
    billed, keepers = _billed(plan), [plan.get("author"), *plan.get("contributor", ())]
    for index, activity in enumerate(plan.get("activity", ())):
        detail = activity.get("detail", {})
        when = detail.get("scheduledPeriod") or plan.get("period", {})
        is_over = "completed" in (detail.get("status"), plan.get("status")) and "end" not in when
        if not detail or detail.get("status") in OVER or detail.get("doNotPerform") or is_over:
            continue
        coded = [detail.get("code", {})]
        item = Item(
            _own(plan),
            f"activity[{index}]",
            False,
            _codes(coded),
            _text(coded, detail.get("description") or "an activity"),
            None,
            _between(when.get("start"), when.get("end"), zone),
        )
        yield _Found(item, billed, _links(detail.get("performer", ()), keepers))


def _encounter(encounter: Resource, zone: str) -> Iterator[_Found]:
    start = encounter.get("period", {}).get("start")
    if encounter.get("status") not in {"finished", "in-progress", "onleave"} or not start:
        return
    coded = [*encounter.get("type", ()), encounter.get("serviceType", {}), *encounter.get("reasonCode", ())]
    people = [one.get("individual") for one in encounter.get("participant", ())]
    item = Item(_own(encounter), "", True, _codes(coded), _text(coded, "a visit"), None, _between(start, start, zone))
    yield _Found(item, _billed(encounter), _links([encounter.get("serviceProvider")], people))


def _communication(communication: Resource, zone: str) -> Iterator[_Found]:
    sent = communication.get("sent")
    if communication.get("status") != "completed" or not sent:
        return
    coded = [communication.get("topic", {}), *communication.get("reasonCode", ())]
    item = Item(
        _own(communication), "", True, _codes(coded), _text(coded, "a contact"), None, _between(sent, sent, zone)
    )
    yield _Found(item, _billed(communication), _links([communication.get("sender")]))


def _between(start: str | None, end: str | None, zone: str) -> Interval:
    """A moment is an instant long, a day a day."""
    low, high = period.starts(start, zone), period.ends(end, zone)
    return Interval(low, max(high, low + 1))


_READ = {
    "CarePlan": _care_plan,
    "Communication": _communication,
    "Encounter": _encounter,
    "ServiceRequest": _service_request,
}
