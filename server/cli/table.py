"""convert and export: what a table's rows become, and what is stored as a table: docs/tables.md."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, TextIO

import typer

from mappings.csv_file import Row
from mappings.table import Table
from server.app.partition import opened
from server.cli.command import Partition, refusals_told, settings_of_environment
from server.load.report import SHOWN, counting
from server.load.table import Rejections, converted, count, export_table, named
from server.settings import DEFAULT, Settings


class Told(Rejections):
    """Rejections of which the first are printed too."""

    shown = 0

    def add(self, row: Row) -> None:
        super().add(row)
        self.shown += 1
        if self.shown <= SHOWN:
            typer.echo(f"rejected line {row.line}: {'; '.join(one.why for one in row.wrong)}", err=True)


def convert(
    path: Annotated[Path, typer.Argument(help="A CSV file.")],
    table: Annotated[str, typer.Option(help="The table that it is of: docs/tables.md.")],
    report: Annotated[Path | None, typer.Option(help="Write the rows that are wrong here, as CSV.")] = None,
) -> None:
    """Write the transactions that a table's rows become to standard output, one a line; nothing is stored."""
    with refusals_told():
        meant = named(table)
        count(meant, path)
        rejections = Told(meant, report)
        for line in converted(meant, path, rejections.add):
            sys.stdout.buffer.write(line)
        rejections.close()
    sys.stdout.flush()
    raise typer.Exit(1 if rejections.shown else 0)


def export(
    table: Annotated[str, typer.Option(help="Which table: docs/tables.md.")],
    out: Annotated[Path | None, typer.Option(help="Write it here; default: standard output.")] = None,
    partition: Partition = DEFAULT,
) -> None:
    """Write what is stored as a table, as of one position, while the server runs."""
    with refusals_told():
        meant = named(table)
        with out.open("w", encoding="utf-8", newline="") if out else nullcontext(sys.stdout) as file:
            number = asyncio.run(_exported(settings_of_environment(), partition, meant, file))
    if out:
        typer.echo(f"{number:,} rows written")


async def _exported(settings: Settings, partition: str, table: Table, out: TextIO) -> int:
    async with opened(settings, partition) as server:
        with counting("rows") as watch:
            return await export_table(server, table, out, watch)
