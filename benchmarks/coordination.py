#!/usr/bin/env python3
"""Coordination: what a check costs a write, and a roster of members whom a plan and Health Homes have together.

    coordination.py [--members 100000] [--fewer 10000]

It loads both rosters as recorded, checks each with `careplan coordination-check` in a process of its own, for its time
and the most memory that it had, and prints Markdown for docs/benchmarks.md. Then it times creates at a server on the
smaller one: one client, one request at a time; the figures are latencies with the fsync of each write in them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

from benchmarks.machine import machine
from server.app.partition import opened
from server.coordination.write import AS_RECORDED
from server.fhir.body import dumps
from server.load import shipped
from server.load.load import load
from server.settings import Settings, cores
from tests.process import running

BASE = "https://careplan-server.org/fhir"
HOMES = 20
ALONE = 500  # members of the plan alone
TIMES = 400  # creates of each kind that are timed
ITEMS = 1000  # services of the member with many
ISSUES = 20  # kinds of service that are created
Json = dict[str, Any]


def row(what: str, *measured: str) -> None:
    print(f"| {what} | {' | '.join(measured)} |", flush=True)


# Who is there


def population(members: int) -> Iterator[Json]:
    """A plan, Health Homes, and members of both, every third with a service of both; members of the plan alone."""
    for name in ("plan", *(f"home{n}" for n in range(HOMES))):
        yield {"resourceType": "Organization", "id": name, "name": name}
    for number in range(members):
        yield from member(f"m{number}", f"home{number % HOMES}", number)
    yield from member("laden", "home0", 1)
    for number in range(ITEMS):
        yield service(f"laden{number}", "laden", "plan", f"kind-{number}")
    for number in range(ALONE):
        yield from person(f"alone{number}")


def person(id: str) -> Iterator[Json]:
    yield {"resourceType": "Patient", "id": id}
    yield episode(id, "plan", "ny-mltcp")


def member(id: str, home: str, number: int) -> Iterator[Json]:
    yield from person(id)
    yield episode(id, home, "ny-health-home")
    yield service(f"p-{id}", id, "plan", "personal-care")
    if number % 3 == 0:
        yield service(f"h-{id}", id, home, "personal-care")
    for visit in range(2):
        yield contact(f"{id}-{visit}", id, home if visit else "plan", f"2026-0{1 + number % 9}-1{visit}")


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": f"{BASE}/CodeSystem/{system}", "code": code}]}


def episode(id: str, organization: str, program: str) -> Json:
    return {
        "resourceType": "EpisodeOfCare",
        "id": f"{id}-{program}",
        "status": "active",
        "type": [coded("cm-program", program)],
        "patient": {"reference": f"Patient/{id}"},
        "managingOrganization": {"reference": f"Organization/{organization}"},
        "period": {"start": "2025-01-01"},
    }


def service(id: str, patient: str, organization: str, code: str) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "code": coded("ny-service", code),
        "subject": {"reference": f"Patient/{patient}"},
        "performer": [{"reference": f"Organization/{organization}"}],
        "occurrencePeriod": {"start": "2026-01-01"},
    }


def contact(id: str, patient: str, organization: str, day: str) -> Json:
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
        "type": [coded("ny-contact", "home-visit")],
        "subject": {"reference": f"Patient/{patient}"},
        "serviceProvider": {"reference": f"Organization/{organization}"},
        "period": {"start": day, "end": day},
    }


# The roster


async def loaded(store: str, file: Path) -> str:
    """Load the file as recorded: nothing is checked. Resources a second."""
    async with opened(Settings(store=store)) as server:
        await shipped.programs(server)
        started = time.perf_counter()
        report = await load(server, [file], workers=cores(), override=AS_RECORDED)
        return f"{report.taken / (time.perf_counter() - started):,.0f}"


def command(store: str, *options: str) -> tuple[float, float, str]:
    """Seconds, the most megabytes that it had, and what it said."""
    started = time.perf_counter()
    arguments = [sys.executable, "-m", "server.cli", "coordination-check", *options]
    with subprocess.Popen(arguments, env=os.environ | {"CAREPLAN_STORE": store}, stdout=subprocess.PIPE) as child:
        assert child.stdout
        said = child.stdout.read().decode().splitlines()[0]
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert not child.returncode
    return time.perf_counter() - started, used.ru_maxrss / 1024, said


def checked(folder: str, members: int) -> list[tuple[float, float, str]]:
    file, store = Path(folder) / f"{members}.ndjson", f"sqlite:///{folder}/{members}.db"
    with file.open("wb") as lines:
        lines.writelines(dumps(one) + b"\n" for one in population(members))
    rate = asyncio.run(loaded(store, file))
    file.unlink()
    found = [command(store, "--organization", "Organization/plan", option) for option in ("--read", "--keep", "--keep")]
    print(
        f"{members:,} members loaded at {rate} resources a second: {found[1][2]}; again: {found[2][2]}", file=sys.stderr
    )
    return found


# Writes


class Kind(NamedTuple):
    """A member, and the time of the services that are created: over long ago, or one that goes on and is an issue."""

    name: str
    patient: str
    when: dict[str, str]


OVER, ON = {"start": "2024-01-01", "end": "2024-02-01"}, {"start": "2026-01-01"}
KINDS = (
    Kind("of one alone", "alone0", OVER),
    Kind("whom two have", "m0", OVER),
    Kind("whom two have, and an issue is found", "m1", ON),
    Kind(f"whom two have, with {ITEMS:,} services and as many issues", "laden", OVER),
)


def timed(client: httpx.Client) -> list[float]:
    """The median of creates for each kind of member in milliseconds, in turn."""
    spent: list[list[float]] = [[] for _ in KINDS]
    for number in range(TIMES):
        for kind, times in zip(KINDS, spent, strict=True):
            made = service("", kind.patient, "plan", f"other-{number % ISSUES}") | {"occurrencePeriod": kind.when}
            del made["id"]
            started = time.perf_counter()
            client.post("ServiceRequest", json=made).raise_for_status()
            times.append(time.perf_counter() - started)
    return [median(times) * 1000 for times in spent]


def written(store: str) -> None:
    with running(store=store, workers=1) as (base, _), httpx.Client(base_url=base, timeout=60) as client:
        found = timed(client)
    print("\n| create of a ServiceRequest for a member | median ms | times |\n| --- | --- | --- |")
    for kind, milliseconds in zip(KINDS, found, strict=True):
        row(kind.name, f"{milliseconds:.1f}", f"{milliseconds / found[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--fewer", type=int, default=10_000)
    given = parser.parse_args()
    print(f"{machine()}\n\n| careplan coordination-check | {given.fewer:,} | {given.members:,} | times |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        few, many = checked(folder, given.fewer), checked(folder, given.members)
        for what, one, other in zip(("--read", "--keep, all new", "--keep, nothing new"), few, many, strict=True):
            row(f"`{what}`, seconds", f"{one[0]:.1f}", f"{other[0]:.1f}", f"{other[0] / one[0]:.1f}")
            row(f"`{what}`, most memory, MB", f"{one[1]:.0f}", f"{other[1]:.0f}", f"{other[1] / one[1]:.2f}")
        written(f"sqlite:///{folder}/{given.fewer}.db")


if __name__ == "__main__":
    main()
