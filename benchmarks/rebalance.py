#!/usr/bin/env python3
"""Rebalance at scale: load one MCO with caseloads above the caps and newly hired managers, then ask for the best moves.

    rebalance.py [--members 30000] [--managers 600] [--hires 100] [--workload] [--requests 3]

It loads what a rebalancing reads (members with a position, enrolments, teams, services, staff and places), starts
a server of this repository on the store, asks over HTTP while another client writes plans, and prints Markdown for
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import httpx

from benchmarks.caseload import PROGRAM, plan, row
from benchmarks.machine import children, machine, resident
from examples.population import COUNTIES, Resource, population
from server.app.partition import opened
from server.coordination.write import AS_RECORDED
from server.fhir.body import dumps
from server.load import shipped
from server.load.load import load
from server.settings import Settings, cores
from tests.process import running

MCO = "Organization/ia-molina"
READ = {"Patient", "EpisodeOfCare", "CareTeam", "ServiceRequest", "Practitioner", "PractitionerRole", "Location"}
LEVELS = {"low": 10, "moderate": 15, "high": 20, "complex": 30}  # workload by level
WORKLOAD_LIMIT = 850
LEVEL = "https://careplan-server.org/fhir/CodeSystem/example-level"


def loads(members: int, managers: int, hires: int) -> list[int]:
    """About the mean for each manager, some far above it; and nobody yet for each hire."""
    random = Random("loads")
    found = [max(1, round(random.gauss(members / managers, 10))) for _ in range(managers)]
    while (rest := members - sum(found)) != 0:
        found[random.randrange(managers)] += 1 if rest > 0 else -1
    return found + [0] * hires


def one_mco(resources: Iterator[Resource], hires: int, managers: int, workload: bool) -> Iterator[Resource]:
    """All of one organization, each home somewhere in its county, the hires of this year."""
    hired = {f"cm-{number:04d}" for number in range(managers + 1, managers + hires + 1)}
    for resource in resources:
        type = resource["resourceType"]
        if type not in READ and type != "Organization":
            continue
        for name in ("organization", "managingOrganization"):
            if name in resource:
                link = {"reference": MCO}
                resource[name] = [link] if isinstance(resource[name], list) else link
        random = Random(resource["id"])
        if type == "Patient":
            resource["address"][0]["extension"] = [scattered(random, resource["address"][0]["district"])]
        if type == "PractitionerRole" and resource["id"] in hired:
            resource["period"] = {"start": "2026-10-01"}
        yield resource
        if workload and type == "Patient":
            yield assessment(resource["id"], random)


def scattered(random: Random, county: str) -> Resource:
    latitude, longitude = CENTERS[county]
    parts = (("latitude", latitude), ("longitude", longitude))
    near = [{"url": name, "valueDecimal": round(value + random.uniform(-0.25, 0.25), 4)} for name, value in parts]
    return {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": near}


def assessment(id: str, random: Random) -> Resource:
    level = random.choices(list(LEVELS), [50, 25, 15, 10])[0]
    return {
        "resourceType": "RiskAssessment",
        "id": id,
        "status": "final",
        "subject": {"reference": f"Patient/{id}"},
        "occurrenceDateTime": "2026-01-15",
        "prediction": [{"qualitativeRisk": {"coding": [{"system": LEVEL, "code": level}]}}],
    }


def weighing() -> Resource:
    """Iowa's program with caps in workload too."""
    program: Resource = json.loads((Path(__file__).parents[1] / "profiles/PlanDefinition-ia-hcbs.json").read_text())
    [rule] = [action for action in program["action"] if action["id"] == "IA-12"]
    rule["extension"] += [integer("workload", 10), integer("workload-limit", WORKLOAD_LIMIT)]
    rule["action"] = [
        {
            "title": level,
            "code": [{"coding": [{"system": LEVEL, "code": level}]}],
            "extension": [integer("workload", n)],
        }
        for level, n in LEVELS.items()
    ]
    return program


def integer(name: str, value: int) -> Resource:
    parts = [{"url": "name", "valueCode": name}, {"url": "value", "valueInteger": value}]
    return {"url": "https://careplan-server.org/fhir/StructureDefinition/rule-parameter", "extension": parts}


class Writing(threading.Thread):
    """A client that creates plans, one after the other, until it is told to stop."""

    def __init__(self, base: str) -> None:
        super().__init__(daemon=True)
        self.base, self.stop, self.spent = base, threading.Event(), list[float]()

    def run(self) -> None:
        with httpx.Client(base_url=self.base, timeout=60) as client:
            while not self.stop.is_set():
                started = time.perf_counter()
                client.post("CarePlan", json=plan(len(self.spent) % 1000)).raise_for_status()
                self.spent.append(time.perf_counter() - started)


