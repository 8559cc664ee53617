"""Backup: a store in a new file; none where it cannot be finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import apsw

from server.outcome import Problem

_BESIDE = ("", "-wal", "-shm", ".open")


@contextmanager
def new_file(target: str) -> Iterator[None]:
    """Make an empty file, to be filled within. Problem unavailable where there is one; unmade where that fails."""
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Problem.of("unavailable", f"{target} exists; a backup goes to a new file") from None
    try:
        yield
    except BaseException:
        for ending in _BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(f"{target}{ending}")
        raise


def copy_pages(source: apsw.Connection, target: str, progress: Callable[[int, int], None]) -> None:
    """The source as it is now, however much others write meanwhile."""
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM applied").fetchall()
    with closing(apsw.Connection(target)) as copy, copy.backup("main", source, "main") as running:
        while not running.done:
            running.step(1000)
            progress(running.page_count - running.remaining, running.page_count)
