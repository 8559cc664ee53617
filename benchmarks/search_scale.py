#!/usr/bin/env python3
"""Each kind of search at 30,000 resources and at 300,000: milliseconds, and how many times as long.

    search_scale.py [--small 30000] [--large 300000] [--keep DIRECTORY] [--only WORDS]

It asks the repository, without HTTP, the same kind at both stores in turn, and prints Markdown for docs/benchmarks.md.
The stores are kept in the directory, where one is given, and used again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

from benchmarks.machine import machine
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.fhir import body
from server.fhir.body import Body
from server.interactions.exchange import Server
from server.ledger import Change, Decide, Plan, View
from server.settings import Settings

BASE = "http://127.0.0.1:8000/fhir"
EACH = 7  # resources of a member
TIMES = 200  # of each kind, at each store, after one that is not counted
CHUNK = 700  # resources a commit
FAMILIES, GIVEN = 400, 200
CONTAINERS = 300
VALUE_SET = "http://example.org/fhir/ValueSet/codes"
CODES = "urn:example:code"
MOST = 3.0  # times as long, at ten times as many

# A search about member N of N members; those that find many at both sizes are bounded by their page.
KINDS: dict[str, str] = {
    "the plans of a member": "CarePlan?subject=Patient/m{n}&status=active",
    "the plans of a member in a period": "CarePlan?subject=Patient/m{n}&date=ge2026-01-01&date=le2026-12-31",
    "a member by identifier": "Patient?identifier=urn:example:member|m{n}",
    "chain: plans of the member with an identifier": "CarePlan?subject:Patient.identifier=urn:example:member|m{n}",
    "chain of three steps": "Observation?encounter.location.partof.name=town{town}&_count=10",
    "_has: the member of a plan": "Patient?_has:CarePlan:subject:identifier=urn:example:plan|m{n}",
    "_has within _has: members of the plans of a list": "Patient?_has:CarePlan:subject:_has:List:item:_id=l{town}",
    "_include": "CarePlan?subject=Patient/m{n}&_include=CarePlan:subject",
    "_include:iterate": "Encounter?_id=e{n}&_include=Encounter:location&_include:iterate=Location:partof",
    "_revinclude": "Patient?_id=m{n}&_revinclude=Goal:subject",
    "a member's compartment": "Patient/m{n}/*",
    "family, given and birth date": "Patient?family=family{family}x&given=given{given}x&birthdate=ge1940",
    ":exact": "Patient?family:exact=Family{family}x&given:exact=Given{given}x",
    ":contains": "Patient?family:contains=amily{family}x&_count=10",
    ":not": "CarePlan?status:not=active&_count=10",
    ":missing": "Patient?birthdate:missing=true&_count=10",
    ":in": "Observation?code:in=" + VALUE_SET + "&_count=10",
    ":text": "Observation?code:text=code {town}x&_count=10",
    ":below, five levels of places": "Encounter?location:below=Location/town{town}&_count=10",
    ":above": "Encounter?location:above=Location/clinic{clinic}",
    "a quantity of a code": "Observation?code=" + CODES + "|c{town}&value-quantity=gt50&_count=10",
    "composite": "Observation?code-value-quantity=" + CODES + "|c{town}$gt50&_count=10",
    "near": "Location?near={latitude}|{longitude}|1|km",
    "a day's plans": "CarePlan?date={day}&_count=10",
    "active plans of a week": "CarePlan?status=active&date=ge2026-03-01&date=le2026-03-07&_count=10",
    "active plans since March": "CarePlan?status=active&date=ge2026-03-01&_count=10",
    "women of a family": "Patient?gender=female&family=family{family}x&_count=10",
    "_lastUpdated": "CarePlan?_lastUpdated=ge{last}&_count=10",
    "last written": "CarePlan?_sort=-_lastUpdated&_count=20",
    "last written, active": "CarePlan?status=active&_sort=-_lastUpdated&_count=20",
    "members by name": "Patient?_sort=family,given&_count=20",
    "women by birth date": "Patient?gender=female&_sort=birthdate&_count=20",
    "a member's goals, sorted by a code": "Goal?subject=Patient/m{n}&_sort=lifecycle-status",
    "all active, a page": "CarePlan?status=active&_count=50",
    "several types": "?_type=CarePlan,Goal&_id=p{n},g{n}",
    "_filter": "CarePlan?_filter=subject re Patient/m{n} and not(status eq completed)",
    "_content": "CarePlan?_content=word{n}",
    "_text": "CarePlan?_text=narrated{n}",
    "_list": "CarePlan?_list=l{town}",
    "_contained, of 300 containers": "Practitioner?_contained=true&family=contained{contained}",
    "total of a member": "Goal?subject=Patient/m{n}&_summary=count",
    "history of a plan": "CarePlan/p{n}/_history?_count=20",
    "history of all": "_history?_count=20",
}
# What counts all that match looks at each of them: of ten times as many, about ten times as long.
COUNTING: dict[str, str] = {
    "_total=accurate of all active": "CarePlan?status=active&_total=accurate&_count=10",
    "_summary=count of a week": "CarePlan?date=ge2026-03-01&date=le2026-03-07&_summary=count",
    "_summary=count of a family by :contains": "Patient?family:contains=amily1&_summary=count",
}


def members(size: int) -> int:
    return size // EACH


def surroundings(size: int) -> Iterator[dict[str, Any]]:
    """Places in five levels, ten members to a clinic, a list for each town, and a value set."""
    above = {"clinic": "town", "town": "county", "county": "region", "region": "state", "state": ""}
    for power, level in enumerate(above, 1):
        for number in range((members(size) - 1) // 10**power + 1 if level != "state" else 1):
            part = {"partOf": {"reference": f"Location/{above[level]}{number // 10}"}} if level != "state" else {}
            if level == "region":
                part = {"partOf": {"reference": "Location/state0"}}
            latitude, longitude = place(number)
            position = {"position": {"latitude": latitude, "longitude": longitude}} if level == "clinic" else {}
            yield {"resourceType": "Location", "id": f"{level}{number}", "name": f"{level}{number}", **part, **position}
    for number in range((members(size) - 1) // 100 + 1):
        items = [{"item": {"reference": f"CarePlan/p{number * 100 + each}"}} for each in range(10)]
        yield {"resourceType": "List", "id": f"l{number}", "status": "current", "mode": "working", "entry": items}
    concepts = [{"code": f"c{number}"} for number in range(3)]
    include = [{"system": CODES, "concept": concepts}]
    yield {
        "resourceType": "ValueSet",
        "id": "codes",
        "url": VALUE_SET,
        "status": "active",
        "compose": {"include": include},
    }


def place(clinic: int) -> tuple[float, float]:
    """Where a clinic is: as dense at both sizes, the larger state being wider."""
    return round(30 + clinic // 100 * 0.1, 4), round(-120 + clinic % 100 * 0.1, 4)


def member(number: int, chance: Random) -> Iterator[dict[str, Any]]:
    """A member, the plan, a visit, an observation and three goals."""
    id, subject = f"m{number}", {"reference": f"Patient/m{number}"}
    day = f"2026-{chance.randrange(12) + 1:02}-{chance.randrange(28) + 1:02}"
    born = {"birthDate": f"19{chance.randrange(20, 90)}-0{chance.randrange(1, 10)}-11"} if number % 20 else {}
    yield {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": "urn:example:member", "value": id}],
        "name": [{"family": f"Family{number % FAMILIES}x", "given": [f"Given{number // FAMILIES % GIVEN}x"]}],
        "gender": chance.choice(["female", "male"]),
        **born,
    }
    practitioner = {"resourceType": "Practitioner", "id": "by", "name": [{"family": f"Contained{number}"}]}
    by = {"contained": [practitioner], "author": {"reference": "#by"}} if number < CONTAINERS else {}
    yield {
        "resourceType": "CarePlan",
        "id": f"p{number}",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">The plan of narrated{number}</div>',
        },
        **by,
        "identifier": [{"system": "urn:example:plan", "value": id}],
        "status": chance.choice(["active", "active", "active", "completed"]),
        "intent": "plan",
        "title": f"Service plan word{number}",
        "subject": subject,
        "period": {"start": day, "end": day},
    }
    yield {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": subject,
        "location": [{"location": {"reference": f"Location/clinic{number // 10}"}}],
    }
    yield {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": CODES, "code": f"c{number // 100}"}], "text": f"Code {number // 100}x"},
        "subject": subject,
        "encounter": {"reference": f"Encounter/e{number}"},
        "effectiveDateTime": day,
        "valueQuantity": {"value": chance.randrange(100), "unit": "mg"},
    }
    for goal in range(EACH - 4):
        yield {
            "resourceType": "Goal",
            "id": f"g{number}" if not goal else f"g{number}-{goal}",
            "lifecycleStatus": chance.choice(["active", "planned", "completed"]),
            "description": {"text": f"Walk {goal} times a week"},
            "subject": subject,
        }


def writes(resources: Sequence[dict[str, Any]]) -> Decide:
    changes = []
    for resource in resources:
        made = Body.of(resource)
        changes.append(Change("PUT", made.type, resource["id"], made.resource, made.text(resource["id"])))

    async def decide(view: View) -> Plan:
        return Plan(changes)

    return decide


async def filled(server: Server, size: int) -> None:
    """Every resource of a store of this size, unless it has them already."""
    if await server.repository.head(SYSTEM):
        return
    chance, waiting = Random(size), list(surroundings(size))
    for number in range(members(size)):
        waiting += member(number, chance)
        if len(waiting) >= CHUNK or number == members(size) - 1:
            await server.repository.commit(SYSTEM, writes(waiting))
            waiting = []


async def followed(server: Server) -> float:
    """Seconds until the words are indexed, once a search asks for them."""
    started = time.perf_counter()
    while (await server.repository.store.statistics())["followed"] < 1:
        try:
            await ask(server, KINDS["_content"].format(n=0))
        except Exception:  # noqa: BLE001 - it takes longer than one search may
            await asyncio.sleep(0)
    return time.perf_counter() - started


async def ask(server: Server, url: str) -> int:
    """How many are found, all told where they are counted."""
    place, _, text = url.partition("?")
    parameters = [(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&")) if name]
    if place.endswith("_history"):
        type, id = (*place.removesuffix("_history").split("/"), "", "")[:2]
        history = await server.repository.history(SYSTEM, type or None, id or None, count=20)
        return len(history.matches)
    compartment, _, star = place.rpartition("/")
    types: Any = place
    within = None
    if not place:
        types = text.removeprefix("_type=").partition("&")[0].split(",")
    elif star == "*":
        types, within = ["Patient", "CarePlan", "Goal"], compartment
    query = await server.repository.parsed(types, parameters, base_url=BASE, lenient=False, within=within)
    page = await server.repository.search(SYSTEM, query)
    return page.total or len(page.matches)


@dataclass(slots=True)
class Population:
    """A store of one size. `last` is when its last commit was."""

    server: Server
    size: int
    last: str

    def url(self, kind: str, chance: Random) -> str:
        n = chance.randrange(members(self.size))
        latitude, longitude = place(n // 10)
        return kind.format(
            n=n,
            family=n % FAMILIES,
            given=n // FAMILIES % GIVEN,
            town=n // 100,
            clinic=n // 10,
            latitude=latitude,
            longitude=longitude,
            contained=n % CONTAINERS,
            day=f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}",
            last=self.last,
        )


@dataclass(slots=True)
class Measured:
    """Milliseconds, the lower quartile for others use the machine too, and the matches of a search, on average."""

    milliseconds: float
    matches: float


async def population(server: Server, size: int) -> Population:
    await filled(server, size)
    version = await server.repository.read(SYSTEM, "CarePlan", f"p{members(size) - 1}")
    return Population(server, size, body.loads(version.body or b"{}")["meta"]["lastUpdated"])


async def measured(kind: str, populations: Sequence[Population]) -> list[Measured]:
    """The same kind at each store, in turn."""
    chance = Random(7)
    times: list[list[float]] = [[] for _ in populations]
    matches = [0 for _ in populations]
    for number in range(1 + TIMES):
        for place, one in enumerate(populations):
            url = one.url(kind, chance)
            started = time.perf_counter()
            found = await ask(one.server, url)
            if number:
                matches[place] += found
                times[place].append(time.perf_counter() - started)
    assert all(matches), kind
    return [Measured(quantiles(each, n=4)[0] * 1000, found / TIMES) for each, found in zip(times, matches, strict=True)]


async def table(kinds: dict[str, str], populations: Sequence[Population], only: str) -> list[str]:
    """Print a row for each kind; the kinds that take more than MOST times as long."""
    print("| search | " + " | ".join(f"ms at {one.size:,} | found" for one in populations) + " | times |")
    print("| --- |" + " --- |" * (2 * len(populations) + 1))
    slower = []
    for name, url in kinds.items():
        if only in name:
            few, many = await measured(url, populations)
            times = many.milliseconds / few.milliseconds
            figures = [f"{one.milliseconds:.2f} | {one.matches:,.0f}" for one in (few, many)]
            print(f"| {name} | {' | '.join(figures)} | {times:.1f} |", flush=True)
            if times > MOST:
                slower.append(name)
    return slower


async def compare(folder: Path, small: int, large: int, only: str) -> None:
    print(f"{machine()}\n")
    stores = [Settings(store=f"sqlite:///{folder}/{size}.db", demo=False) for size in (small, large)]
    async with opened(stores[0]) as few, opened(stores[1]) as many:
        populations = [await population(few, small), await population(many, large)]
        words = [await followed(one.server) for one in populations]
        slower = await table(KINDS, populations, only)
        print(f"\nMore than {MOST:g} times as long: {', '.join(slower) or 'none'}.\n")
        await table(COUNTING, populations, only)
    print(f"\nThe words were indexed in {words[0]:.1f} s and {words[1]:.1f} s once a search asked for them.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=30_000)
    parser.add_argument("--large", type=int, default=300_000)
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY")
    parser.add_argument("--only", default="", metavar="WORDS", help="the kinds that have these words in their name")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(compare(folder, asked.small, asked.large, asked.only))


if __name__ == "__main__":
    main()
