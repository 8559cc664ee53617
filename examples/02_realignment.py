#!/usr/bin/env python3
"""The second story: a plan of 52 members for each case manager, some with 70, is brought within Iowa's limits.

    make serve                                       # in one terminal
    .venv/bin/python examples/02_realignment.py      # in another, with the same CAREPLAN_STORE

It makes the record of a plan of its own, has it taken over as it is (`careplan load --as-recorded`: no request can),
and sees the breaches flagged; asks what is lacking, hires, asks for the best moves, applies them, takes each member
through the five steps of a transfer, and prints what the state then sees. Each run has ids of its own.

For a server elsewhere: `02_realignment.py --record here- > record.ndjson`; there `careplan load --as-recorded
record.ndjson`; then `02_realignment.py [base] here-`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

import httpx
from population import AS_OF, BASE, COUNTIES, ZONE, Manager, Member, directory, provider

Resource = dict[str, Any]

ROOT = Path(__file__).parent.parent
PROGRAM = f"{BASE}/PlanDefinition/ia-hcbs"
LOADS = [70, 70, 58, 50, 50, 48, 46, 44, 42, 42]  # 520 members, 10 managers
KEPT = {"Patient", "RelatedPerson", "EpisodeOfCare", "CareTeam", "ServiceRequest"}  # of each member
MODES = ("phone-notice-current-cm", "phone-both", "in-person-both")


# The record


def record(prefix: str) -> Iterator[Resource]:
    """A plan, its providers, its managers with more members than the limits allow."""
    plan = {"resourceType": "Organization", "id": f"{prefix}plan", "active": True, "name": "Prairie Plan (fictional)"}
    yield from directory()
    for county in COUNTIES:
        yield from (provider(county, number) for number in range(1, 11))
    yield plan
    yield from area_manager(prefix)
    managers = [Manager.make(Random(f"realignment/{n}"), f"{prefix}cm-{n:02d}", plan) for n in range(1, len(LOADS) + 1)]
    numbers = count(1)
    for manager, load in zip(managers, LOADS, strict=True):
        yield manager.practitioner
        yield manager.role
        for number in islice(numbers, load):
            random = Random(f"realignment/member/{number}")
            member = Member(random, f"{prefix}member-{number:03d}", number, plan, manager.county, AS_OF)
            yield from (one for one in member.resources(manager, None) if one["resourceType"] in KEPT)


def area_manager(prefix: str) -> list[Resource]:
    """Who decides on transfers in all of Iowa, for this plan."""
    id = f"{prefix}area-manager"
    return [
        {"resourceType": "Practitioner", "id": id, "name": [{"family": "Loess", "given": ["Lea"]}]},
        {
            "resourceType": "PractitionerRole",
            "id": id,
            "active": True,
            "practitioner": {"reference": f"Practitioner/{id}", "display": "Lea Loess"},
            "organization": {"reference": f"Organization/{prefix}plan"},
            "code": [coded("cm-role", "area-manager")],
            "location": [{"reference": "Location/ia"}],
            "telecom": [{"system": "phone", "value": "1-515-555-0142"}],
        },
    ]


def lines(resources: Iterable[Resource]) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in resources)


def take_over(server: httpx.Client, prefix: str) -> None:
    """Load the record as it is, beside the running server, where that has it not."""
    if server.get(f"Organization/{prefix}plan").is_success:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
        file.write(lines(record(prefix)))
        file.flush()
        command = [sys.executable, "-m", "server.cli", "load", "--as-recorded", file.name]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    if not server.get(f"Organization/{prefix}plan").is_success:
        raise SystemExit(f"{server.base_url} has another store than CAREPLAN_STORE: load the record there (--record)")


# Asking


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{BASE}/CodeSystem/{system}", "code": code}]}


def parameters(*given: tuple[str, str, Any]) -> Resource:
    """Parameters of (name, value[x], value)."""
    return {"resourceType": "Parameters", "parameter": [{"name": name, type: value} for name, type, value in given]}


def invoke(server: httpx.Client, place: str, *given: tuple[str, str, Any]) -> Resource:
    answer = server.post(place, json=parameters(("program", "valueCanonical", PROGRAM), *given))
    return answered(answer)


def answered(answer: httpx.Response) -> Resource:
    if not answer.is_success:
        issues = answer.json().get("issue", ())
        raise SystemExit("\n".join(f"{issue['code']}: {issue['diagnostics']}" for issue in issues))
    found: Resource = answer.json()
    return found


# What the state sees


def plans_report(server: httpx.Client, prefix: str) -> dict[str, Resource]:
    """The plan's report as of now by the codes of its groups; it also brings the Flags of breaches up to date."""
    found = invoke(server, f"Organization/{prefix}plan/$caseload-report")
    return {code_of(group["code"]): group for group in found["group"]}


