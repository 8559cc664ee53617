#!/usr/bin/env python3
"""Each kind of search at 30,000 resources and at 300,000: milliseconds, and how many times as long.

    search_scale.py [--small 30000] [--large 300000] [--folder DIRECTORY]

It asks the repository, without HTTP, and prints Markdown for docs/benchmarks.md. The stores are kept in the folder,
where one is given, and used again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

from benchmarks.machine import machine
from server.app import opened
from server.auth.access import SYSTEM
from server.fhir.body import Body
from server.interactions.exchange import Server
from server.ledger import Change, Decide, Plan, View
from server.settings import Settings

BASE = "http://127.0.0.1:8000/fhir"
EACH = 7  # resources of a member
TIMES = 40  # of each kind
CHUNK = 700  # resources a commit
FAMILIES, GIVEN = 400, 200

# A search for member N of N members; those that find many at both sizes are bounded by their page.
KINDS: dict[str, str] = {
    "the plans of a member": "CarePlan?subject=Patient/m{n}&status=active",
    "a member by identifier": "Patient?identifier=urn:example:member|m{n}",
    "chain: plans of the member with an identifier": "CarePlan?subject:Patient.identifier=urn:example:member|m{n}",
    "include": "CarePlan?subject=Patient/m{n}&_include=CarePlan:subject",
    "revinclude": "Patient?_id=m{n}&_revinclude=Goal:subject",
    "_has: the member of a plan": "Patient?_has:CarePlan:subject:identifier=urn:example:plan|m{n}",
    "a member's compartment": "Patient/m{n}/*",
    "family and given": "Patient?family=family{family}x&given=given{given}x&birthdate=ge1940",
    "a day's plans": "CarePlan?date={day}&_count=10",
    "last written": "CarePlan?_sort=-_lastUpdated&_count=20",
    "last written, active": "CarePlan?status=active&_sort=-_lastUpdated&_count=20",
    "members by name": "Patient?_sort=family,given&_count=20",
    "women by birth date": "Patient?gender=female&_sort=birthdate&_count=20",
    "all active, a page": "CarePlan?status=active&_count=50",
    "several types": "?_type=CarePlan,Goal&_id=p{n},g{n}",
    "_filter": "CarePlan?_filter=subject re Patient/m{n} and not(status eq completed)",
    "a word": "CarePlan?_content=word{n}",
    "total of a member": "Goal?subject=Patient/m{n}&_summary=count",
}


def member(number: int, chance: Random) -> Iterator[dict[str, Any]]:
    """A member, the plan and five goals."""
    id, subject = f"m{number}", {"reference": f"Patient/m{number}"}
    day = f"2026-{chance.randrange(12) + 1:02}-{chance.randrange(28) + 1:02}"
    yield {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": "urn:example:member", "value": id}],
        "name": [{"family": f"Family{number % FAMILIES}x", "given": [f"Given{number // FAMILIES % GIVEN}x"]}],
        "gender": chance.choice(["female", "male"]),
        "birthDate": f"19{chance.randrange(20, 90)}-0{chance.randrange(1, 10)}-11",
    }
    yield {
        "resourceType": "CarePlan",
        "id": f"p{number}",
        "identifier": [{"system": "urn:example:plan", "value": id}],
        "status": chance.choice(["active", "active", "active", "completed"]),
        "intent": "plan",
        "title": f"Service plan word{number}",
        "subject": subject,
        "period": {"start": day, "end": day},
    }
    for goal in range(EACH - 2):
        yield {
            "resourceType": "Goal",
            "id": f"g{number}" if not goal else f"g{number}-{goal}",
            "lifecycleStatus": "active",
            "description": {"text": f"Walk {goal} times a week"},
            "subject": subject,
        }


def writes(resources: list[dict[str, Any]]) -> Decide:
    changes = []
    for resource in resources:
        made = Body.of(resource)
        changes.append(Change("PUT", made.type, resource["id"], made.resource, made.text(resource["id"])))

    async def decide(view: View) -> Plan:
        return Plan(changes)

    return decide


async def filled(server: Server, size: int) -> None:
    chance, waiting = Random(size), []
    for number in range(server.repository.head(SYSTEM) and size, size // EACH):
        waiting += member(number, chance)
        if len(waiting) >= CHUNK or number == size // EACH - 1:
            await server.repository.commit(SYSTEM, writes(waiting))
            waiting = []


async def followed(server: Server) -> float:
    """Seconds until the words are indexed, once a search asks for them."""
    started = time.perf_counter()
    while server.repository.store.statistics()["followed"] < 1:
        try:
            await ask(server, KINDS["a word"].format(n=0))
        except Exception:  # noqa: BLE001 - it takes longer than one search may
            await asyncio.sleep(0)
    return time.perf_counter() - started


async def ask(server: Server, url: str) -> int:
    place, _, text = url.partition("?")
    parameters = [(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&")) if name]
    compartment, _, star = place.rpartition("/")
    types: Any = place
    within = None
    if not place:
        types = text.removeprefix("_type=").partition("&")[0].split(",")
    elif star == "*":
        types, within = ["Patient", "CarePlan", "Goal"], compartment
    query = await server.repository.parsed(types, parameters, base_url=BASE, lenient=False, within=within)
    page = await server.repository.search(SYSTEM, query)
    return len(page.matches) or page.total or 0


async def measured(store: Path, size: int) -> tuple[float, dict[str, float]]:
    """Seconds to index the words; for each kind the lower quartile of its times, for others use the machine too."""
    found: dict[str, float] = {}
    async with opened(Settings(store=f"sqlite:///{store}", demo=False)) as server:
        await filled(server, size)
        words = await followed(server)
        chance = Random(7)
        for kind, url in KINDS.items():
            times, matches = [], 0
            for _ in range(TIMES):
                n = chance.randrange(size // EACH)
                day = f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}"
                asked = url.format(n=n, family=n % FAMILIES, given=n // FAMILIES % GIVEN, day=day)
                started = time.perf_counter()
                matches += await ask(server, asked)
                times.append(time.perf_counter() - started)
            assert matches, kind
            found[kind] = quantiles(times, n=4)[0] * 1000
    return words, found


async def compare(folder: Path, small: int, large: int) -> None:
    print(f"{machine()}\n\n| search | ms at {small:,} | ms at {large:,} | times |\n| --- | --- | --- | --- |")
    words, few = await measured(folder / f"{small}.db", small)
    more_words, many = await measured(folder / f"{large}.db", large)
    for kind in KINDS:
        print(f"| {kind} | {few[kind]:.2f} | {many[kind]:.2f} | {many[kind] / few[kind]:.1f} |")
    print(f"\nThe words were indexed in {words:.1f} s and {more_words:.1f} s once a search asked for them.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=30_000)
    parser.add_argument("--large", type=int, default=300_000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(compare(asked.folder or Path(temporary), asked.small, asked.large))


if __name__ == "__main__":
    main()
