"""What is found as of any day equals what a naive reading of the same services by days finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination.responsibility.check import When
from server.coordination.responsibility.detected_issue import issues_of, judged
from server.ledger import Resource, micros
from tests.coordination.memory import Memory, coding, organization, patient
from tests.scenarios.new_york import HOME, MEMBER, PLAN, asa, enrolled, shipped

NOW = micros(datetime(2026, 3, 10, 18, tzinfo=UTC))
PARTIES = {"plan": PLAN, "partner": HOME, None: "Organization/aides"}
SERVICES = ("personal-care", "behavioral-health", "transportation", "reading-aloud")
CHANGES = (date(2023, 1, 1), date(2024, 3, 1))  # behavioral health carved in, transportation carved out
WINDOW = 30

Found = set[tuple[str, frozenset[str]]]  # (code, services)


class Service(NamedTuple):
    id: str
    kind: str
    party: str | None
    start: date
    end: date | None

    @property
    def resource(self) -> Resource:
        end = {"end": self.end.isoformat()} if self.end else {}
        return {
            "resourceType": "ServiceRequest",
            "id": self.id,
            "status": "active",
            "intent": "order",
            "subject": {"reference": MEMBER},
            "code": coding("ny-service", self.kind),
            "performer": [{"reference": PARTIES[self.party]}],
            "occurrencePeriod": {"start": self.start.isoformat(), **end},
        }

    def days(self, until: date) -> set[date]:
        last = min(self.end or until, until)
        return {self.start + timedelta(n) for n in range((last - self.start).days + 1)}


def primary(kind: str, day: date) -> tuple[str | None, int]:
    """Whose a kind of service is on a day in MAP by the program's own table, and which of the table's rows says so."""
    if kind == "personal-care":
        return "plan", 0
    if kind == "behavioral-health":
        return ("partner", 1) if day < CHANGES[0] else (None, 2)
    if kind == "transportation":
        return ("plan", 3) if day < CHANGES[1] else ("partner", 4)
    return None, 5


def naive(services: list[Service], day: date) -> Found:
    """What is wrong on a day, by comparing every service with every other one day by day."""
    since, horizon = day - timedelta(WINDOW), day + timedelta(400)
    on = [one for one in services if one.start <= day and (one.end or day) >= since]
    found: Found = set()
    for kind in SERVICES:
        alike = [one for one in on if one.kind == kind]
        twice = {one.id for one in alike if any(_together(one, other, horizon) for other in alike)}
        if twice:
            found.add(("duplicate-coordination", frozenset(twice)))
        rows = {one.id: primary(kind, min(one.end or day, day)) for one in alike}
        for row in set(rows.values()):
            own = [one for one in alike if rows[one.id] == row]
            found |= {(code, ids) for code, ids in _of_row(own, row[0], twice) if ids}
    return found


def _together(one: Service, other: Service, horizon: date) -> bool:
    parties = {one.party, other.party} == {"plan", "partner"}
    return parties and not one.days(horizon).isdisjoint(other.days(horizon))


def _of_row(own: list[Service], whose: str | None, twice: set[str]) -> Iterator[tuple[str, frozenset[str]]]:
    yield "no-owner", frozenset(one.id for one in own if one.party is None)
    if whose is None:
        yield "not-allocated", frozenset(one.id for one in own)
    else:
        wrong = (one.id for one in own if one.party not in (None, whose) and one.id not in twice)
        yield "wrong-party", frozenset(wrong)


DAYS = st.sampled_from(CHANGES).flatmap(lambda day: st.integers(-45, 45).map(lambda n: day + timedelta(n)))


@st.composite
def histories(draw: st.DrawFn) -> list[Service]:
    found = []
    for number in range(draw(st.integers(1, 7))):
        start, days = draw(DAYS), draw(st.none() | st.integers(0, 40))
        end = None if days is None else start + timedelta(days)
        kind, party = draw(st.sampled_from(SERVICES)), draw(st.sampled_from(sorted(PARTIES, key=str)))
        found.append(Service(f"s{number}", kind, party, start, end))
    return found


async def told(services: list[Service], day: date) -> Found:
    memory = Memory()
    both = [enrolled(MEMBER, "ny-map", PLAN, "2020-01-01"), enrolled(MEMBER, "ny-health-home", HOME, "2020-01-01")]
    people = [organization(one.partition("/")[2]) for one in (PLAN, HOME)]
    await memory.put(shipped("ny-map"), *people, patient("m1"), *both, asa(start="2020-01-01"))
    await memory.put(*(one.resource for one in services))
    issues = issues_of(await judged(memory, [MEMBER], When(NOW, day.isoformat())))
    return {
        (
            one["code"]["coding"][0]["code"],
            frozenset(item["reference"].partition("/")[2] for item in one["implicated"]),
        )
        for one in issues
    }


@settings(max_examples=60, deadline=None)
@given(services=histories(), day=DAYS)
async def test_as_of_a_day_is_what_a_reading_day_by_day_finds(services: list[Service], day: date) -> None:
    assert naive(services, day) == await told(services, day)


async def test_days_of_the_window_are_those_of_the_calendar() -> None:
    """The clocks went forward on 2024-03-10: what ended on the 13th of February is out of the 30 days on the 15th."""
    over = Service("s0", "personal-care", "partner", date(2024, 2, 1), date(2024, 2, 13))
    assert set() == await told([over], date(2024, 3, 15)) == naive([over], date(2024, 3, 15))
    assert 1 == len(await told([over], date(2024, 3, 14)))
