"""Item: what two organizations do for a member: services, contacts that took place, and places on the member's teams.

https://hl7.org/fhir/R4/servicerequest.html, https://hl7.org/fhir/R4/careplan.html,
https://hl7.org/fhir/R4/encounter.html, https://hl7.org/fhir/R4/communication.html,
https://hl7.org/fhir/R4/careteam.html

Items are read from facts: so many members at a few questions, and no resource is parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Participant, Role, Team, Told, facts, item
from server.coordination.lead.agency import working
from server.coordination.lead.terms import Pair
from server.coordination.period import Interval
from server.coordination.responsibility.responsibility import BOTH
from server.ledger import Fact, Resource, View

SERVICE, CONTACT, ROLE = "service", "contact", "role"
PARTIES = ("plan", "partner")
FIRST, LAST = "1900-01", "2100-12"  # the months in which items are looked for, where nobody says from when to when
DAY = 86_400_000_000  # microseconds
PEOPLE = ("Practitioner/", "PractitionerRole/")

Acting = Mapping[str, set[str]]  # for which organizations each reference acts


class Item(NamedTuple):
    """One service, contact or place on a team.

    `party` is whose it is: "plan", "partner", None where nobody's; of a service that both perform, BOTH.
    """

    reference: str
    place: str  # within it: "", "activity[2]" or "participant[0]"
    sort: str
    codes: frozenset[str]
    categories: frozenset[str]
    text: str
    party: str | None
    when: Interval
    who: str | None = None  # of a place on a team: the person

    @property
    def parties(self) -> tuple[str | None, ...]:
        return PARTIES if self.party == BOTH else (self.party,)


class Times(NamedTuple):
    """The time in which each sort of item counts."""

    services: Interval
    contacts: Interval
    places: Interval

    @property
    def at(self) -> int:
        """The last instant of them."""
        return self.services.high - 1


class Span(NamedTuple):
    """Whose items are asked for: those of a member with two organizations, in a time."""

    member: Member
    pair: Pair
    times: Times
    zone: str
    others: frozenset[str]  # organizations that have the member together with one of the two: theirs is another check
    shared: str  # the role that both teams tell of the same person: the lead's

    @property
    def keys(self) -> list[str]:
        """Where the facts of its services and contacts are."""
        months = list(_months(self.times.contacts, self.zone))
        return [key for one in self.member.patients for key in (one, *(f"{one} {month}" for month in months))]


def _months(window: Interval, zone: str) -> Iterator[str]:
    """The months that have a day of a time; a day more at both ends, since a date is of any zone."""
    first = max(f"{period.moment(window.low - DAY, zone):%Y-%m}", FIRST)
    last = min(f"{period.moment(window.high + DAY, zone):%Y-%m}", LAST)
    year, number = int(first[:4]), int(first[5:])
    while (month := f"{year:04d}-{number:02d}") <= last:
        yield month
        year, number = (year, number + 1) if number < 12 else (year + 1, 1)


async def items(view: View, spans: Sequence[Span], given: Iterable[Resource] | None = None) -> list[list[Item]]:
    """The items of each, in order; what belongs to neither organization is nobody's.

    Services and contacts are read from the store's facts, or from the resources that are given.
    """
    patients = {one for span in spans for one in span.member.patients}
    keys = {key for span in spans for key in span.keys}
    rows = await view.facts("item", keys) if given is None else _given(given, keys)
    told = [list(_told(span, rows)) for span in spans]
    seats = await view.facts("participant", patients)
    teams = {one: list(map(Team.of, found)) for one, found in (await view.facts("team", patients)).items()}
    links = {link for found in told for one, _ in found for link in (*one.by, *one.keepers, *one.to)}
    links |= {link for span in spans for link in _seated(span, seats)}
    persons = [one for one in links if one.startswith(PEOPLE)]
    roles = await view.facts("role", persons) if persons else {}
    known = _acting(links, roles, (team for found in teams.values() for team in found))
    known = await _engaged(view, known, spans)
    return [
        sorted([*_done(span, found, known), *_held(span, seats, teams, roles)], key=lambda one: one[:2])
        for span, found in zip(spans, told, strict=True)
    ]


def _given(resources: Iterable[Resource], keys: Iterable[str]) -> dict[str, list[Fact]]:
    """The facts of these resources, as the store would have them."""
    rows: dict[str, list[Fact]] = {key: [] for key in keys}
    for resource in resources:
        for kind, key, data in facts(resource):
            if kind == "item" and key in rows:
                rows[key].append(Fact(kind, key, data, f"{resource['resourceType']}/{resource['id']}"))
    return rows


async def acting_for(view: View, patients: Iterable[str], links: set[str]) -> Acting:
    """For whom each of these acts: itself, a role's organization, a person's, a team's."""
    persons = [one for one in links if one.startswith(PEOPLE)]
    roles = await view.facts("role", persons) if persons else {}
    has_teams = any(one.startswith("CareTeam/") for one in links)
    rows = (await view.facts("team", patients)).values() if has_teams else ()
    return _acting(links, roles, (Team.of(row) for found in rows for row in found))