class Watching(threading.Thread):
    """The most memory of the workers, and of the processes that they start, while it runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.stop, self.workers, self.solver = pid, threading.Event(), 0.0, 0.0

    def run(self) -> None:
        while not self.stop.wait(0.05):
            everybody = set(children(self.pid))
            with suppress(OSError, StopIteration):  # one that ends meanwhile
                below = {one for each in everybody for one in children(each)}
                self.workers = max([self.workers, *map(resident, everybody - below)])
                self.solver = max([self.solver, *map(resident, below)])


def asked(base: str, pid: int, requests: int) -> None:
    """Ask with a client that writes beside it, and say what came."""
    given = {"resourceType": "Parameters", "parameter": [{"name": "program", "valueCanonical": PROGRAM}]}
    writing, watching = Writing(base), Watching(pid)
    with httpx.Client(base_url=base, timeout=300) as client:
        alone = [timed(client, plan(n)) for n in range(200)]
        for thread in (writing, watching):
            thread.start()
        spent, before = [], processor_seconds(pid)
        for _ in range(requests):
            started = time.perf_counter()
            answer = client.post(f"{MCO}/$rebalance", json=given)
            spent.append(time.perf_counter() - started)
            answer.raise_for_status()
        used = (processor_seconds(pid) - before) / requests
        for thread in (writing, watching):
            thread.stop.set()
            thread.join()
    parts: dict[str, Any] = {}
    for one in answer.json()["parameter"]:
        parts.setdefault(one["name"], one)
    proposed = parts.get("proposal", {}).get("resource", {}).get("entry", [])
    row("`$rebalance`, from the store to the explained proposal, s", f"{median(spent):.1f}")
    row("processor time of it, writes included, s", f"{used:.1f}; {os.getloadavg()[0]:.0f} processes ran at a time")
    row("moves", f"{len(proposed):,}")
    for name in ("cost", "bound", "gap"):
        row(name, str(parts.get(name, {}).get("valueDecimal")))
    if "lacking" in parts:
        row("lacking", json.dumps(parts["lacking"]))
    row("answer, MB", f"{len(answer.content) / 1e6:.1f}")
    row("memory of the search's process, MB", f"{watching.solver:.0f}")
    row("memory of a worker, MB, at most", f"{watching.workers:.0f}")
    row("create of a plan alone, median ms", f"{median(alone) * 1000:.1f}")
    worst = quantiles(writing.spent, n=100)[98]
    row(
        "create of a plan meanwhile, median and 99th percentile, ms",
        f"{median(writing.spent) * 1000:.1f}, {worst * 1000:.0f}",
    )


def processor_seconds(pid: int) -> float:
    """What the workers, and the processes that they started and that have ended, have had of the processors."""
    found = 0.0
    for worker in children(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return found


def timed(client: httpx.Client, resource: Resource) -> float:
    started = time.perf_counter()
    client.post("CarePlan", json=resource).raise_for_status()
    return time.perf_counter() - started


async def loaded(store: str, file: Path) -> None:
    async with opened(Settings(store=store)) as server:
        await shipped.programs(server)
        report = await load(server, [file], workers=cores(), override=AS_RECORDED)
    row("resources", f"{report.taken:,}, {len(report.refused)} refused")


CENTERS = {county.name: (county.latitude, county.longitude) for county in COUNTIES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=30_000)
    parser.add_argument("--managers", type=int, default=600)
    parser.add_argument("--hires", type=int, default=100)
    parser.add_argument("--workload", action="store_true", help="caps in weighted workload too")
    parser.add_argument("--requests", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the store, which is used again where it is there")
    given = parser.parse_args()
    print(f"{machine()}; {given.members:,} members, {given.managers} managers, {given.hires} hired")
    print("\n| what | measured |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        file, store = folder / "population.ndjson", f"sqlite:///{folder}/careplan.db"
        if not (folder / "careplan.db").exists():
            everybody = population(loads(given.members, given.managers, given.hires))
            with file.open("wb") as lines:
                for one in one_mco(everybody, given.hires, given.managers, given.workload):
                    lines.write(dumps(one) + b"\n")
            asyncio.run(loaded(store, file))
        with running(store=store, workers=cores(), search_timeout=60) as (base, process):
            if given.workload:
                httpx.put(f"{base}/PlanDefinition/ia-hcbs", json=weighing(), timeout=60).raise_for_status()
            asked(base, process.pid, given.requests)


if __name__ == "__main__":
    main()
