#!/usr/bin/env python3
"""Drive one care-coordination workload at a FHIR server and print what it answered each second, as Markdown.

    run.py                        # a server of this repository, started on a new store
    run.py http://127.0.0.1:8080/fhir   # any other, already running

It needs wrk (Debian: apt-get install wrk), and two quiet cores to be compared with docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.machine import machine
from server.settings import cores
from tests.process import serving

SCRIPT = Path(__file__).parent / "workload.lua"
MODES = ["read", "search", "chain", "include", "history", "create", "update", "transaction"]
ACTIVITIES = [
    {"detail": {"kind": "ServiceRequest", "code": {"text": f"Home service {n}"}, "status": "in-progress"}}
    for n in range(8)
]


def member(number: int) -> dict[str, Any]:
    """A transaction of seven resources: a member, the plan and five goals."""
    subject = {"reference": f"urn:uuid:1d5c0a52-7c05-4e86-9d6e-{number:012d}"}
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:example:member", "value": f"seed-{number}"}],
        "name": [{"family": "Basalt", "given": ["Fern"]}],
    }
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": subject,
        "period": {"start": "2026-01-01"},
        "activity": ACTIVITIES,
    }
    goal = {"resourceType": "Goal", "lifecycleStatus": "active", "description": {"text": "Goal"}, "subject": subject}
    resources = [patient, plan, *[goal] * 5]
    entries = [{"resource": one, "request": {"method": "POST", "url": one["resourceType"]}} for one in resources]
    entries[0]["fullUrl"] = subject["reference"]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def seed(client: httpx.Client, base: str, members: int, keys: Path) -> None:
    """Post the members, and write the file of their keys that the workload picks from."""
    with keys.open("w") as lines:
        for number in range(1, members + 1):
            answer = client.post(base, json=member(number)).raise_for_status().json()
            patient, plan = (entry["response"]["location"].split("/_history")[0] for entry in answer["entry"][:2])
            lines.write(f"seed-{number} {patient.rpartition('/')[2]} {plan.rpartition('/')[2]}\n")


def drive(base: str, mode: str, keys: Path, seconds: int, connections: int) -> dict[str, Any]:
    """One run of wrk: requests a second, milliseconds of latency, and how many were refused or broken."""
    url = urlsplit(base)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    command += [f"{url.scheme}://{url.netloc}", "--", url.path, mode, f"{mode}-{time.time_ns()}", str(keys)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(next(line for line in output.splitlines() if line.startswith("{"))))


@contextmanager
def target(base: str | None) -> Iterator[str]:
    """The server named, or one of our own with the programs and no members."""
    if base:
        yield base.rstrip("/")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(store=f"sqlite:///{folder}/bench.db", workers=cores()) as own,
    ):
        yield own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?")
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    asked = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk drives the workload and is not on the PATH: on Debian and Ubuntu, apt-get install wrk")
    print(f"{machine()}; {asked.connections} connections, {asked.members} members\n")
    with target(asked.base) as base, tempfile.NamedTemporaryFile() as file:
        keys = Path(file.name)
        with httpx.Client(headers={"Content-Type": "application/fhir+json"}, timeout=120) as client:
            seed(client, base, asked.members, keys)
        print(
            "| interaction | requests/s | p50 ms | p99 ms | refused | broken |\n| --- | --- | --- | --- | --- | --- |"
        )
        for mode in asked.modes:
            got = drive(base, mode, keys, asked.seconds, asked.connections)
            cells = [mode, f"{got['rate']:,.0f}", got["p50"], got["p99"], got["refused"], got["broken"]]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
