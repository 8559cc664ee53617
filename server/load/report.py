"""Report: what a load says while it runs, and when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from server.fhir import body
from server.load.chunk import Refusal
from server.outcome import Issue, outcome

SHOWN = 20  # refusals that are printed; all of them can be written to a file

Watch = Callable[[int, int], None]  # called with the bytes and the resources of what has just been taken


@dataclass(slots=True)
class Report:
    """What became of a load. `written` counts new versions; the rest of `taken` stood there already.

    `flagged` counts the Flags and Tasks that breaches of a limit then called for, or that were over.
    """

    taken: int = 0
    written: int = 0
    flagged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)  # what a package rests on and that is not loaded, in words

    def lines(self) -> Iterator[bytes]:
        """Each refusal as a line of JSON: its place and its OperationOutcome."""
        for refusal in self.refused:
            yield body.dumps({"place": refusal.place, "outcome": outcome(refusal.issues)}) + b"\n"

    def told(self) -> Iterator[str]:
        """The report in words."""
        yield f"{self.taken:,} resources taken, {self.written:,} of them written; {len(self.refused):,} refused"
        if self.flagged:
            yield f"{self.flagged:,} Flags and Tasks written of breaches of a limit: $caseload-report says which"
        for refusal in self.refused[:SHOWN]:
            yield f"refused {refusal.place}"
            yield from map(_told, refusal.issues)
        if len(self.refused) > SHOWN:
            yield f"and {len(self.refused) - SHOWN:,} more"


def _told(issue: Issue) -> str:
    return f"  {' '.join([issue.code, *issue.expression])}: {issue.diagnostics}"


@contextmanager
def progress(total: int, console: Console) -> Iterator[Watch]:
    """A bar over the files' bytes, with the count of resources and their rate."""
    started = time.monotonic()
    count = 0
    columns = [
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]:,} resources"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, count=0, rate=0.0)

        def watch(read: int, resources: int) -> None:
            nonlocal count
            count += resources
            bar.update(task, advance=read, count=count, rate=count / (time.monotonic() - started))

        yield watch
        bar.update(task, completed=total)


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar, on a terminal, for a task that tells how many more of something are done."""
    columns = [BarColumn(), TaskProgressColumn(), TextColumn(f"{{task.completed:,}} {what}"), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda more: bar.advance(task, more)


@contextmanager
def steps(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for a task that tells (done, of) of something."""
    columns = [BarColumn(), TaskProgressColumn(), TextColumn(f"{{task.completed:,}} {what}"), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
