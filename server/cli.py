"""careplan: the command line."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TextIO

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from mappings.csv_file import Row
from mappings.table import Table
from server import log, metrics
from server.app.pages import places
from server.app.partition import opened, server_of
from server.auth.access import SYSTEM
from server.coordination.responsibility.check import When
from server.coordination.write import AS_RECORDED
from server.ledger import micros
from server.load import shipped
from server.load.load import load
from server.load.report import SHOWN, Report, counting, progress, steps
from server.load.source import files
from server.load.table import Rejections, converted, count, export_table, load_table, named
from server.operations import oversight, roster
from server.operations.roster import Asked, Roster, Watch
from server.operations.tabular import Applied
from server.outcome import Problem
from server.protocol import BoundedProtocol
from server.settings import DEFAULT, Settings, cores
from server.store.copy import Copied, copy
from server.store.engine import Store

BACKLOG = 2048  # connections that wait for a worker
SLOW = 60.0  # seconds in which a store that is slow is tried again before the server gives up
PASSING = {"timeout", "throttled"}  # kinds that say that a store is there and slow
GRACE = 30  # seconds that requests in hand have, once the server is told to stop
BROKEN_OFF = "Broken off: the same command goes on from here"

Partition = Annotated[
    str, typer.Option(help="One that CAREPLAN_PARTITIONS names; else that of /fhir itself: docs/partitions.md.")
]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def careplan() -> None:
    """A FHIR R4 server for care coordination. Its settings come from the environment: docs/settings.md."""


@app.command()
def serve() -> None:
    """Start the server on the store that CAREPLAN_STORE names."""
    signal.signal(signal.SIGTERM, _ended)
    settings = settings_of_environment()
    log.to_stderr(settings.log_level)
    listening = _listen(settings.host, settings.port, settings.workers)
    asyncio.run(_made_ready(settings))
    _tell(listening[0], settings)
    if settings.workers == 1:
        uvicorn.Server(_config(settings)).run(sockets=listening)
        return
    with TemporaryDirectory(prefix="careplan-metrics-") as directory:
        os.environ[metrics.DIRECTORY] = directory
        _Workers(_config(settings), listening).run()


def _ended(*_: object) -> None:
    """Told to stop, and done with it: a server that stops when it is told to has not failed."""
    raise SystemExit(0)


class _Workers(Multiprocess):
    """The server's processes, each with a socket of its own; one that takes another's place listens on all of them."""

    def init_processes(self) -> None:
        for listening in self.sockets:
            process = Process(self.config, [listening])
            process.start()
            self.processes.append(process)

    def terminate_all(self) -> None:
        """Who connects from now on is refused at once, and does not wait for an answer that nobody will give."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


@app.command("load")
def load_command(
    paths: Annotated[list[Path], typer.Argument(help="Files (.json, .ndjson, .tgz) and folders of them.")],
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Admit what already breaks a cap; reports flag it.")
    ] = False,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Take a package's examples, people made up, as well.")
    ] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes that parse, validate and index.")] = cores(),
    partition: Partition = DEFAULT,
    report: Annotated[Path | None, typer.Option(help="Write every refusal here, as NDJSON; of a table as CSV.")] = None,
    table: Annotated[str | None, typer.Option(help="The files are rows of this table: docs/tables.md.")] = None,
) -> None:
    """Load Bundles, NDJSON, FHIR packages and tables into the store that CAREPLAN_STORE names: docs/loading.md."""
    settings = settings_of_environment()
    if table is not None:
        _load_tables(settings, partition, table, paths, report, AS_RECORDED if as_recorded else None)
        return
    with _breaks_off_in_peace(), _refusals_told():
        if report is not None:
            report.write_bytes(b"")  # so that a long load does not end without one
        override = AS_RECORDED if as_recorded else None
        loaded = asyncio.run(_load(settings, partition, paths, workers, examples, override))
    for line in loaded.told():
        typer.echo(line)
    for words in loaded.absent:
        typer.echo(f"{words}: what it defines is not checked, and never guessed", err=True)
    if report is not None:
        report.write_bytes(b"".join(loaded.lines()))
    raise typer.Exit(1 if loaded.refused else 0)


@app.command("coordination-check")
def coordination_check_command(
    organization: Annotated[str | None, typer.Option(help="Its members alone, such as Organization/1.")] = None,
    program: Annotated[str | None, typer.Option(help="The members of this program alone: its canonical URL.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Where a run that was broken off goes on.")] = None,
    keep: Annotated[bool, typer.Option("--keep/--read", help="Keep what is found, or only count it.")] = True,
    partition: Partition = DEFAULT,
) -> None:
    """Check what two organizations do for each member whom they have together. The server may be running."""
    asked = Asked(organization, program, cursor)
    reached = [cursor or ""]
    try:
        with _refusals_told(), steps("episodes") as watch:

            def told(done: int, of: int, cursor: str) -> None:
                reached[0] = cursor
                watch(done, of)

            found = asyncio.run(_checked(settings_of_environment(), partition, asked, keep, told))
    except KeyboardInterrupt:
        typer.echo(f"Broken off{f': --cursor {reached[0]} goes on from here' if reached[0] else ''}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{found.members:,} members, {found.concerned:,} with an issue; {found.written:,} resources written")
    for code, number in sorted(found.found.items()):
        typer.echo(f"{number:,} {code}")


