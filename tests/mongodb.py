"""A MongoDB for the tests: the one that CAREPLAN_TEST_MONGODB names, else a FerretDB of ours, built once from Go.

FerretDB 1.24 speaks the wire protocol over SQLite or, with CAREPLAN_TEST_FERRETDB=postgresql, over PostgreSQL: real
sockets, real cursors, real duplicate keys. It is no `mongod`: it keeps no majority, and it scans where MongoDB seeks.

`python -m tests.mongodb` builds it beforehand, which may take longer than a test may.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymongo
import pytest

from server.outcome import Problem
from server.store.engine import Store
from tests.postgresql import MEMORY, postgresql

NAMED = "CAREPLAN_TEST_MONGODB"
OVER = "CAREPLAN_TEST_FERRETDB"  # what FerretDB keeps its data in: sqlite, or postgresql
SOURCES = Path(__file__).parent / "ferretdb"
CACHE = Path(__file__).parent.parent / ".cache" / "ferretdb"


@contextmanager
def mongodb() -> Iterator[str]:
    """The URI of a MongoDB, without a database; skips (under CI: fails) where there is none, and no Go."""
    if NAMED in os.environ and OVER not in os.environ:
        yield os.environ[NAMED]
        return
    with state() as found, running(found) as (uri, _):
        yield uri


@contextmanager
def state() -> Iterator[str]:
    """What a FerretDB keeps its data in: a directory, or the URI of a PostgreSQL."""
    if os.environ.get(OVER) == "postgresql":
        with postgresql() as uri:
            yield uri
        return
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        yield directory


@contextmanager
def database_of(uri: str) -> Iterator[str]:
    """The URI of a database that is empty and has a name of its own; it is gone after."""
    name = f"careplan-test-{uuid.uuid4().hex[:12]}"
    try:
        yield named(uri, name)
    finally:
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            for one in client.list_database_names():
                if one == name or one.startswith(f"{name}-"):  # of a partition of the store
                    client.drop_database(one)


def named(uri: str, database: str) -> str:
    """The URI of a database of the server that a URI is of; its options stay, and who knows its user."""
    parts = urlsplit(uri)
    query = parts.query
    if parts.username and "authsource=" not in query.lower():
        query = "&".join(filter(None, [query, f"authSource={parts.path.removeprefix('/') or 'admin'}"]))
    return urlunsplit(parts._replace(path=f"/{database}", query=query))


@contextmanager
def running(state: str, listen: str = "127.0.0.1:0") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A FerretDB on a directory of its own or a PostgreSQL, and its process."""
    command = [str(built()), "-listen", listen, "-state", state if "://" in state else f"file:{state}/"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def built() -> Path:
    """The server's binary, built where these sources were not built yet: some minutes, once."""
    sources = sorted(path for path in SOURCES.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    binary = CACHE / digest
    if binary.exists():
        return binary
    if not is_buildable():
        pytest.skip(f"Go builds the MongoDB of the tests, and there is none; {NAMED}=mongodb://… names one that runs")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            making = binary.with_suffix(".making")
            environment = {**os.environ, "GOFLAGS": "-mod=readonly -p=1", "CGO_ENABLED": "0"}
            subprocess.run(["nice", "go", "build", "-o", making, "."], cwd=SOURCES, env=environment, check=True)
            making.rename(binary)
    return binary


def is_buildable() -> bool:
    """Whether there is a Go; under CI there has to be."""
    return shutil.which("go") is not None or bool(os.environ.get("CI"))


async def is_away(store: Store) -> bool:
    """Whether a store's database cannot be asked."""
    try:
        await store.head()
    except Problem:
        return True
    return False


if __name__ == "__main__" and is_buildable():
    built()
