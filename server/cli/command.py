"""Command: what every command is given, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from server.outcome import Problem
from server.settings import Settings

BROKEN_OFF = "Broken off: the same command goes on from here"

Partition = Annotated[
    str, typer.Option(help="One that CAREPLAN_PARTITIONS names; else that of /fhir itself: docs/partitions.md.")
]


def settings_of_environment(**instead: Any) -> Settings:
    """The settings, some of them given, or the end of the command with what is wrong with them."""
    try:
        return Settings(**instead)
    except ValidationError as error:
        for problem in error.errors():
            name = f"CAREPLAN_{problem['loc'][0]}: ".upper() if problem["loc"] else ""
            typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def breaks_off_in_peace() -> Iterator[None]:
    """Ctrl-C ends a command that goes on from where it was, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(BROKEN_OFF, err=True)
        raise typer.Exit(130) from None


@contextmanager
def refusals_told() -> Iterator[None]:
    """A Problem ends the command with its words, and so does a file that cannot be read or written."""
    try:
        yield
    except Problem as problem:
        typer.echo(problem.issues[0].diagnostics, err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
