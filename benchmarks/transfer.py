#!/usr/bin/env python3
"""Transfers beside plain updates: what each step of `$advance` costs, in updates of a plan.

    transfer.py [--transfers 40]

It starts a server of this repository with one worker, and prints Markdown for docs/benchmarks.md. One client, one
request at a time: milliseconds are latencies with the fsync of each write in them; processor time is the server's own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import httpx

from benchmarks.caseload import plan
from benchmarks.machine import children, machine
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    coding,
    episode,
    organization,
    patient,
    practitioner,
    role,
    shipped,
    team,
)
from tests.process import running

MANAGERS = 8
TICKS = os.sysconf("SC_CLK_TCK")
PHONE = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "PHONE"}


class Cost(NamedTuple):
    """Of one request: latency and the server's processor time, in milliseconds."""

    latency: float
    processor: float


def spent(pids: list[int]) -> float:
    """Processor time of processes so far, in milliseconds."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum((int(one[11]) + int(one[12])) * 1000 / TICKS for one in fields)


def timed(pids: list[int], times: int, ask: Callable[[int], httpx.Response]) -> Cost:
    """The cost of so many requests, each of which must succeed."""
    before, latencies = spent(pids), []
    for number in range(times):
        started = time.perf_counter()
        answer = ask(number)
        latencies.append((time.perf_counter() - started) * 1000)
        answer.raise_for_status()
    return Cost(median(latencies), (spent(pids) - before) / times)


def people(transfers: int) -> list[dict[str, Any]]:
    """Case managers, and members of the first half of them."""
    found: list[dict[str, Any]] = [shipped(), organization()]
    for number in range(MANAGERS):
        telecom = [{"system": "phone", "value": "1-515-555-0100"}]
        found += [practitioner(f"p{number}"), role(f"cm{number}", f"p{number}", telecom=telecom)]
    for number in range(transfers):
        id = f"m{number}"
        found += [patient(id, name=[{"text": f"Member {number}"}]), episode(id), team(id, assigned(sender(number)))]
    return found


def sender(number: int) -> str:
    return f"PractitionerRole/cm{number % (MANAGERS // 2)}"


def receiver(number: int) -> str:
    return f"PractitionerRole/cm{number % (MANAGERS // 2) + MANAGERS // 2}"


def parameters(*named: tuple[str, str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, type: value} for name, type, value in named]}


def told(number: int, *recipients: str, medium: bool = False) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": f"Patient/m{number}"},
        "sender": {"reference": sender(number)},
        "recipient": [{"reference": one} for one in recipients],
        **({"medium": [{"coding": [PHONE]}]} if medium else {}),
    }


def steps_of(client: httpx.Client, number: int) -> list[dict[str, Any]]:
    """A transfer's steps, in their order."""
    asked = parameters(
        ("program", "valueCanonical", IA_HCBS),
        ("to", "valueReference", {"reference": receiver(number)}),
        ("reason", "valueCodeableConcept", coding("ia-transfer-reason", "ratio-realignment")),
    )
    transfer = client.post(f"Patient/m{number}/$handoff", json=asked).raise_for_status().json()
    found = client.get("Task", params={"part-of": f"Task/{transfer['id']}"}).raise_for_status().json()
    tasks = [entry["resource"] for entry in found["entry"]]
    return sorted(tasks, key=lambda task: str(task["businessStatus"]["coding"][0]["code"]))


def evidence(client: httpx.Client, number: int, step: int) -> dict[str, Any]:
    """The inputs of `$advance` of a step."""
    if step == 1:
        return parameters(("consideration", "valueCodeableConcept", coding("ia-reassign-consideration", "cm-location")))
    given: list[dict[str, Any]] = []
    if step == 2:
        both = told(number, sender(number), receiver(number)) | {"sender": {"reference": "Organization/mco"}}
        given = [both, told(number, receiver(number), medium=True)]
    if step == 3:
        given = [told(number, f"Patient/m{number}", receiver(number), medium=True)]
    made = [client.post("Communication", json=one).raise_for_status().json()["id"] for one in given]
    named = [("evidence", "valueReference", {"reference": f"Communication/{id}"}) for id in made]
    return parameters(*named, *([("mode", "valueCode", "phone-both")] if step == 3 else []))


def asked(client: httpx.Client, pids: list[int], transfers: int) -> None:
    """Open the transfers; update each step plainly; then advance all of them step by step."""
    tasks = [steps_of(client, number) for number in range(transfers)]
    notes = [step | {"priority": "urgent"} for one in tasks for step in one[1:]]
    plain = {"resourceType": "Task", "status": "requested", "intent": "order", "description": "A call"}
    calls = [stored(client, plain) | {"priority": "urgent"} for _ in range(transfers)]
    plans = [stored(client, plan(0)) | {"title": "A plan"} for _ in range(transfers)]
    update = timed(pids, transfers, lambda number: put(client, plans[number]))
    row("update of a plan of 3.8 KB", update, update)
    row("update of a Task of no transfer", timed(pids, transfers, lambda number: put(client, calls[number])), update)
    row("update of a step", timed(pids, len(notes), lambda number: put(client, notes[number])), update)
    costs = []
    for step in range(5):
        inputs = [evidence(client, number, step) for number in range(transfers)]
        costs.append(
            timed(
                pids,
                transfers,
                lambda number, step=step, inputs=inputs: client.post(  # type: ignore[misc]
                    f"Task/{tasks[number][step]['id']}/$advance", json=inputs[number]
                ),
            )
        )
        row(f"`$advance` of step {step + 1}", costs[-1], update)
    row("mean of the five", Cost(mean(one.latency for one in costs), mean(one.processor for one in costs)), update)


def stored(client: httpx.Client, resource: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.post(resource["resourceType"], json=resource).raise_for_status().json()
    return found


def put(client: httpx.Client, resource: dict[str, Any]) -> httpx.Response:
    return client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)


def row(what: str, cost: Cost, update: Cost) -> None:
    ratio, share = cost.latency / update.latency, cost.processor / update.processor
    print(f"| {what} | {cost.latency:.1f} | {ratio:.1f} | {cost.processor:.1f} | {share:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=40)
    given = parser.parse_args()
    print(f"{machine()}; {given.transfers} transfers\n")
    print("| what | median ms | in updates | processor ms | in updates |\n| --- | --- | --- | --- | --- |")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(store=f"sqlite:///{folder}/careplan.db", workers=1) as (base, process),
        httpx.Client(base_url=f"{base}/", timeout=60) as client,
    ):
        for one in people(given.transfers):
            client.put(f"{one['resourceType']}/{one['id']}", json=one).raise_for_status()
        asked(client, [process.pid, *children(process.pid)], given.transfers)


if __name__ == "__main__":
    main()
