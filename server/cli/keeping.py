"""verify, rebuild, backup and copy: what keeps a store whole: docs/stores.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from server.app.partition import server_of
from server.cli.command import BROKEN_OFF, Partition, breaks_off_in_peace, refusals_told, settings_of_environment
from server.load.report import steps
from server.outcome import Problem
from server.settings import DEFAULT
from server.store.copy import Copied, copy
from server.store.engine import Store


def verify(partition: Partition = DEFAULT) -> None:
    """Check the ledger's hash chain and every projection, and say what is wrong. The server may be running."""
    with refusals_told(), steps("versions") as watch:
        count = asyncio.run(_verified(_store(partition), watch))
    typer.echo(f"{count:,} findings" if count else "The ledger and its projections are whole")
    raise typer.Exit(1 if count else 0)


def rebuild(partition: Partition = DEFAULT) -> None:
    """Make the projections again from the ledger. The server must be stopped."""
    with refusals_told(), steps("positions") as watch:
        asyncio.run(_store(partition).rebuild(watch))


def backup(
    target: Annotated[Path, typer.Argument(help="A file that does not exist yet.")], partition: Partition = DEFAULT
) -> None:
    """Copy the store, as it is at one position, into a SQLite file, while the server runs."""
    with refusals_told(), steps("parts") as watch:
        asyncio.run(_store(partition).backup(str(target), watch))


def copy_command(
    target: Annotated[str, typer.Argument(help="Named as CAREPLAN_STORE is: sqlite:///<path>, mongodb://<host>/<db>.")],
    partition: Partition = DEFAULT,
) -> None:
    """Copy the store that CAREPLAN_STORE names into another, of either engine: docs/stores.md.

    The whole history goes along, with its positions and its hash chain. The source may be in use. Broken off, or with
    more written meanwhile, the same command goes on from where the copy is.
    """
    with breaks_off_in_peace(), refusals_told():
        source, into = _store(partition), _store(partition, store=target)
        _check_other(settings_of_environment().store, target)
        try:
            with steps("steps") as watch:
                copied = asyncio.run(copy(source, into, watch))
        except Problem as problem:
            if problem.passes:
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