async def _checked(settings: Settings, partition: str, asked: Asked, keep: bool, watch: Watch) -> Roster:
    async with opened(settings, partition) as server:
        await shipped.programs(server)
        if keep:
            return await roster.kept(server.repository, SYSTEM, asked, watch)
        now = micros(datetime.now(UTC))
        return await roster.read(server.repository, SYSTEM, asked, When(now), watch)


def _load_tables(
    settings: Settings,
    partition: str,
    name: str,
    paths: list[Path],
    report: Path | None,
    override: Mapping[str, Any] | None,
) -> None:
    with _breaks_off_in_peace(), _refusals_told():
        applied = asyncio.run(_tables_loaded(settings, partition, named(name), paths, report, override))
    typer.echo(f"{applied.taken:,} rows taken, {applied.written:,} of them written; {applied.rejected:,} rejected")
    raise typer.Exit(1 if applied.rejected else 0)


async def _tables_loaded(
    settings: Settings,
    partition: str,
    table: Table,
    paths: list[Path],
    report: Path | None,
    override: Mapping[str, Any] | None,
) -> Applied:
    """Every file is read to its end before the first row of any counts."""
    total, whole = sum(count(table, path) for path in paths), Applied()
    rejections = _Told(table, report)
    async with opened(settings, partition) as server:
        await shipped.programs(server)
        with counting("rows", total) as watch:
            for path in paths:
                applied = await load_table(server, table, path, rejections.add, watch, override)
                whole.taken += applied.taken
                whole.written += applied.written
                whole.rejected += applied.rejected
        rejections.close()
    return whole


class _Told(Rejections):
    """Rejections of which the first are printed too."""

    shown = 0

    def add(self, row: Row) -> None:
        super().add(row)
        self.shown += 1
        if self.shown <= SHOWN:
            typer.echo(f"rejected line {row.line}: {'; '.join(one.why for one in row.wrong)}", err=True)


@app.command("convert")
def convert_command(
    path: Annotated[Path, typer.Argument(help="A CSV file.")],
    table: Annotated[str, typer.Option(help="The table that it is of: docs/tables.md.")],
    report: Annotated[Path | None, typer.Option(help="Write the rows that are wrong here, as CSV.")] = None,
) -> None:
    """Write the transactions that a table's rows become to standard output, one a line; nothing is stored."""
    with _refusals_told():
        meant = named(table)
        count(meant, path)
        rejections = _Told(meant, report)
        for line in converted(meant, path, rejections.add):
            sys.stdout.buffer.write(line)
        rejections.close()
    sys.stdout.flush()
    raise typer.Exit(1 if rejections.shown else 0)


@app.command("export")
def export_command(
    table: Annotated[str, typer.Option(help="Which table: docs/tables.md.")],
    out: Annotated[Path | None, typer.Option(help="Write it here; default: standard output.")] = None,
    partition: Partition = DEFAULT,
) -> None:
    """Write what is stored as a table, as of one position, while the server runs."""
    with _refusals_told():
        meant = named(table)
        with out.open("w", encoding="utf-8", newline="") if out else nullcontext(sys.stdout) as file:
            number = asyncio.run(_exported(settings_of_environment(), partition, meant, file))
    if out:
        typer.echo(f"{number:,} rows written")


async def _exported(settings: Settings, partition: str, table: Table, out: TextIO) -> int:
    async with opened(settings, partition) as server:
        with counting("rows") as watch:
            return await export_table(server, table, out, watch)


@app.command("verify")
def verify_command(partition: Partition = DEFAULT) -> None:
    """Check the ledger's hash chain and every projection, and say what is wrong. The server may be running."""
    with _refusals_told(), steps("versions") as watch:
        count = asyncio.run(_verified(_store(partition), watch))
    typer.echo(f"{count:,} findings" if count else "The ledger and its projections are whole")
    raise typer.Exit(1 if count else 0)


@app.command("rebuild")
def rebuild_command(partition: Partition = DEFAULT) -> None:
    """Make the projections again from the ledger. The server must be stopped."""
    with _refusals_told(), steps("positions") as watch:
        asyncio.run(_store(partition).rebuild(watch))


@app.command("backup")
def backup_command(
    target: Annotated[Path, typer.Argument(help="A file that does not exist yet.")], partition: Partition = DEFAULT
) -> None:
    """Copy the store, as it is at one position, into a SQLite file, while the server runs."""
    with _refusals_told(), steps("parts") as watch:
        asyncio.run(_store(partition).backup(str(target), watch))


