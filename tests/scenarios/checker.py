"""Checker: what a crowd of clients wrote at several servers, replayed and judged; and what such a crowd sends.

It knows nothing of the server's own counting. Its caps, its transfers and its spans are read from the history alone.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx

from tests.answers import entry, transaction
from tests.coordination.memory import BASE

Json = dict[str, Any]

CAP = 5
OPEN = {"requested", "accepted", "in-progress"}
GIVEN_UP = {"cancelled", "rejected"}
FOLLOWING = {  # what Task.status of a transfer may become
    None: {"requested"},
    "requested": {"requested", "accepted", *GIVEN_UP},
    "accepted": {"accepted", "in-progress", *GIVEN_UP},
    "in-progress": {"in-progress", "completed", *GIVEN_UP},
    "completed": {"completed"},
    "cancelled": {"cancelled"},
    "rejected": {"rejected"},
}


def parameters(*given: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": list(given)}


def put(*resources: Json) -> Json:
    return transaction(*(entry("PUT", reference_of(one), one) for one in resources))


def client_of(base: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{base}/", timeout=60)


def reference_of(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def code_of(task: Json) -> str:
    """Which step it is."""
    return str(task["businessStatus"]["coding"][0]["code"])


def given_of(task: Json) -> dict[str, str]:
    """The references of Task.input, by the code of its type."""
    return {
        one["type"]["coding"][0]["code"]: one["valueReference"]["reference"]
        for one in task.get("input", ())
        if "valueReference" in one
    }


def is_transfer(resource: Json) -> bool:
    codings = resource.get("code", {}).get("coding", ()) if resource["resourceType"] == "Task" else ()
    return {"system": f"{BASE}/CodeSystem/cm-task", "code": "case-manager-transfer"} in codings


def at(instant: str) -> datetime:
    found = datetime.fromisoformat(instant)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Span:
    """A participant who manages a member, from when to when."""

    def __init__(self, participant: Json) -> None:
        self.manager = str(participant["member"]["reference"])
        self.start = at(participant["period"]["start"])
        end = participant["period"].get("end")
        self.end = at(end) if end else datetime.max.replace(tzinfo=UTC)


class Checker:
    """Replays commits in their order; `wrong` tells what never may be."""

    def __init__(self) -> None:
        self.now: dict[str, Json] = {}  # what is judged, as it stands
        self.parts: dict[str, set[str]] = defaultdict(set)  # the steps of each transfer
        self.wrong: list[str] = []
        self.completed = 0
        self.fullest = 0

    def apply(self, position: int, written: list[Json]) -> None:
        written = [one for one in written if one["resourceType"] in {"CareTeam", "EpisodeOfCare", "Task"}]
        if not written:
            return
        before = {reference_of(one): self.now.get(reference_of(one)) for one in written}
        self.now |= {reference_of(one): one for one in written}
        for one in written:
            for whole in one.get("partOf", ()):
                self.parts[whole["reference"]].add(reference_of(one))
        for one in written:
            if is_transfer(one):
                self.transfer(position, before[reference_of(one)], one, before)
            elif one["resourceType"] == "Task":
                self.step(position, before[reference_of(one)], one)
        self.caps(position, at(written[0]["meta"]["lastUpdated"]))

    def caps(self, position: int, moment: datetime) -> None:
        """Whom each manager has, and whom each is promised: together no more than the cap."""
        there: dict[str, set[str]] = defaultdict(set)
        for one in self.now.values():
            if one["resourceType"] == "CareTeam" and self.is_enrolled(one["subject"]["reference"]):
                for span in map(Span, one["participant"]):
                    if span.end > moment:
                        there[span.manager].add(one["subject"]["reference"])
            elif is_transfer(one) and one["status"] in OPEN and self.is_enrolled(one["for"]["reference"]):
                there[one["owner"]["reference"]].add(one["for"]["reference"])
        for manager, members in there.items():
            self.fullest = max(self.fullest, len(members))
            if len(members) > CAP:
                self.wrong.append(f"{position}: {manager} has or is promised {len(members)}")

    def is_enrolled(self, member: str) -> bool:
        return bool(self.now[member.replace("Patient", "EpisodeOfCare")]["status"] == "active")

    def transfer(self, position: int, was: Json | None, task: Json, before: dict[str, Json | None]) -> None:
        name, steps = f"{position}: {reference_of(task)}", self.steps(task)
        if task["status"] not in FOLLOWING[was["status"] if was else None]:
            self.wrong.append(f"{name} goes from {was and was['status']} to {task['status']}")
        if [code_of(one) for one in steps] != list("12345"):
            self.wrong.append(f"{name} has the steps {[code_of(one) for one in steps]}")
        statuses = {one["status"] for one in steps}
        if task["status"] == "completed" and (was is None or was["status"] != "completed"):
            self.completed += 1
            self.switch(position, task, before)
            if statuses != {"completed"}:
                self.wrong.append(f"{name} is completed, its steps are {statuses}")
        elif any(reference.startswith("CareTeam/") for reference in before):
            self.wrong.append(f"{name} is {task['status']}, and a CareTeam is written with it")
        if task["status"] in GIVEN_UP and statuses & OPEN:
            self.wrong.append(f"{name} is given up, its steps are {statuses}")

    def steps(self, task: Json) -> list[Json]:
        return sorted((self.now[one] for one in self.parts[reference_of(task)]), key=code_of)

    def step(self, position: int, was: Json | None, step: Json) -> None:
        name = f"{position}: {reference_of(step)}"
        if was and was["status"] not in OPEN and was["status"] != step["status"]:
            self.wrong.append(f"{name} goes from {was['status']} to {step['status']}")
        earlier = [one for one in self.steps(self.now[step["partOf"][0]["reference"]]) if code_of(one) < code_of(step)]
        if step["status"] == "completed" and any(one["status"] != "completed" for one in earlier):
            self.wrong.append(f"{name} is completed before those that come before it")

    def switch(self, position: int, task: Json, before: dict[str, Json | None]) -> None:
        """One period ends, and at that instant the next one starts."""
        teams = [one for one in before if one.startswith("CareTeam/")]
        name = teams[0] if teams else "CareTeam"
        former = before.get(name)
        if len(teams) != 1 or former is None or former["subject"] != task["for"]:
            self.wrong.append(f"{position}: the switch of {task['for']['reference']} writes {teams}")
            return
        *kept, ended, started = self.now[name]["participant"]
        if kept != former["participant"][:-1] or "end" in former["participant"][-1]["period"]:
            self.wrong.append(f"{position}: the switch of {name} changes more than the one in force")
        if ended["period"].get("end") != started["period"]["start"]:
            self.wrong.append(f"{position}: {name} has nobody, or two, at the switch")
        who = (ended["member"]["reference"], started["member"]["reference"])
        if (given_of(task)["from"], task["owner"]["reference"]) != who:
            self.wrong.append(f"{position}: {name} goes from {who[0]} to {who[1]}")

    def waiting(self) -> set[str]:
        """Who is enrolled and has no manager."""
        teams = [one for one in self.now.values() if one["resourceType"] == "CareTeam"]
        held = {one["subject"]["reference"] for one in teams if "end" not in one["participant"][-1]["period"]}
        episodes = [one for one in self.now.values() if one["resourceType"] == "EpisodeOfCare"]
        return {one["patient"]["reference"] for one in episodes if one["status"] == "active"} - held

    def finish(self) -> None:
        """From the first on, each member has one manager at every instant."""
        for one in self.now.values():
            if one["resourceType"] != "CareTeam":
                continue
            spans = sorted(map(Span, one["participant"]), key=lambda span: span.start)
            self.wrong += [
                f"{reference_of(one)}: {former.end} is followed by {following.start}"
                for former, following in pairwise(spans)
                if former.end != following.start
            ]
            if spans[-1].end != datetime.max.replace(tzinfo=UTC):
                self.wrong.append(f"{reference_of(one)} ends on {spans[-1].end}")