def states_report(server: httpx.Client, prefix: str) -> dict[str, Resource]:
    """What the report over all plans says of this one."""
    found = invoke(server, "Organization/$caseload-report")
    return {
        code_of(group["code"]): group for group in found["group"] if f"Organization/{prefix}plan" in plans_of(group)
    }


def plans_of(group: Resource) -> list[str]:
    return [one["valueReference"]["reference"] for one in group.get("extension", ()) if "valueReference" in one]


def transferred(group: Resource) -> None:
    """How many were transferred, and for which reason."""
    reasons = next(each["stratum"] for each in group["stratifier"] if code_of(each["code"][0]) == "reason")
    for stratum in reasons:
        counts = {code_of(one["code"]): one["count"] for one in stratum["population"]}
        print(f"   {counts['completed']} transfers completed for {code_of(stratum['value'])}")


def show(group: Resource) -> None:
    counts = {one["code"]["coding"][0]["code"]: one["count"] for one in group["population"]}
    average, limit = group["measureScore"]["value"], breach(group)
    over = f", above the limit of {limit['limit']} since {limit['date'][:10]}" if limit else ""
    print(f"   {counts['members']} members, {counts['managers']} managers, {average} on average{over}")
    strata = next(each["stratum"] for each in group["stratifier"] if code_of(each["code"][0]) == "manager")
    for stratum in sorted(strata, key=lambda each: -each["population"][0]["count"]):
        limit = breach(stratum)
        over = f"   above {limit['limit']} since {limit['date'][:10]}" if limit else ""
        name = stratum["value"]["text"].partition(" (")[0]
        print(f"   {stratum['population'][0]['count']:4}  {name}{over}")


def breach(element: Resource) -> Resource | None:
    """The parts of the extension caseload-breach."""
    for extension in element.get("extension", ()):
        if extension["url"].endswith("/caseload-breach"):
            return {
                part["url"]: next(value for name, value in part.items() if name != "url")
                for part in extension["extension"]
            }
    return None


def code_of(concept: Resource) -> str:
    return str(concept["coding"][0]["code"])


def flags(server: httpx.Client, prefix: str) -> None:
    """The Flags of breaches, of the plan and of its managers."""
    persons = [f"Practitioner/{prefix}cm-{n:02d}" for n in range(1, len(LOADS) + 1)]
    found = matches(server, "Flag", subject=",".join([f"Organization/{prefix}plan", *persons]))
    for status in ("active", "inactive"):
        told = Counter(code_of(flag["code"]) for flag in found if flag["status"] == status)
        print(f"   Flags {status}: {', '.join(f'{n} {code}' for code, n in told.items()) or 'none'}")


def matches(server: httpx.Client, type: str, **criteria: str) -> list[Resource]:
    """Every match of a search, and what it includes."""
    found, following = [], server.build_request("GET", type, params=criteria | {"_count": "500"})
    while following:
        page = answered(server.send(following))
        found += [one["resource"] for one in page.get("entry", ()) if one["search"]["mode"] != "outcome"]
        following = next(
            (server.build_request("GET", one["url"]) for one in page["link"] if one["relation"] == "next"), None
        )
    return found


# Rebalancing


def rebalance(server: httpx.Client, prefix: str, *given: tuple[str, str, Any]) -> dict[str, list[Any]]:
    """The outputs of $rebalance by name: of each the values, or the parts by name."""
    answer = invoke(server, f"Organization/{prefix}plan/$rebalance", *given)
    found: dict[str, list[Any]] = {}
    for one in answer["parameter"]:
        parts = {part["name"]: value_of(part) for part in one.get("part", ())}
        found.setdefault(one["name"], []).append(parts or value_of(one))
    return found


def value_of(parameter: Resource) -> Any:
    return next((value for name, value in parameter.items() if name != "name"), None)


def hire(server: httpx.Client, prefix: str, number: int, area: str) -> str:
    """A case manager who begins today in an area; the name."""
    id = f"{prefix}new-{number}"
    person = {
        "resourceType": "Practitioner",
        "id": id,
        "name": [{"family": "Shale", "given": [("Nora", "Ned", "Nell")[number % 3]]}],
        "qualification": [{"code": {"text": "Case manager"}, "period": {"start": "2020-06-01"}}],
    }
    role = {
        "resourceType": "PractitionerRole",
        "id": id,
        "active": True,
        "period": {"start": datetime.now(ZONE).date().isoformat()},
        "practitioner": {"reference": f"Practitioner/{id}", "display": f"{person['name'][0]['given'][0]} Shale"},
        "organization": {"reference": f"Organization/{prefix}plan"},
        "code": [coded("cm-role", "cbcm")],
        "location": [{"reference": area}],
        "telecom": [{"system": "phone", "value": f"1-515-555-015{number}"}],
    }
    for one in (person, role):
        answered(server.put(f"{one['resourceType']}/{id}", json=one))
    return str(role["practitioner"]["display"])


# Transferring


