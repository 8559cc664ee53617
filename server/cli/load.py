"""load: Bundles, NDJSON, FHIR packages and tables into a store: docs/loading.md."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mappings.table import Table
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.cli.command import Partition, breaks_off_in_peace, refusals_told, settings_of_environment
from server.cli.table import Told
from server.coordination.write import AS_RECORDED
from server.load import shipped
from server.load.load import load
from server.load.report import Report, counting, progress
from server.load.source import files
from server.load.table import count, load_table, named
from server.operations import oversight
from server.operations.tabular import Applied
from server.settings import DEFAULT, Settings, cores


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
    with breaks_off_in_peace(), refusals_told():
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


def _load_tables(
    settings: Settings,
    partition: str,
    name: str,
    paths: list[Path],
    report: Path | None,
    override: Mapping[str, Any] | None,
) -> None:
    with breaks_off_in_peace(), refusals_told():
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
    rejections = Told(table, report)
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
