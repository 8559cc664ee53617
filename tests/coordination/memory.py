"""A ledger in memory, for the rules: every resource at its head, with facts; commits go through the store's writer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server.coordination.facts import facts
from server.coordination.rule import rules
from server.fhir.body import Body
from server.ledger import Change, Context, Fact, Plan, Resource, Version, View
from server.store.engine import Projections
from server.store.overlay import Overlay
from server.store.writer import decided

BASE = "https://careplan-server.org/fhir"
BASE_URL = "http://127.0.0.1:8000/fhir"
PROJECTIONS = Projections(lambda resource: (), lambda resource: facts(resource, BASE_URL), "test")
IA_HCBS = f"{BASE}/PlanDefinition/ia-hcbs"
NOW = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)  # noon in Iowa


def shipped() -> Resource:
    """The Iowa program as the project ships it."""
    path = Path(__file__).parents[2] / "profiles" / "PlanDefinition-ia-hcbs.json"
    plan: Resource = json.loads(path.read_text())
    return plan


def limited(limit: int, **more: Any) -> Resource:
    """The Iowa program with another cap on each manager."""
    plan = shipped() | more
    for action in plan["action"]:
        if action["id"] == "IA-04":
            action["extension"][-1]["extension"][1]["valueInteger"] = limit
    return plan


class Memory:
    """A View, and the commits that lead to it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.position = 0
        self.versions: dict[str, Version] = {}
        self.past: dict[tuple[str, int], Version] = {}
        self.rows: dict[tuple[str, str], dict[str, list[Fact]]] = {}  # (kind, key) -> source -> facts
        self.keys: dict[str, set[tuple[str, str]]] = {}
        self.queries = 0

    async def read(self, type: str, id: str) -> Version | None:
        return self.versions.get(f"{type}/{id}")

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        self.queries += 1
        return {one: self.versions[one] for one in references if one in self.versions}

    async def vread(self, type: str, id: str, position: int) -> Version | None:
        return self.past.get((f"{type}/{id}", position))

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        raise NotImplementedError

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        self.queries += 1
        return {key: [fact for found in self.rows.get((kind, key), {}).values() for fact in found] for key in keys}

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, 0)

    async def put(
        self, *resources: Resource | str, actor: str | None = None, override: Mapping[str, Any] | None = None
    ) -> None:
        """One commit: resources as PUT, and references as DELETE."""
        changes = [change(resource) for resource in resources]

        async def decide(view: View) -> Plan:
            return Plan(changes)

        await self.commit(decide, actor, override)

    async def commit(self, decide: Any, actor: str | None = None, override: Mapping[str, Any] | None = None) -> Any:
        context = Context(str(uuid.uuid5(uuid.NAMESPACE_URL, str(self.position))), self.now, actor, override)
        done = await decided(self, decide, context, rules, PROJECTIONS)
        new = [written for written, _, is_new in done.changes if is_new]
        self.position += bool(new)
        for ordinal, written in enumerate(new):
            self._apply(written, ordinal)
        return done

    def _apply(self, written: Change, ordinal: int) -> None:
        reference = written.reference
        body = None if written.resource is None else written.stamped(self.position, 0)
        version = Version(written.type, written.id, self.position, ordinal, written.method, 0, body)
        self.versions[reference] = self.past[reference, self.position] = version
        for key in self.keys.pop(reference, ()):
            del self.rows[key][reference]
        for kind, key, data in written.facts or ():
            self.rows.setdefault((kind, key), {}).setdefault(reference, []).append(
                Fact(kind, key, json.loads(json.dumps(data)), reference)
            )
            self.keys.setdefault(reference, set()).add((kind, key))

    def get(self, reference: str) -> Resource:
        """The resource as it stands."""
        version = self.versions[reference]
        assert version.body is not None
        found: Resource = json.loads(version.body)
        del found["meta"]
        return found


def change(resource: Resource | str) -> Change:
    if isinstance(resource, str):
        return Change("DELETE", *resource.split("/"))
    resource = deepcopy(resource)
    return Change("PUT", resource["resourceType"], resource["id"], resource, Body.of(resource).text(resource["id"]))


# Resources


def coding(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{BASE}/CodeSystem/{system}", "code": code}]}


def patient(id: str, **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": id, **more}


def organization(id: str = "mco") -> Resource:
    return {"resourceType": "Organization", "id": id, "name": f"MCO {id}"}


def practitioner(id: str, **more: Any) -> Resource:
    return {"resourceType": "Practitioner", "id": id, "name": [{"text": f"Manager {id}"}], **more}


def role(id: str, person: str | None = None, mco: str = "mco", **more: Any) -> Resource:
    """PractitionerRole/<id> of Practitioner/<person>."""
    return {
        "resourceType": "PractitionerRole",
        "id": id,
        "practitioner": {"reference": f"Practitioner/{person or id}"},
        "organization": {"reference": f"Organization/{mco}"},
        "code": [coding("cm-role", "cbcm")],
        **more,
    }


def location(id: str, whole: str | None = None, **address: str) -> Resource:
    """Location/<id>, an area with this address, part of Location/<whole>."""
    area = {"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "area"}
    return {
        "resourceType": "Location",
        "id": id,
        "status": "active",
        "physicalType": {"coding": [area]},
        **({"address": address} if address else {}),
        **({"partOf": {"reference": f"Location/{whole}"}} if whole else {}),
    }


def episode(
    id: str, mco: str = "mco", start: str | None = "2025-01-01", end: str | None = None, **more: Any
) -> Resource:
    """EpisodeOfCare/<id> of Patient/<id>."""
    return {
        "resourceType": "EpisodeOfCare",
        "id": id,
        "status": "active",
        "type": [coding("cm-program", "ia-hcbs")],
        "patient": {"reference": f"Patient/{id}"},
        "managingOrganization": {"reference": f"Organization/{mco}"},
        "period": period(start, end),
        **more,
    }


def assigned(manager: str, start: str | None = "2025-01-01", end: str | None = None, **more: Any) -> Resource:
    """A participant who is case manager: `manager` is the reference."""
    return {"role": [coding("cm-role", "cbcm")], "member": {"reference": manager}, "period": period(start, end), **more}


def team(id: str, *participants: Resource, **more: Any) -> Resource:
    """CareTeam/<id> of Patient/<id>."""
    return {
        "resourceType": "CareTeam",
        "id": id,
        "status": "active",
        "subject": {"reference": f"Patient/{id}"},
        "participant": list(participants),
        **more,
    }


def period(start: str | None, end: str | None) -> Resource:
    return {name: value for name, value in (("start", start), ("end", end)) if value}


async def iowa(limit: int = 3, managers: Iterable[str] = ("a", "b"), members: Iterable[str] = "123456") -> Memory:
    """A ledger with the program at a small limit, managers (a Practitioner and a role each) and enrolled members."""
    memory = Memory()
    await memory.put(limited(limit), organization("mco"), organization("other"))
    for id in managers:
        await memory.put(practitioner(id), role(id))
    for id in members:
        await memory.put(patient(f"m{id}"), episode(f"m{id}"))
    return memory


async def fill(memory: Memory, manager: str, *members: str, **more: Any) -> None:
    """Assign members to PractitionerRole/<manager>, each on the CareTeam with the member's id."""
    for id in members:
        await memory.put(team(id, assigned(f"PractitionerRole/{manager}", **more)))
