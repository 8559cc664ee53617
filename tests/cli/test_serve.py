"""`careplan serve`, as the processes that it is."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from server.app.pages import PLACES
from server.cli.serve import _made_ready
from server.interactions.exchange import Server
from server.load import shipped
from server.outcome import Problem
from server.settings import Settings
from tests.process import STARTED, free_port, running, serving, start

PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:member", "value": "1"}]}


def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/careplan.db"


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_answers_and_keeps_what_it_has(tmp_path: Path, workers: int) -> None:
    with serving(store=store(tmp_path), workers=workers) as base:
        created = asked("POST", f"{base}/Patient", json=PATIENT)
        assert 201 == created.status_code
        metrics = asked("GET", f"{base.removesuffix('/fhir')}/metrics").text
        assert (
            'careplan_request_seconds_count{method="POST",partition="default",place="[type]",status="201"} 1.0'
            in metrics
        )
    with serving(store=store(tmp_path), workers=workers) as base:
        again = asked("GET", f"{base}/Patient/{created.json()['id']}")
    assert created.content == again.content


def test_answers_that_come_later_are_told_by_any_worker_and_survive_a_restart(tmp_path: Path) -> None:
    headers = {"Prefer": "respond-async"}
    port = free_port()
    with serving(store=store(tmp_path), workers=2, port=port) as base:
        asked("PUT", f"{base}/Patient/a", json={"resourceType": "Patient", "id": "a"}).raise_for_status()
        place = asked("GET", f"{base}/Patient", headers=headers).headers["content-location"]
        told = [done(place) for _ in range(8)]  # a connection each, so both workers are asked
    with serving(store=store(tmp_path), workers=2, port=port):
        again = done(place)
        answer = asked("GET", again.json()["output"][0]["url"])
    assert {200} == {one.status_code for one in told}
    assert (told[0].json(), 1) == (again.json(), answer.json()["total"])


def asked(method: str, url: str, **more: Any) -> httpx.Response:
    """An answer by a connection of its own, however long it takes."""
    return httpx.request(method, url, timeout=STARTED, **more)


def done(place: str) -> httpx.Response:
    """What is told once it is no longer being done."""
    while (response := asked("GET", place)).status_code == 202:
        time.sleep(0.05)
    return response


def test_serve_tells_its_places(tmp_path: Path) -> None:
    with running(store=store(tmp_path)) as (base, process):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in PLACES]
    told = " ".join(lines)
    root = base.removesuffix("/fhir")
    assert all(f"{root}{place}" in told for place in ("/fhir/metadata", "/docs", "/health", "/metrics"))


def test_serve_puts_the_programs_into_the_store(tmp_path: Path) -> None:
    with serving(store=store(tmp_path)) as base:
        program = "https://careplan-server.org/fhir/PlanDefinition/ia-hcbs"
        assert 1 == asked("GET", f"{base}/PlanDefinition", params={"url": program}).json()["total"]
        assert 0 == asked("GET", f"{base}/Patient").json()["total"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"host": "0.0.0.0"}, "no authentication is configured"),
        ({"store": "mongodb://localhost"}, "named with a database"),
        ({"port": "x"}, "CAREPLAN_PORT"),
    ],
)
def test_serve_refuses_settings(tmp_path: Path, settings: dict[str, Any], word: str) -> None:
    assert (2, True) == ended(word, **{"store": store(tmp_path), **settings})


def test_serve_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert (1, True) == ended("CAREPLAN_PORT", store=store(tmp_path), port=other.getsockname()[1])


def test_serve_refuses_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "careplan.db").write_bytes(b"no database" * 1000)
    assert (1, True) == ended("The store cannot be opened", store=store(tmp_path))


@pytest.mark.parametrize("path", ["", "file/careplan.db"])
def test_serve_refuses_a_place_where_no_store_can_be(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    assert (1, True) == ended("The store cannot be opened", store=f"sqlite:///{tmp_path}/{path}")


@pytest.mark.parametrize("kind", ["timeout", "unavailable"])
async def test_store_that_is_slow_or_lost_at_the_start_is_tried_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [Problem.of(kind, "Not now", headers={"Retry-After": "5"})]

    async def programs(server: Server) -> None:
        if problems:
            raise problems.pop()

    monkeypatch.setattr(shipped, "programs", programs)
    await _made_ready(Settings(store=store(tmp_path), demo=False))
    assert ([], True) == (problems, "tried again: Not now" in capsys.readouterr().err)


async def test_store_that_refuses_at_the_start_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def programs(server: Server) -> None:
        raise Problem.of("unavailable", "Never")

    monkeypatch.setattr(shipped, "programs", programs)
    with pytest.raises(typer.Exit):
        await _made_ready(Settings(store=store(tmp_path), demo=False))


def test_head_without_end_is_cut_off(tmp_path: Path) -> None:
    with running(store=store(tmp_path)) as (base, _):
        address = httpx.URL(base)
        assert 200 == asked("GET", f"{base}/metadata", headers={"x-long": "a" * 50_000}).status_code
        with socket.create_connection((address.host, address.port or 80), timeout=STARTED) as connection:
            connection.sendall(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\nx-long: ")
            with pytest.raises(ConnectionError):
                connection.sendall(b"a" * 10_000_000)


def test_workers_stop_after_their_supervisor_is_killed(tmp_path: Path) -> None:
    """Else they keep the port, and serve with what nobody supervises."""
    port = free_port()
    with running(store=store(tmp_path), workers=2, port=port) as (_, process):
        process.kill()
        process.wait(STARTED)
        until = time.monotonic() + STARTED
        while time.monotonic() < until and is_taken(port):
            time.sleep(0.05)
        with serving(store=store(tmp_path), port=port) as again:
            assert 200 == asked("GET", f"{again}/metadata").status_code


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ended(word: str, **settings: Any) -> tuple[int, bool]:
    """(how the command ended, whether it said why)."""
    process = start(subprocess.PIPE, **settings)
    _, errors = process.communicate(timeout=STARTED)
    assert "Traceback" not in errors
    return process.returncode, word in errors