def _acting(links: Collection[str], roles: Mapping[str, Sequence[Fact]], teams: Iterable[Team]) -> Acting:
    known = {one: {one} for one in links if one.startswith("Organization/")}
    known |= {one: {str(Role.of(row).organization) for row in rows} for one, rows in roles.items()}
    return known | {team.reference: set(team.organizations) for team in teams}


async def _engaged(view: View, known: Acting, spans: Sequence[Span]) -> Acting:
    """The same, and for whom an agency among those works: what it does for one of both is that one's."""
    both = {one for span in spans for one in span.pair.organizations}
    others = sorted({one for organizations in known.values() for one in organizations} - both)
    if not others:
        return known
    engaged = await working(view, others, spans[0].times.at, spans[0].zone)
    return {
        link: {each for one in organizations for each in engaged.get(one, {one})}
        for link, organizations in known.items()
    }


# Services and contacts


def _told(span: Span, rows: Mapping[str, Sequence[Fact]]) -> Iterator[tuple[Told, Interval]]:
    seen: set[str] = set()  # what is under two months is one
    for fact in (fact for key in span.keys for fact in rows[key]):
        if fact.source not in seen:
            seen.add(fact.source)
            for one in item.of(fact):
                when = _between(one.start, one.end, span.zone)
                if _meet(when, span.times.contacts if one.is_contact else span.times.services):
                    yield one, when


def _meet(one: Interval, other: Interval) -> bool:
    return one.low < other.high and other.low < one.high


def _done(span: Span, told: Iterable[tuple[Told, Interval]], known: Acting) -> Iterator[Item]:
    for one, when in told:
        if one.to and all(_party([link], span.pair, known) for link in one.to):
            continue  # what one tells the other is no contact with the member
        party = one.billed or _by(one, span.pair, known) or _party(one.keepers, span.pair, known)
        if party is None and not span.others.isdisjoint(_organizations(one.by or one.keepers, known)):
            continue
        sort = CONTACT if one.is_contact else SERVICE
        codes, categories = frozenset(one.codes), frozenset(one.categories)
        yield Item(one.source, one.place, sort, codes, categories, one.text, party, when)


def _by(told: Told, pair: Pair, known: Acting) -> str | None:
    """Who performs it: a visit that both take part in is one, and a service that both have is done twice."""
    if len(_parties(told.by, pair, known)) > 1 and not told.is_contact:
        return BOTH
    return _party(told.by, pair, known)


def _party(links: Iterable[str], pair: Pair, known: Acting) -> str | None:
    """The one of both for whom these act; None where it is both, or neither."""
    parties = _parties(links, pair, known)
    return parties[0] if len(parties) == 1 else None


def _parties(links: Iterable[str], pair: Pair, known: Acting) -> list[str]:
    named = _organizations(links, known)
    return [name for name, one in zip(PARTIES, (pair.plan, pair.partner), strict=True) if one in named]


def _organizations(links: Iterable[str], known: Acting) -> set[str]:
    return {organization for link in links for organization in known.get(link, ())}


def _between(start: str | None, end: str | None, zone: str) -> Interval:
    """A moment is an instant long, a day a day."""
    low, high = period.starts(start, zone), period.ends(end, zone)
    return Interval(low, max(high, low + 1))


# Places on teams


def _seated(span: Span, seats: Mapping[str, Sequence[Fact]]) -> Iterator[str]:
    """Who is on the member's teams."""
    yield from (one.manager for one in span.member.assignments)
    yield from (Participant.of(row).reference for patient in span.member.patients for row in seats[patient])


def _held(
    span: Span,
    seats: Mapping[str, Sequence[Fact]],
    teams: Mapping[str, Sequence[Team]],
    roles: Mapping[str, Sequence[Fact]],
) -> Iterator[Item]:
    """The roles on the teams of one organization alone."""
    whose = {team.reference: team.organizations for one in span.member.patients for team in teams[one]}
    for team, place, who, codes, when in _places(span, seats):
        own = set(whose.get(team, ())) & set(span.pair.organizations)
        if len(own) == 1 and when and _meet(when, span.times.places) and (named := frozenset(codes) - {span.shared}):
            party = "plan" if own == {span.pair.plan} else "partner"
            person = next((Role.of(row).practitioner for row in roles.get(who, ())), None) or who
            text = min(named).rpartition("|")[2]
            yield Item(team, f"participant[{place}]", ROLE, named, frozenset(), text, party, when, person)


def _places(
    span: Span, seats: Mapping[str, Sequence[Fact]]
) -> Iterator[tuple[str, int, str, list[str], Interval | None]]:
    """(team, participant, who, roles, when); of a team that is over, those places whose end it tells."""
    for one in span.member.assignments:
        if one.status != "inactive" or one.end is not None:
            times = assignment.held(one, span.zone)
            yield one.team, one.place, one.manager, one.roles, times[0] if times else None
    for patient in span.member.patients:
        for seat in map(Participant.of, seats[patient]):
            when = period.between(seat.start, seat.end, span.zone)
            yield seat.source, seat.place, seat.reference, seat.roles, when