@app.command("copy")
def copy_command(
    target: Annotated[str, typer.Argument(help="Named as CAREPLAN_STORE is: sqlite:///<path>, mongodb://<host>/<db>.")],
    partition: Partition = DEFAULT,
) -> None:
    """Copy the store that CAREPLAN_STORE names into another, of either engine: docs/stores.md.

    The whole history goes along, with its positions and its hash chain. The source may be in use. Broken off, or with
    more written meanwhile, the same command goes on from where the copy is.
    """
    with _breaks_off_in_peace(), _refusals_told():
        source, into = _store(partition), _store(partition, store=target)
        _check_other(settings_of_environment().store, target)
        try:
            with steps("steps") as watch:
                copied = asyncio.run(copy(source, into, watch))
        except Problem as problem:
            if problem.kind == "unavailable":
                typer.echo(f"{BROKEN_OFF}, once both answer again", err=True)
            raise
    for line in _told(copied):
        typer.echo(line)


def _check_other(source: str, target: str) -> None:
    names = [Path(name).resolve() if name.startswith("sqlite") else name for name in (source, target)]
    if names[0] == names[1]:
        raise Problem.conflict("The store would be copied into itself: name another")


def _told(copied: Copied) -> Iterator[str]:
    """What became of a copy, in words."""
    before, (position, _, hash), source = copied
    if before == position:
        yield f"The copy was at position {position:,} already; its ledger's hash there is {hash.hex()}"
    else:
        yield f"Positions {before + 1:,} to {position:,} were copied; the ledger's hash there is {hash.hex()}"
    if source > position:
        yield f"The source is at position {source:,} by now: the same command brings the copy there"


async def _verified(store: Store, watch: Callable[[int, int], None]) -> int:
    """How many findings there were; each is told."""
    count = 0
    async for finding in store.verify(watch):
        count += 1
        typer.echo(f"{finding.place}: {finding.what}")
    return count


def _store(partition: str, **instead: Any) -> Store:
    return server_of(settings_of_environment(**instead), partition).repository.store


@contextmanager
def _breaks_off_in_peace() -> Iterator[None]:
    """Ctrl-C ends a command that goes on from where it was, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(BROKEN_OFF, err=True)
        raise typer.Exit(130) from None


@contextmanager
def _refusals_told() -> Iterator[None]:
    """A Problem ends the command with its words, and so does a file that cannot be read or written."""
    try:
        yield
    except Problem as problem:
        typer.echo(problem.issues[0].diagnostics, err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(2) from None


async def _load(
    settings: Settings,
    partition: str,
    paths: list[Path],
    workers: int,
    examples: bool,
    override: Mapping[str, Any] | None = None,
) -> Report:
    found = files(paths)
    total = sum(path.stat().st_size for path in found)
    async with opened(settings, partition) as server:
        await shipped.programs(server)
        with progress(total, Console(stderr=True)) as watch:
            report = await load(server, found, workers=workers, override=override, examples=examples, watch=watch)
        if report.written:
            report.flagged = await oversight.look(server.repository, SYSTEM)
        return report


def settings_of_environment(**instead: Any) -> Settings:
    """The settings, some of them given, or the end of the command with what is wrong with them."""
    try:
        return Settings(**instead)
    except ValidationError as error:
        for problem in error.errors():
            name = f"CAREPLAN_{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket a worker, all on one port: the kernel deals the connections out, where one worker would take them all.

    The port is taken before anything else, and at first for ourselves alone, so that a second server says so at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
        first = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)
        taken = first.getsockname()[1]
        rest = [
            socket.create_server((host, taken), family=family, backlog=BACKLOG, reuse_port=True)
            for _ in range(count - 1)
        ]
    except OSError as error:
        typer.echo(
            f"Port {port} of {host} cannot be had: {os.strerror(error.errno or 0)}. CAREPLAN_PORT names another",
            err=True,
        )
        raise typer.Exit(1) from None
    return [first, *rest]


async def _made_ready(settings: Settings) -> None:
    """Open every partition once, alone, so that what is wrong with it is said once; see to the programs and the demo.

    The demo is for the default partition alone: nobody who names a partition wants people in it who were made up.
    """
    until = time.monotonic() + SLOW
    for partition in (DEFAULT, *settings.named):
        while not await _is_ready(settings, partition, until):
            pass


async def _is_ready(settings: Settings, partition: str, until: float) -> bool:
    """False where a database that is slow may be asked again; ends the command where it may not."""
    try:
        async with opened(settings, partition) as server:
            await shipped.programs(server)
            if settings.demo and partition == DEFAULT:
                await shipped.demo(server)
    except Problem as problem:
        what = "The store" if partition == DEFAULT else f"The partition {partition}"
        if problem.kind in PASSING and time.monotonic() < until:
            typer.echo(f"{what} is slow, and is tried again: {problem.issues[0].diagnostics}", err=True)
            await asyncio.sleep(1)
            return False
        typer.echo(f"{what} cannot be opened: {problem.issues[0].diagnostics}", err=True)
        raise typer.Exit(1) from None
    return True


def _tell(listening: socket.socket, settings: Settings) -> None:
    host, port = listening.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    told = places(settings.named)
    width = max(map(len, told))
    for what, path in told.items():
        typer.echo(f"{what:{width}}  {base}{path}")
    typer.echo("No authentication is configured: only this machine can reach the server.")
    sys.stdout.flush()


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "server.app:create_app",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=GRACE,
    )


def main() -> None:
    app()


if __name__ == "__main__":
    main()