def transfer_all(server: httpx.Client, prefix: str) -> int:
    """Take every transfer that is open through its five steps; how many there were."""
    transfers: list[Resource] = []
    steps: dict[str, dict[str, str]] = {}
    criteria = {"code": f"{BASE}/CodeSystem/cm-task|case-manager-transfer", "status": "requested"}
    requester = f"PractitionerRole/{prefix}area-manager"
    for task in matches(server, "Task", requester=requester, _revinclude="Task:part-of", **criteria):
        if "partOf" in task:
            steps.setdefault(task["partOf"][0]["reference"], {})[code_of(task["businessStatus"])] = task["id"]
        else:
            transfers.append(task)
    for number, transfer in enumerate(transfers):
        for code, step in sorted(steps[f"Task/{transfer['id']}"].items()):
            shown = evidence(server, transfer, code, number)
            answered(server.post(f"Task/{step}/$advance", json=parameters(*shown)))
    return len(transfers)


def evidence(server: httpx.Client, transfer: Resource, code: str, number: int) -> list[tuple[str, str, Any]]:
    """What the managers have done for a step; the letter, first contacts and notices the server makes itself."""
    member, new = transfer["for"]["reference"], transfer["owner"]["reference"]
    old = next(one for one in transfer["input"] if code_of(one["type"]) == "from")["valueReference"]["reference"]
    boss = transfer["requester"]["reference"]
    if code == "2":
        return [("consideration", "valueCodeableConcept", coded("ia-reassign-consideration", "cm-location"))]
    if code == "3":
        return [talk(server, member, boss, [old, new]), talk(server, member, old, [new], "PHONE")]
    if code == "4":
        return [introduction(server, member, old, new), ("mode", "valueCode", MODES[number % 2])]
    return []


def introduction(server: httpx.Client, member: str, old: str, new: str) -> tuple[str, str, Any]:
    """The old manager on the telephone with the member, or with whoever speaks for the member, and the new one."""
    guardian = matches(server, "RelatedPerson", patient=member)
    who = f"RelatedPerson/{guardian[0]['id']}" if guardian else member
    return talk(server, member, old, [who, new], "PHONE")


def talk(
    server: httpx.Client, member: str, sender: str, recipients: list[str], medium: str = ""
) -> tuple[str, str, Any]:
    """A conversation on record, as evidence."""
    mode = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": medium}
    made = {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": member},
        "sender": {"reference": sender},
        "recipient": [{"reference": one} for one in recipients],
        **({"medium": [{"coding": [mode]}]} if medium else {}),
    }
    stored = answered(server.post("Communication", json=made))
    return "evidence", "valueReference", {"reference": f"Communication/{stored['id']}"}


# The story


def tell(text: str) -> None:
    """A long sentence, in lines."""
    print(textwrap.fill(text, 100, initial_indent="   ", subsequent_indent="      "))


def main(base: str, prefix: str) -> None:
    headers = {"Content-Type": "application/fhir+json", "X-Acting-As": f"PractitionerRole/{prefix}area-manager"}
    with httpx.Client(base_url=base, headers=headers, timeout=120) as server:
        print("1. The record, taken over as it is")
        take_over(server, prefix)
        show(plans_report(server, prefix)["statewide-average"])
        flags(server, prefix)

        print("2. Can these managers be brought within the limits?")
        lacking = rebalance(server, prefix)["lacking"]
        for one in lacking:
            tell(one["text"])

        print("3. They are hired, and the best moves are proposed")
        areas = [one["area"]["reference"] for one in lacking for _ in range(one["managers"])]
        names = [hire(server, prefix, number, area) for number, area in enumerate(areas, 1)]
        print(f"   From today on: {' and '.join(names)}")
        proposal = rebalance(server, prefix)
        moves = [one["resource"] for one in proposal["proposal"][0]["entry"]]
        print(f"   {len(moves)} of {sum(LOADS)} members are to move, as of ledger position {proposal['position'][0]}")
        print(f"   Cost {proposal['cost'][0]}; no other moves cost less than {proposal['bound'][0]}")
        tell(f"The first: {moves[0]['description']}")

        print("4. They are applied, and each member is taken through the five steps")
        apply = ("apply", "valueBoolean", True), ("position", "valueInteger", proposal["position"][0])
        opened = rebalance(server, prefix, *apply)["opened"]
        print(f"   {len(opened)} transfers are open; each holds a place at the next manager")
        print(f"   {transfer_all(server, prefix)} transfers are complete, each with a letter to the member or guardian")

        print("5. What the state sees now")
        found = states_report(server, prefix)
        show(found["statewide-average"])
        transferred(found["transfers"])
        plans_report(server, prefix)
        flags(server, prefix)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        sys.stdout.write(lines(record(sys.argv[2])))
    else:
        main(
            sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/fhir",
            sys.argv[2] if len(sys.argv) > 2 else f"r{int(time.time()):x}-",
        )
