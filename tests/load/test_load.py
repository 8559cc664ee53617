"""What a load takes, what it leaves out, and how it goes on."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from examples.population import population
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.coordination.write import AS_RECORDED
from server.fhir.body import dumps
from server.interactions.exchange import Server
from server.load import chunk
from server.load import load as module
from server.load.load import load
from server.load.shipped import programs
from server.outcome import Problem
from server.settings import Settings

Resource = dict[str, Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with opened(Settings(store=f"sqlite:///{tmp_path}/careplan.db")) as server:
        await programs(server)
        yield server


def ndjson(path: Path, resources: Iterable[Resource]) -> Path:
    path.write_bytes(b"".join(dumps(resource) + b"\n" for resource in resources))
    return path


def patients(count: int) -> list[Resource]:
    return [{"resourceType": "Patient", "id": f"p{n}", "gender": "female"} for n in range(count)]


def bundle(path: Path, kind: str, *entries: Resource) -> Path:
    path.write_text(json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}))
    return path


async def stored(server: Server, type: str, id: str) -> Resource:
    return dict(json.loads((await server.repository.read(SYSTEM, type, id)).body or b""))


async def test_every_line_is_stored_under_its_id(tmp_path: Path, server: Server) -> None:
    report = await load(server, [ndjson(tmp_path / "a.ndjson", patients(3))])
    assert (3, 3, []) == (report.taken, report.written, report.refused)
    assert "female" == (await stored(server, "Patient", "p2"))["gender"]


async def test_bytes_of_the_client_survive(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "a.ndjson"
    code = b'"code":{"text":"\\u00e9","extension":[{"url":"urn:x","valueDecimal":1.10}]}}'
    path.write_bytes(b'{ "resourceType":"Basic", "id":"b", ' + code)
    await load(server, [path])
    assert ((await server.repository.read(SYSTEM, "Basic", "b")).body or b"").endswith(b", " + code)


async def test_chunks_in_processes_come_in_order(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(chunk, "SIZE", 10)
    report = await load(server, [ndjson(tmp_path / "a.ndjson", patients(95))], workers=2)
    assert (95, 95) == (report.taken, report.written)
    positions = [(await server.repository.read(SYSTEM, "Patient", f"p{n}")).position for n in range(95)]
    assert sorted(positions) == positions


async def test_loaded_again_nothing_is_written(tmp_path: Path, server: Server) -> None:
    path = ndjson(tmp_path / "a.ndjson", patients(3))
    await load(server, [path])
    head = await server.repository.head(SYSTEM)
    report = await load(server, [path])
    assert (3, 0, head) == (report.taken, report.written, await server.repository.head(SYSTEM))


async def test_broken_off_goes_on_where_it_stopped(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "SIZE", 10)
    path = ndjson(tmp_path / "a.ndjson", [{"resourceType": "Patient", "active": True} for _ in range(35)])

    def stop(read: int, resources: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await load(server, [path], watch=stop)
    report = await load(server, [path])
    assert (35, 25) == (report.taken, report.written)
    assert 35 == (await server.repository.history(SYSTEM, "Patient")).total


async def test_invalid_resource_is_left_out_alone(tmp_path: Path, server: Server) -> None:
    path = ndjson(
        tmp_path / "a.ndjson", [*patients(2), {"resourceType": "Patient", "id": "bad", "gender": "unheard-of"}]
    )
    report = await load(server, [path])
    assert 2 == report.taken
    assert [(f"{path}:3", [("Patient.gender",)])] == [
        (r.place, [i.expression for i in r.issues]) for r in report.refused
    ]


async def test_line_that_is_no_json_is_left_out_alone(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"resourceType":"Patient","id":"p0"}\n{"resourceType":\n{"resourceType":"Patient","id":7}\n')
    report = await load(server, [path])
    assert 1 == report.taken
    assert [f"{path}:2", f"{path}:3"] == [refusal.place for refusal in report.refused]


async def test_resource_that_comes_twice_has_two_versions(tmp_path: Path, server: Server) -> None:
    twice = [{"resourceType": "Patient", "id": "p", "gender": gender} for gender in ("female", "male")]
    report = await load(server, [ndjson(tmp_path / "a.ndjson", twice)])
    assert (2, 2) == (report.taken, report.written)
    assert "male" == (await stored(server, "Patient", "p"))["gender"]


@pytest.mark.requirement("IA-04")
async def test_member_over_the_cap_is_left_out_alone(tmp_path: Path, server: Server) -> None:
    path = ndjson(tmp_path / "a.ndjson", population([51, 4]))
    report = await load(server, [path])
    assert [["business-rule"]] == [[issue.code for issue in refusal.issues] for refusal in report.refused]
    with pytest.raises(Problem):
        await server.repository.read(SYSTEM, "CareTeam", "member-00051")
    assert "member-00050" == (await stored(server, "CareTeam", "member-00050"))["id"]


async def test_as_recorded_admits_a_breach(tmp_path: Path, server: Server) -> None:
    path = ndjson(tmp_path / "a.ndjson", population([51, 4]))
    report = await load(server, [path], override=AS_RECORDED)
    assert [] == report.refused
    assert "member-00051" == (await stored(server, "CareTeam", "member-00051"))["id"]


async def test_as_recorded_holds_for_a_transaction_too(tmp_path: Path, server: Server) -> None:
    entries = [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in population([51])
    ]
    path = bundle(tmp_path / "a.json", "transaction", *entries)
    assert 1 == len((await load(server, [path])).refused)
    assert [] == (await load(server, [path], override=AS_RECORDED)).refused


async def test_batch_loaded_again_is_not_done_again(tmp_path: Path, server: Server) -> None:
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    path = bundle(tmp_path / "a.json", "batch", entry, entry)
    for _ in range(2):
        assert [] == (await load(server, [path])).refused
    assert 2 == (await server.repository.history(SYSTEM, "Patient")).total


async def test_collection_is_its_resources_with_their_references(tmp_path: Path, server: Server) -> None:
    member = "urn:uuid:6f2d7a50-5b0c-4f0e-8d1f-0a1b2c3d4e05"
    goal = {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"text": "Walk"}}
    path = bundle(
        tmp_path / "a.json",
        "collection",
        {"fullUrl": "urn:uuid:g", "resource": goal | {"subject": {"reference": member}}},
        {"fullUrl": member, "resource": {"resourceType": "Patient", "active": True}},
    )
    report = await load(server, [path])
    assert 2 == report.taken
    type, _, id = (await stored(server, "Goal", "g"))["subject"]["reference"].partition("/")
    assert (await stored(server, type, id))["active"]


async def test_transaction_is_all_or_nothing(tmp_path: Path, server: Server) -> None:
    post = {"method": "POST", "url": "Patient"}
    good = {"resource": {"resourceType": "Patient"}, "request": post}
    bad = {"resource": {"resourceType": "Patient", "gender": "unheard-of"}, "request": post}
    report = await load(
        server,
        [bundle(tmp_path / "a.json", "transaction", good, good), bundle(tmp_path / "b.json", "transaction", good, bad)],
    )
    assert 2 == report.taken
    assert [str(tmp_path / "b.json")] == [refusal.place for refusal in report.refused]
    assert 2 == (await server.repository.history(SYSTEM, "Patient")).total


async def test_transaction_loaded_again_is_not_done_again(tmp_path: Path, server: Server) -> None:
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    path = bundle(tmp_path / "a.json", "transaction", entry)
    first = await load(server, [path])
    again = await load(server, [path])
    assert [(1, 1), (1, 0)] == [(report.taken, report.written) for report in (first, again)]


async def test_transaction_waits_for_what_it_refers_to(tmp_path: Path, server: Server) -> None:
    identifier = {"system": "urn:x", "value": "1"}
    practitioner = {"resourceType": "Practitioner", "identifier": [identifier]}
    patient = {"resourceType": "Patient", "generalPractitioner": [{"reference": "Practitioner?identifier=urn:x|1"}]}
    for name, resource in (("a", patient), ("b", practitioner)):
        request = {"method": "POST", "url": resource["resourceType"]}
        bundle(tmp_path / f"{name}.json", "transaction", {"resource": resource, "request": request})
    report = await load(server, [tmp_path / "a.json", tmp_path / "b.json"])
    assert (2, []) == (report.taken, report.refused)


async def test_batch_leaves_out_what_is_refused(tmp_path: Path, server: Server) -> None:
    post = {"method": "POST", "url": "Patient"}
    path = bundle(
        tmp_path / "a.json",
        "batch",
        {"resource": {"resourceType": "Patient"}, "request": post},
        {"resource": {"resourceType": "Patient", "gender": "unheard-of"}, "request": post},
    )
    report = await load(server, [path])
    assert 1 == report.taken
    assert [(f"{path} Bundle.entry[1]", ["code-invalid"])] == [
        (refusal.place, [issue.code for issue in refusal.issues]) for refusal in report.refused
    ]


async def test_package_is_stored_as_it_is(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "ig.tgz"
    inner = {
        "resourceType": "Bundle",
        "id": "example",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Patient"}}],
    }
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/example/Bundle-example.json")
        data = dumps(inner)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    report = await load(server, [path])
    assert 1 == report.taken
    assert "collection" == (await stored(server, "Bundle", "example"))["type"]


async def test_file_that_cannot_be_read_is_refused_and_the_others_taken(tmp_path: Path, server: Server) -> None:
    (tmp_path / "a.tgz").write_bytes(b"not a package")
    ndjson(tmp_path / "b.ndjson", patients(2))
    report = await load(server, [tmp_path])
    assert 2 == report.taken
    assert [str(tmp_path / "a.tgz")] == [refusal.place for refusal in report.refused]
