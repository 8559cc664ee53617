#!/usr/bin/env python3
"""The first story: a case manager may hold 50 members, and nobody gets a 51st past the server.

    make serve                                          # in one terminal
    .venv/bin/python examples/01_caseload_cap.py        # in another

It loads a population of its own, in which one manager holds 48 members and three members have no manager; assigns two
of them; is refused the third, by the operation and by a plain update alike; asks who the manager is, now and earlier;
and prints the MCO's report. Each run's ids begin with a word of their own, so that it can be run again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Any

import httpx
from population import population

Resource = dict[str, Any]

PROGRAM = "https://careplan-server.org/fhir/PlanDefinition/ia-hcbs"
BATCH = 200  # entries


def parameters(**values: Resource) -> Resource:
    """A Parameters resource: each value is its value[x], as {"valueCanonical": …}."""
    return {"resourceType": "Parameters", "parameter": [{"name": name} | value for name, value in values.items()]}


def load(server: httpx.Client, resources: Iterator[Resource]) -> int:
    """PUT each resource under its own id, some hundred in a transaction. How many there were."""
    total = 0
    while some := list(islice(resources, BATCH)):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in some
        ]
        server.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}).raise_for_status()
        total += len(some)
    return total


def assign(server: httpx.Client, member: str, manager: str) -> httpx.Response:
    asked = parameters(
        program={"valueCanonical": PROGRAM}, manager={"valueReference": {"reference": f"PractitionerRole/{manager}"}}
    )
    return server.post(f"Patient/{member}/$assign-care-manager", json=asked)


def add_by_update(server: httpx.Client, member: str, manager: str) -> httpx.Response:
    """The same assignment without the operation: a participant more in the member's CareTeam."""
    team = server.get(f"CareTeam/{member}").raise_for_status().json()
    role = {"coding": [{"system": "https://careplan-server.org/fhir/CodeSystem/cm-role", "code": "cbcm"}]}
    participant = {
        "role": [role],
        "member": {"reference": f"PractitionerRole/{manager}"},
        "period": {"start": "2026-01-01T00:00:00-06:00"},
    }
    team["participant"].append(participant)
    return server.put(f"CareTeam/{member}", json=team)


def tell(what: str, response: httpx.Response) -> None:
    """What was asked and how it was answered; a refusal in the server's own words."""
    print(f"   {what}: {response.status_code} {response.reason_phrase}")
    if not response.is_success:
        for issue in response.json()["issue"]:
            print(f"      {issue['code']}: {issue['diagnostics']}")


def caseload(server: httpx.Client, manager: str) -> None:
    answer = server.get(f"PractitionerRole/{manager}/$caseload", params={"program": PROGRAM}).raise_for_status().json()
    counts = {part["name"]: part["valueInteger"] for part in answer["parameter"] if "valueInteger" in part}
    print(f"   {manager} holds {counts['members']} of {counts['limit']}; {counts['remaining']} more may come")


def manager_on(server: httpx.Client, member: str, day: str) -> str:
    """Who the member's manager is as of a day, or whom to call."""
    answer = server.get(f"Patient/{member}/$care-manager", params={"asOf": day}).raise_for_status().json()
    for parameter in answer.get("parameter", ()):
        if parameter["name"] == "assignment":
            parts = {part["name"]: part for part in parameter["part"]}
            return f"{parts['manager']['valueReference']['reference']} since {parts['since']['valueDateTime'][:10]}"
    contacts = [parameter["resource"] for parameter in answer.get("parameter", ()) if parameter["name"] == "contact"]
    return "nobody; call " + ", or ".join(telecom for contact in contacts for telecom in telecoms(contact))


def telecoms(contact: Resource) -> list[str]:
    named = contact.get("providedBy") or contact.get("practitioner") or {"display": contact.get("name")}
    whose = named["display"]
    return [f"{whose} at {telecom['value']}" for telecom in contact.get("telecom", ())]


def moved(server: httpx.Client, prefix: str) -> tuple[str, str]:
    """A member of this story who has had two managers, and the day of the change."""
    managers = f"PractitionerRole/{prefix}cm-0001"
    answer = server.get("CareTeam", params={"participant": managers, "_count": "100"}).raise_for_status().json()
    for team in (entry["resource"] for entry in answer["entry"]):
        for participant in team["participant"]:
            if "end" in participant.get("period", {}):
                return team["id"], participant["period"]["end"][:10]
    raise LookupError("nobody has had two managers")


def before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def report(server: httpx.Client, organization: str) -> None:
    """The MCO's average, and its managers with the most members."""
    path = f"Organization/{organization}/$caseload-report"
    group = server.get(path, params={"program": PROGRAM}).raise_for_status().json()["group"][0]
    counts = {each["code"]["coding"][0]["code"]: each["count"] for each in group["population"]}
    print(f"   {counts['members']} members, {counts['managers']} managers, average {group['measureScore']['value']}")
    strata = next(each["stratum"] for each in group["stratifier"] if each["code"][0]["coding"][0]["code"] == "manager")
    for stratum in sorted(strata, key=lambda each: -each["population"][0]["count"])[:3]:
        print(f"   {stratum['population'][0]['count']:4}  {stratum['value']['text']}")


def main(base: str, prefix: str) -> None:
    with httpx.Client(base_url=base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as server:
        manager = f"{prefix}cm-0001"
        first, second, third = (f"{prefix}member-{n:05d}" for n in (75, 78, 81))
        print("1. A population of its own")
        resources = population([48, 8, 8, 8], unassigned=9, prefix=prefix, seed=2)
        print(f"   {load(server, resources)} resources are stored")
        caseload(server, manager)

        print("2. Up to the cap")
        tell(f"{first} to {manager}", assign(server, first, manager))
        tell(f"{second} to {manager}", assign(server, second, manager))
        caseload(server, manager)

        print("3. The 51st, by whatever door")
        tell(f"{third} to {manager}", assign(server, third, manager))
        tell(f"{third} to {manager} by update", add_by_update(server, third, manager))
        caseload(server, manager)

        print("4. Who the manager is")
        member, day = moved(server, prefix)
        print(f"   {member} on the day before {day}: {manager_on(server, member, before(day))}")
        print(f"   {member} on {day}: {manager_on(server, member, day)}")
        print(f"   {third} on 2026-01-01: {manager_on(server, third, '2026-01-01')}")

        print("5. What the state sees")
        organization = server.get(f"PractitionerRole/{manager}").json()["organization"]["reference"].rpartition("/")[2]
        report(server, organization)


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/fhir",
        sys.argv[2] if len(sys.argv) > 2 else f"s{int(time.time()):x}-",
    )
