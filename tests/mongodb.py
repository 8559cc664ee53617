"""A MongoDB for the tests: the one that CAREPLAN_TEST_MONGODB names, else a FerretDB of ours, built once from Go.

FerretDB 1.24 speaks the wire protocol over SQLite: real sockets, real cursors, real duplicate keys. It is no `mongod`:
it keeps no majority, and it scans where MongoDB seeks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NAMED = "CAREPLAN_TEST_MONGODB"
SOURCES = Path(__file__).parent / "ferretdb"
CACHE = Path(__file__).parent.parent / ".cache" / "ferretdb"
MEMORY = Path("/dev/shm")


@contextmanager
def mongodb() -> Iterator[str]:
    """The URI of a MongoDB, without a database; skips (under CI: fails) where there is none, and no Go."""
    if NAMED in os.environ:
        yield os.environ[NAMED]
        return
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as state, running(state) as (uri, _):
        yield uri


@contextmanager
def running(state: str, listen: str = "127.0.0.1:0") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A FerretDB on a directory of its own, and its process."""
    command = [str(built()), "-listen", listen, "-state", f"file:{state}/"]
    process = subprocess.Popen(command, cwd=state, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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
    if shutil.which("go") is None and not os.environ.get("CI"):
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
