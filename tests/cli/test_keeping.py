"""`careplan verify`, `rebuild`, `backup` and `copy`, as an operator runs them; serve and load have their own tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner, Result

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.cli import app, keeping
from server.cli.command import BROKEN_OFF
from server.fhir.body import Body
from server.interactions.exchange import Server
from server.ledger import Change, Plan, View
from server.outcome import Problem
from server.settings import Settings
from server.store.mongodb.failure import away
from tests.mongodb import database_of, mongodb
from tests.process import careplan, killed

WHOLE = "The ledger and its projections are whole\n"

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "careplan.db"


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the store, in its folder."""
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("CAREPLAN_STORE", f"sqlite:///{path}")
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
async def server(path: Path) -> AsyncIterator[Server]:
    """The store, open as a server has it, with three patients."""
    async with opened(Settings(store=f"sqlite:///{path}")) as server:
        for id in "abc":
            await put(server, id)
        yield server


@pytest.fixture
async def stopped(path: Path) -> None:
    """The same store, with no server on it."""
    async with opened(Settings(store=f"sqlite:///{path}")) as server:
        for id in "abc":
            await put(server, id)


async def put(server: Server, id: str) -> None:
    patient = Body.of({"resourceType": "Patient", "id": id, "active": True})

    async def decide(view: View) -> Plan:
        return Plan([Change("PUT", "Patient", id, patient.resource, patient.text(id))])

    await server.repository.commit(SYSTEM, decide)


def damage(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


@pytest.mark.usefixtures("server")
async def test_verify_of_a_store_in_use(run: Run) -> None:
    done = await asyncio.to_thread(run, "verify")
    assert (0, WHOLE) == (done.exit_code, done.output)


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("UPDATE changes SET body = replace(CAST(body AS TEXT), 'true', 'null') WHERE id = 'b'", "commit 2"),
        ("DELETE FROM rows WHERE rid = (SELECT rid FROM resources WHERE id = 'c')", "Patient/c"),
    ],
)
def test_verify_names_what_is_wrong(run: Run, path: Path, sql: str, place: str) -> None:
    damage(path, sql)
    done = run("verify")
    assert 1 == done.exit_code
    assert place in [line.partition(":")[0] for line in done.output.splitlines()]
    assert done.output.splitlines()[-1].endswith(" findings")


@pytest.mark.usefixtures("stopped")
def test_rebuild_mends_the_projections(run: Run, path: Path) -> None:
    damage(path, "DELETE FROM rows")
    assert 1 == run("verify").exit_code
    assert 0 == run("rebuild").exit_code
    assert WHOLE == run("verify").output


