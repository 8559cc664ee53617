"""Several states on one server: processes that start, stop, race and look out for each of them alone."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.answers import ids
from tests.conftest import lifespan
from tests.coordination.memory import IA_HCBS, limited, organization
from tests.interactions.test_partition import ROOT, client_of
from tests.process import STARTED, careplan, running, start
from tests.scenarios.iowa import ANN, MCO, asked, kept, put, roster

JOE = {"resourceType": "Patient", "id": "joe"}


def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/careplan.db"


def verified(tmp_path: Path, partition: str) -> int:
    """The status of `careplan verify`: 0 where all is whole."""
    process = careplan("verify", "--partition", partition, store=store(tmp_path), partitions="ia,ny")
    process.communicate(timeout=STARTED)
    return process.returncode


def test_a_state_is_added_by_a_restart_and_what_is_named_no_longer_is_kept(tmp_path: Path) -> None:
    def served(partitions: str) -> dict[str, int]:
        """The status of Patient/joe in each; made in ia where that is new."""
        with (
            running(store=store(tmp_path), partitions=partitions) as (base, process),
            httpx.Client(base_url=f"{base}/", timeout=STARTED) as client,
        ):
            if partitions == "ia":
                client.put("ia/Patient/joe", json=JOE).raise_for_status()
            for name in partitions.split(","):
                found = client.get(f"{name}/PlanDefinition", params={"url": IA_HCBS})
                assert 1 == found.json()["total"], name
            statuses = {name: client.get(f"{name}/Patient/joe").status_code for name in ("ia", "ny", "wy")}
            statuses["default"] = client.get("Patient/joe").status_code
        assert 0 == process.returncode
        return statuses

    assert {"ia": 200, "ny": 404, "wy": 404, "default": 404} == served("ia")
    assert not (tmp_path / "careplan-ny.db").exists()
    assert {"ia": 404, "ny": 404, "wy": 404, "default": 404} == served("ny")
    assert {"ia": 200, "ny": 404, "wy": 404, "default": 404} == served("ia,ny")
    assert 0 == verified(tmp_path, "ia")


def test_the_example_population_is_in_the_default_partition_alone(tmp_path: Path) -> None:
    with (
        running(store=store(tmp_path), partitions="ia", demo=True) as (base, _),
        httpx.Client(base_url=f"{base}/", timeout=STARTED) as client,
    ):
        counts = [client.get(f"{below}Patient?_summary=count").json()["total"] for below in ("", "ia/")]
    assert (True, 0) == (counts[0] > 0, counts[1])


def test_serve_says_which_partition_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "careplan-ia.db").write_bytes(b"no database" * 1000)
    process = start(stderr=subprocess.PIPE, store=store(tmp_path), partitions="ia")
    _, told = process.communicate(timeout=STARTED)
    assert (1, True) == (process.returncode, "The partition ia cannot be opened" in told)


async def test_caps_hold_in_both_at_once_across_processes(tmp_path: Path) -> None:
    """Three members and one place, asked for in two states at once, by connections that several workers answer."""
    with running(store=store(tmp_path), partitions="ia,ny", workers=2) as (base, _):

        async def assign(state: str, member: int) -> int:
            async with httpx.AsyncClient(base_url=f"{base}/{state}/", timeout=60) as client:
                answer = await client.post(f"Patient/w{member}/$assign-care-manager", json=asked(ANN))
                return answer.status_code

        for state in ("ia", "ny"):
            async with httpx.AsyncClient(base_url=f"{base}/{state}/", timeout=60) as client:
                await kept(client, limited(3), organization(MCO), *roster({"ann": 2}, waiting=8))

        async def caseload(base: str) -> str:
            async with httpx.AsyncClient(timeout=STARTED) as client:
                return (await client.get(f"{base}/{ANN}/$caseload", params={"program": IA_HCBS})).text

        asking = [(state, member) for member in range(1, 9) for state in ("ia", "ny")]
        statuses = await asyncio.gather(*(assign(*one) for one in asking))
        held = [await caseload(f"{base}/{state}") for state in ("ia", "ny")]
    for number in (0, 1):
        assert [201] + [422] * 7 == sorted(statuses[number::2])
        assert '"name":"members","valueInteger":3' in held[number]
    assert [0, 0] == await asyncio.gather(*(asyncio.to_thread(verified, tmp_path, name) for name in ("ia", "ny")))


@pytest.mark.usefixtures("in_a_file")
async def test_each_is_looked_after(settings: Settings) -> None:
    """A limit that is lowered in one state is broken there alone; a Flag says so, and none in the other."""
    app = create_app(settings.model_copy(update={"partitions": "ia,ny", "oversight_interval": 1}))
    async with lifespan(app), client_of(app, "/ia") as ia, client_of(app, "/ny") as ny:
        for client in (ia, ny):
            await kept(client, limited(2), organization(MCO), *roster({"ann": 2}))
        assert 200 == (await put(ia, limited(1))).status_code
        async with asyncio.timeout(STARTED):
            while not (flags := ids(await ia.get("Flag"))):  # noqa: ASYNC110 - another task writes them
                await asyncio.sleep(0.2)
        assert [] == ids(await ny.get("Flag"))
        assert f"{ROOT}/ia/Flag/{flags[0]}" in (await ia.get("Flag")).text
