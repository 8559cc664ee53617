"""coordination-check: what two organizations do for each member whom they have together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.cli.command import Partition, refusals_told, settings_of_environment
from server.coordination.responsibility.check import When
from server.ledger import micros
from server.load import shipped
from server.load.report import steps
from server.operations import roster
from server.operations.roster import Asked, Roster, Watch
from server.settings import DEFAULT, Settings


def coordination_check(
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
        with refusals_told(), steps("episodes") as watch:

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