@pytest.mark.usefixtures("stopped")
async def test_rebuild_takes_up_other_definitions(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another base URL other references are local ones."""
    elsewhere = Settings(store=f"sqlite:///{path}", base_url="https://care.example.org/fhir")
    with pytest.raises(Problem, match="careplan rebuild"):
        await opened(elsewhere).__aenter__()
    monkeypatch.setenv("CAREPLAN_BASE_URL", elsewhere.base_url)
    assert 0 == (await asyncio.to_thread(run, "rebuild")).exit_code
    async with opened(elsewhere) as server:
        assert 3 == await server.repository.head(SYSTEM)


@pytest.mark.usefixtures("server")
async def test_rebuild_of_a_store_in_use_is_refused(run: Run) -> None:
    done = await asyncio.to_thread(run, "rebuild")
    assert 2 == done.exit_code
    assert "stop the server" in done.stderr


async def test_backup_of_a_store_in_use_is_whole(run: Run, server: Server, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert 0 == (await asyncio.to_thread(run, "backup", copy)).exit_code
    await put(server, "later")
    async with opened(Settings(store=f"sqlite:///{copy}")) as restored:
        assert 3 == await restored.repository.head(SYSTEM)
        for id in "abc":
            assert await server.repository.read(SYSTEM, "Patient", id) == await restored.repository.read(
                SYSTEM, "Patient", id
            )
        assert [] == [finding async for finding in restored.repository.store.verify()]


@pytest.mark.usefixtures("stopped")
def test_backup_goes_to_a_new_file_in_a_folder_that_is_there(run: Run, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("dear")
    assert 2 == run("backup", there).exit_code
    assert "dear" == there.read_text()
    assert 2 == run("backup", tmp_path / "no" / "copy.db").exit_code


@pytest.mark.parametrize("command", [["verify"], ["rebuild"], ["backup", "copy.db"]])
def test_without_a_store_there_is_nothing_to_keep(run: Run, path: Path, command: list[str]) -> None:
    done = run(*command)
    assert (2, False) == (done.exit_code, path.exists())
    assert "There is no store" in done.stderr


@pytest.mark.parametrize("command", [["verify"], ["rebuild"], ["backup", "copy.db"]])
def test_file_that_is_no_store_is_left_as_it_is(run: Run, path: Path, command: list[str]) -> None:
    path.write_bytes(b"no database" * 1000)
    done = run(*command)
    assert (2, "") == (done.exit_code, done.stdout)
    assert "is no store" in done.stderr
    assert b"no database" * 1000 == path.read_bytes()
    assert not (path.parent / "copy.db").exists()


@pytest.fixture
async def partitioned(path: Path, stopped: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a partition beside the store, with one patient."""
    monkeypatch.setenv("CAREPLAN_PARTITIONS", "ia,ny")
    async with opened(Settings(store=f"sqlite:///{path}"), "ia") as server:
        await put(server, "iowan")
    return path.with_name("careplan-ia.db")


def test_commands_are_of_the_partition_that_they_name(
    path: Path, partitioned: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(partitioned, "DELETE FROM rows")
    assert (0, WHOLE) == ((found := run("verify")).exit_code, found.stdout)
    assert 1 == run("verify", "--partition", "ia").exit_code
    assert 0 == run("rebuild", "--partition", "ia").exit_code
    assert (0, WHOLE) == ((found := run("verify", "--partition", "ia")).exit_code, found.stdout)
    assert 0 == run("backup", "copy-ia.db", "--partition", "ia").exit_code
    copy = apsw.Connection(str(path.with_name("copy-ia.db")))
    assert [("iowan",)] == copy.execute("SELECT id FROM resources").fetchall()
    copy.close()
    monkeypatch.setenv("CAREPLAN_STORE", f"sqlite:///{path.with_name('copy.db')}")
    assert (0, WHOLE) == ((found := run("verify", "--partition", "ia")).exit_code, found.stdout)
    assert 2 == run("verify").exit_code


async def test_load_goes_into_the_partition_that_it_names(path: Path, partitioned: Path, run: Run) -> None:
    people = path.with_name("people.ndjson")
    people.write_text('{"resourceType":"Patient","id":"loaded"}\n')
    assert 0 == (await asyncio.to_thread(run, "load", people, "--partition", "ia")).exit_code
    settings = Settings(store=f"sqlite:///{path}")
    for partition, expected in (("ia", True), ("default", False)):
        async with opened(settings, partition) as server:
            assert expected == (await server.repository.store.read("Patient", "loaded") is not None)


@pytest.mark.parametrize(
    "command", [("verify",), ("rebuild",), ("backup", "copy.db"), ("load", "."), ("coordination-check",)]
)
def test_a_partition_that_is_not_there_is_an_error(partitioned: Path, command: tuple[str, ...], run: Run) -> None:
    unknown = run(*command, "--partition", "wy")
    assert (2, True) == (unknown.exit_code, "CAREPLAN_PARTITIONS names ia, ny" in unknown.stderr)
    if command[0] not in {"load", "coordination-check"}:
        empty = run(*command, "--partition", "ny")
        assert (2, True) == (empty.exit_code, "careplan-ny.db" in empty.stderr)
    assert not partitioned.with_name("copy.db").exists()


@pytest.mark.parametrize("named", ["Organization/nope", "nope"])
def test_a_check_of_an_organization_that_is_not_there_is_an_error(partitioned: Path, named: str, run: Run) -> None:
    found = run("coordination-check", "--partition", "ny", "--organization", named)
    assert (2, True) == (found.exit_code, f"There is no {named}" in found.stderr)


@pytest.mark.usefixtures("server")
async def test_copy_of_a_store_in_use_and_again(run: Run, server: Server, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    first = await asyncio.to_thread(run, "copy", target)
    assert (0, "Positions 1 to 3 were copied") == (first.exit_code, first.output.partition(";")[0])
    assert "at position 3 already" in (await asyncio.to_thread(run, "copy", target)).output
    await put(server, "later")
    again = await asyncio.to_thread(run, "copy", target)
    assert "Positions 4 to 4 were copied" == again.output.partition(";")[0]
    async with opened(Settings(store=target)) as copied:
        assert [] == [finding async for finding in copied.repository.store.verify()]
        for id in ("a", "b", "c", "later"):
            read = [await each.repository.read(SYSTEM, "Patient", id) for each in (server, copied)]
            assert read[0] == read[1]
        await put(copied, "else")
    assert 2 == (await asyncio.to_thread(run, "copy", "sqlite:///")).exit_code
    ahead = await asyncio.to_thread(run, "copy", target)
    assert 2 == ahead.exit_code
    assert "ahead" in ahead.stderr


@pytest.mark.usefixtures("stopped")
def test_copy_into_itself_is_refused(run: Run, path: Path) -> None:
    done = run("copy", f"sqlite:///{path}")
    assert 2 == done.exit_code
    assert "itself" in done.stderr


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("problem", "goes_on"), [(away(), True), (Problem.of("unavailable", "It is open"), False)])
def test_copy_says_that_it_goes_on_only_where_it_does(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem, goes_on: bool
) -> None:
    """Where a database was lost, and not where the source or the target is refused."""

    async def refused(*_: object) -> None:
        raise problem

    monkeypatch.setattr(keeping, "copy", refused)
    done = run("copy", f"sqlite:///{tmp_path}/copy.db")
    assert (2, goes_on) == (done.exit_code, BROKEN_OFF in done.stderr)


def test_copy_of_what_is_not_there_goes_on_nowhere(run: Run, tmp_path: Path) -> None:
    done = run("copy", f"sqlite:///{tmp_path}/copy.db")
    assert (2, False) == (done.exit_code, BROKEN_OFF in done.stderr)


def test_copy_that_is_killed_again_and_again_is_whole(tmp_path: Path) -> None:
    source, target = (f"sqlite:///{tmp_path}/{name}.db" for name in ("source", "target"))
    asyncio.run(_written(source, 3000))
    for number in range(8):
        process = careplan("copy", target, store=source)
        time.sleep(1.2 + 0.15 * number)
        killed(process)
    process = careplan("copy", target, store=source)
    told, _ = process.communicate()
    assert 0 == process.returncode
    assert "3,000" in told
    assert WHOLE == careplan("verify", store=target).communicate()[0]


async def _written(store: str, count: int) -> None:
    async with opened(Settings(store=store)) as server:
        for start in range(0, count, 1000):
            await asyncio.gather(*(put(server, f"p{number}") for number in range(start, start + 1000)))


def test_commands_of_a_database(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """load, verify, rebuild, backup and copy do on a MongoDB what they do on a file."""
    people = tmp_path / "people.ndjson"
    people.write_text("".join(f'{{"resourceType":"Patient","id":"p{n}","gender":"female"}}\n' for n in range(5)))
    with mongodb() as uri, database_of(uri) as database:
        monkeypatch.setenv("CAREPLAN_STORE", database)
        assert "5 of them written" in run("load", people).output
        assert "0 of them written" in run("load", people).output
        assert WHOLE == run("verify").output
        assert 0 == run("rebuild").exit_code
        assert WHOLE == run("verify").output
        backup, copied = tmp_path / "backup.db", f"sqlite:///{tmp_path}/copied.db"
        assert 0 == run("backup", backup).exit_code
        assert 2 == run("backup", backup).exit_code
        assert 0 == run("copy", copied).exit_code
        with database_of(uri) as restored:
            for source, target in ((copied, restored), (f"sqlite:///{backup}", restored), (restored, copied)):
                monkeypatch.setenv("CAREPLAN_STORE", source)
                assert (0, WHOLE) == ((found := run("verify")).exit_code, found.output)
                done = run("copy", target)
                assert (0, True) == (done.exit_code, "ledger's hash there is" in done.output)
            assert "at position" in done.output
