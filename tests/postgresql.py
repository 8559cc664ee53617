"""A PostgreSQL for the tests: one of its own, on a directory in memory and a socket in it, gone after."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

MEMORY = Path("/dev/shm")
NOBODY = "nobody"  # PostgreSQL refuses to run as root
STARTS_WITHIN = 240.0  # seconds
CONNECTIONS = 50  # a FerretDB that changes a document holds one and asks by another: of few, none may be left
SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "32MB", "max_connections": CONNECTIONS + 10}


@contextmanager
def postgresql() -> Iterator[str]:
    """The URI of an empty database; skips (under CI: fails) where PostgreSQL is not installed."""
    programs = installed()
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        data, who = f"{folder}/data", unprivileged()
        if who:
            shutil.chown(folder, NOBODY)
        making = [programs / "initdb", "--username=careplan", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*making, "--no-sync", data], check=True, capture_output=True, cwd=folder, **who)
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, "unix_socket_directories": folder}.items()]
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], cwd=folder, stderr=subprocess.DEVNULL, **who
        )
        try:
            answering(programs, folder, process)
            yield f"postgres://careplan@/postgres?host={folder}&pool_max_conns={CONNECTIONS}"
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, and its own processes with it
            process.wait()


def installed() -> Path:
    """Where PostgreSQL's programs are: on the PATH, or where Debian has those of each release."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    releases = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if releases:
        return releases[-1].parent
    told = (
        "PostgreSQL holds what FerretDB is asked, and there is none: on Debian and Ubuntu, apt-get install postgresql"
    )
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


def unprivileged() -> dict[str, Any]:
    """As whom it runs, where the tests run as root."""
    if os.geteuid():
        return {}
    found = pwd.getpwnam(NOBODY)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def answering(programs: Path, folder: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
        assert process.poll() is None, "PostgreSQL ended at its start"
        assert time.monotonic() < until, "PostgreSQL does not answer"
        time.sleep(0.1)
