"""What a package rests on, and how its versions stand beside one another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.interactions.exchange import Server
from server.load.load import load
from server.load.source import Manifest, manifest
from server.outcome import Problem
from server.settings import Settings
from tests.load.test_source import package
from tests.validation.loaded import profile

Json = dict[str, Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with opened(Settings(store=f"sqlite:///{tmp_path}/careplan.db")) as server:
        yield server


def guide(path: Path, version: str, dependencies: Json | None = None) -> Path:
    """A package of one profile and one patient."""
    described = {"name": "org.example.ig", "version": version, "dependencies": dependencies or {}}
    goal = profile("Goal", {"id": "Goal.note", "min": 1}, id="noted", name="N", status="active", abstract=False)
    about = {
        "resourceType": "ImplementationGuide",
        "id": "ig",
        "url": "http://example.org/ig",
        "name": "IG",
        "status": "active",
        "packageId": "org.example.ig",
        "fhirVersion": ["4.0.1"],
    }
    return package(
        path / f"ig-{version}.tgz",
        ("package/package.json", json.dumps(described).encode()),
        ("package/StructureDefinition-noted.json", json.dumps(goal | {"version": version}).encode()),
        ("package/ImplementationGuide-ig.json", json.dumps(about | {"version": version}).encode()),
        ("package/example/Patient-a.json", b'{"resourceType":"Patient","id":"a"}'),
    )


async def version(server: Server, type: str, id: str) -> Any:
    return json.loads((await server.repository.read(SYSTEM, type, id)).body or b"")["version"]


async def test_two_versions_of_a_package_stand_beside_one_another(tmp_path: Path, server: Server) -> None:
    for number in ("1.0.0", "2.0.0", "1.0.0", "2.0.0"):
        report = await load(server, [guide(tmp_path, number)])
        assert [] == report.refused
    assert "1.0.0" == await version(server, "StructureDefinition", "noted")
    assert "2.0.0" == await version(server, "StructureDefinition", "noted-2.0.0")
    assert "2.0.0" == await version(server, "ImplementationGuide", "ig-2.0.0")


async def test_loaded_again_writes_nothing(tmp_path: Path, server: Server) -> None:
    first = await load(server, [guide(tmp_path, "1.0.0")])
    again = await load(server, [guide(tmp_path, "1.0.0")])
    assert ((3, 3), (3, 0)) == ((first.taken, first.written), (again.taken, again.written))


async def test_examples_are_left_where_they_are_not_wanted(tmp_path: Path, server: Server) -> None:
    await load(server, [guide(tmp_path, "1.0.0")], examples=False)
    with pytest.raises(Problem):
        await server.repository.read(SYSTEM, "Patient", "a")
    await load(server, [guide(tmp_path, "1.0.0")])
    assert (await server.repository.read(SYSTEM, "Patient", "a")).body


async def test_absent_dependencies_are_named(tmp_path: Path, server: Server) -> None:
    needed = {"hl7.fhir.r4.core": "4.0.1", "org.example.ig": "1.0.0", "org.example.none": "3.0.0"}
    report = await load(server, [guide(tmp_path, "2.0.0", needed)])
    assert ["org.example.ig 1.0.0", "org.example.none 3.0.0"] == [
        " ".join(one.split()[4:6])[:-1] for one in report.absent
    ]
    assert "(2.0.0 is)" in report.absent[0]
    assert [] == (await load(server, [guide(tmp_path, "3.0.0", {"org.example.ig": "2.0.0"})])).absent


async def test_profile_of_the_package_holds_for_what_follows(tmp_path: Path, server: Server) -> None:
    await load(server, [guide(tmp_path, "1.0.0")])
    goal = {
        "resourceType": "Goal",
        "id": "g",
        "meta": {"profile": ["http://example.org/fhir/StructureDefinition/goal"]},
        "lifecycleStatus": "active",
        "description": {"text": "Walk"},
        "subject": {"reference": "Patient/1"},
    }
    lines = tmp_path / "goals.ndjson"
    lines.write_text("\n".join(json.dumps(one) for one in (goal, goal | {"id": "h", "note": [{"text": "a"}]})))
    report = await load(server, [lines])
    assert (1, ["required"]) == (report.taken, [issue.code for one in report.refused for issue in one.issues])


def test_manifest_of_a_package(tmp_path: Path) -> None:
    assert Manifest("org.example.ig", "1.0.0", {"a": "1"}) == manifest(guide(tmp_path, "1.0.0", {"a": "1"}))


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"name":"a"}', b'{"name":"a","version":"1","dependencies":[1]}'])
def test_manifest_that_is_none_says_nothing(tmp_path: Path, data: bytes) -> None:
    assert manifest(package(tmp_path / "a.tgz", ("package/package.json", data))) is None
    assert manifest(tmp_path / "a.json") is None
