"""The real server, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import apsw
import httpx

STARTED = 240  # seconds: longer than anything that is waited for takes on a machine that does much else
PORTS = range(10_000, 30_000)  # of which the system gives none to whoever asks for any


def free_port() -> int:
    """A port for a server that has to be told one: nobody who asks the system for any takes it in between."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", SystemRandom().choice(PORTS))) as free:
            port: int = free.getsockname()[1]
            return port


@contextmanager
def serving(**settings: Any) -> Iterator[str]:
    """Start `careplan serve` with these settings on a free port; yields its base URL, and stops it after."""
    with running(**settings) as (base, _):
        yield base


@contextmanager
def running(**settings: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """As `serving`, with the process."""
    process = start(**settings)
    try:
        yield base_of(process), process
    finally:
        process.terminate()
        process.wait(STARTED)
        assert process.stdout is not None
        process.stdout.close()


def start(stderr: int | None = None, **settings: Any) -> subprocess.Popen[str]:
    """`careplan serve`, which may or may not come up."""
    return careplan("serve", stderr=stderr, **{"port": 0, "workers": 1, "demo": False, **settings})


def careplan(*arguments: object, stderr: int | None = None, **settings: Any) -> subprocess.Popen[str]:
    """A command under these settings, with what it starts in a process group of its own: `killed` ends them all."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAREPLAN_")}
    environment |= {f"CAREPLAN_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "server.cli", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, process_group=0)


def killed(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started as a power switch would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def base_of(process: subprocess.Popen[str]) -> str:
    """The base URL that the server prints first, once it answers there."""
    assert process.stdout is not None
    line = process.stdout.readline()
    base = line.split()[-1]
    until = time.monotonic() + STARTED
    while time.monotonic() < until:
        try:
            httpx.get(f"{base.removesuffix('/fhir')}/health", timeout=STARTED).raise_for_status()
        except httpx.HTTPError:
            assert process.poll() is None, f"{base} ended at its start"
            time.sleep(0.05)
        else:
            return base
    raise TimeoutError(f"{base} did not answer")


def head(path: Path) -> int:
    """The last commit of a store in a file that another process may see; 0 while there is no store."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            (row,) = connection.execute("SELECT coalesce(max(position), 0) FROM commits")
            return int(row[0])
    except apsw.Error:
        return 0


async def worker_of(client: httpx.AsyncClient) -> int:
    """The process that answers the client, whose base URL is the service base."""
    while True:  # a store that is slow is not waited for there
        metrics = (await client.get(str(client.base_url).replace("/fhir/", "/metrics"))).text
        if found := re.search(r'careplan_store\{.*worker="(\d+)"', metrics):
            return int(found[1])
