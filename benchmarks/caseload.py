#!/usr/bin/env python3
"""Caseloads at scale: load an Iowa of 30,000 members, then time what a supervisor and the state ask of it.

    caseload.py [--members 30000] [--managers 700]

It starts a server of this repository on the loaded store, and prints Markdown for docs/benchmarks.md. One client, one
request at a time: the figures are latencies, with the fsync of each write in them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import httpx

from benchmarks.machine import children, machine, resident
from examples.population import CAP, population, spread
from server.app.partition import opened
from server.fhir.body import dumps
from server.load import shipped
from server.load.load import load
from server.settings import Settings, cores
from tests.process import running

PROGRAM = "https://careplan-server.org/fhir/PlanDefinition/ia-hcbs"
TIMES = 200  # of each request that is timed
MCOS = 3


def row(what: str, measured: str) -> None:
    print(f"| {what} | {measured} |", flush=True)


async def loaded(store: str, file: Path) -> None:
    """Load the file, and print the rate over the whole and over its last tenth."""
    marks: list[tuple[float, int]] = [(time.perf_counter(), 0)]

    def watch(read: int, resources: int) -> None:
        marks.append((time.perf_counter(), marks[-1][1] + resources))

    async with opened(Settings(store=store)) as server:
        await shipped.programs(server)
        marks[0] = (time.perf_counter(), 0)
        report = await load(server, [file], workers=cores(), watch=watch)
    total = marks[-1][1]
    late = next(mark for mark in marks if mark[1] >= total * 0.9)
    row("resources", f"{report.taken:,}, {len(report.refused)} refused")
    row("load, resources/s over the whole", f"{rate(marks[0], marks[-1]):,.0f}")
    row("load, resources/s over the last tenth", f"{rate(late, marks[-1]):,.0f}")


def rate(start: tuple[float, int], end: tuple[float, int]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])


def timed(ask: Callable[[int], httpx.Response], times: int) -> float:
    """The median of so many requests in milliseconds; each must succeed."""
    spent = []
    for number in range(times):
        started = time.perf_counter()
        answer = ask(number)
        spent.append(time.perf_counter() - started)
        answer.raise_for_status()
    return median(spent) * 1000


def plan(number: int) -> dict[str, Any]:
    detail = {"status": "in-progress", "description": "Arrange the service and ask the member how it goes"}
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": f"Patient/member-{number + 1:05d}"},
        "activity": [{"detail": detail | {"code": {"text": f"Home service {n}"}}} for n in range(8)],
    }


def parameters(manager: int) -> dict[str, Any]:
    reference = {"reference": f"PractitionerRole/cm-{manager + 1:04d}"}
    named = [{"name": "program", "valueCanonical": PROGRAM}, {"name": "manager", "valueReference": reference}]
    return {"resourceType": "Parameters", "parameter": named}


def assignable(loads: list[int], first: int) -> list[tuple[int, int]]:
    """(member, manager) pairs: unassigned members from `first` on, and managers of the same MCO with room."""
    held = Counter(dict(enumerate(loads)))
    found = []
    for member in range(first, first + TIMES):
        manager = next(n for n in range(member % MCOS, len(loads), MCOS) if held[n] < CAP)
        held[manager] += 1
        found.append((member, manager))
    return found


def asked(client: httpx.Client, loads: list[int]) -> None:
    """Time the writes and the report."""
    pairs = assignable(loads, sum(loads) + 1)
    organization = client.get("PractitionerRole/cm-0001").json()["organization"]["reference"]

    def assign(number: int) -> httpx.Response:
        member, manager = pairs[number]
        return client.post(f"Patient/member-{member:05d}/$assign-care-manager", json=parameters(manager))

    create = timed(lambda number: client.post("CarePlan", json=plan(number)), TIMES)
    assignment = timed(assign, TIMES)
    report = timed(lambda _: client.get(f"{organization}/$caseload-report", params={"program": PROGRAM}), 7)
    row("create of a plan, median ms", f"{create:.1f}")
    row("`$assign-care-manager`, median ms", f"{assignment:.1f}, {assignment / create:.1f} creates")
    row(f"`$caseload-report` of one MCO of {sum(loads) // MCOS:,}, median s", f"{report / 1000:.2f}")
    row(
        "the same for each day of two years, median s", f"{timed(lambda _: series(client, organization), 5) / 1000:.2f}"
    )
    whole = timed(lambda _: client.get("Organization/$caseload-report", params={"program": PROGRAM}), 5)
    row(f"`Organization/$caseload-report`, the state's {sum(loads):,}, median s", f"{whole / 1000:.2f}")
    row("reads meanwhile, median and 99th percentile ms", "{:.1f}, {:.1f}".format(*meanwhile(client)))


def series(client: httpx.Client, organization: str) -> httpx.Response:
    """The report of every day of two years."""
    asked = [
        {"name": "program", "valueCanonical": PROGRAM},
        {"name": "period", "valuePeriod": {"start": "2025-01-01", "end": "2026-12-31"}},
        {"name": "interval", "valueCode": "day"},
    ]
    body = {"resourceType": "Parameters", "parameter": asked}
    return client.post(f"{organization}/$caseload-report", json=body)


def meanwhile(client: httpx.Client) -> tuple[float, float]:
    """How long others wait for a member while the state's report is made: milliseconds."""
    spent: list[float] = []
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=client.base_url, timeout=60) as other:
        reports = [
            pool.submit(client.get, "Organization/$caseload-report", params={"program": PROGRAM}) for _ in range(3)
        ]
        while not all(report.done() for report in reports):
            started = time.perf_counter()
            other.get("Patient/member-00001").raise_for_status()
            spent.append(time.perf_counter() - started)
    spent.sort()
    return median(spent) * 1000, spent[len(spent) * 99 // 100] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=30_000)
    parser.add_argument("--managers", type=int, default=700)
    given = parser.parse_args()
    loads = spread(given.members, given.managers, Random("1/loads"))
    print(f"{machine()}; {given.members:,} members, {given.managers} managers\n\n| what | measured |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder) / "population.ndjson", f"sqlite:///{folder}/careplan.db"
        with file.open("wb") as lines:
            lines.writelines(dumps(one) + b"\n" for one in population(loads, unassigned=TIMES))
        asyncio.run(loaded(store, file))
        row("store, bytes a member", f"{os.path.getsize(f'{folder}/careplan.db') / given.members:,.0f}")
        started = time.perf_counter()
        with (
            running(store=store, workers=cores()) as (base, process),
            httpx.Client(base_url=base, timeout=60) as client,
        ):
            row("from start to the first answer, s", f"{time.perf_counter() - started:.1f}")
            asked(client, loads)
            workers = sorted(resident(pid) for pid in children(process.pid))
            row("memory of each process after it, MB", ", ".join(f"{megabytes:.0f}" for megabytes in workers))


if __name__ == "__main__":
    main()
