"""serve: the server, one process or several, on the store that CAREPLAN_STORE names."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from tempfile import TemporaryDirectory

import typer
import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from server import log, metrics
from server.app.pages import places
from server.app.partition import opened
from server.cli.command import settings_of_environment
from server.load import shipped
from server.outcome import Problem
from server.protocol import BoundedProtocol
from server.settings import DEFAULT, Settings

BACKLOG = 2048  # connections that wait for a worker
SLOW = 60.0  # seconds in which a store that is slow, or lost meanwhile, is tried again before the server gives up
GRACE = 30  # seconds that requests in hand have, once the server is told to stop


def serve() -> None:
    """Start the server on the store that CAREPLAN_STORE names."""
    signal.signal(signal.SIGTERM, _ended)
    settings = settings_of_environment()
    log.to_stderr(settings.log_level)
    listening = _listen(settings.host, settings.port, settings.workers)
    asyncio.run(_made_ready(settings))
    _tell(listening[0], settings)
    if settings.workers == 1:
        uvicorn.Server(_config(settings)).run(sockets=listening)
        return
    with TemporaryDirectory(prefix="careplan-metrics-") as directory:
        os.environ[metrics.DIRECTORY] = directory
        _Workers(_config(settings), listening).run()


def _ended(*_: object) -> None:
    """Told to stop, and done with it: a server that stops when it is told to has not failed."""
    raise SystemExit(0)


class _Workers(Multiprocess):
    """The server's processes, each with a socket of its own; one that takes another's place listens on all of them."""

    def init_processes(self) -> None:
        for listening in self.sockets:
            process = Process(self.config, [listening])
            process.start()
            self.processes.append(process)

    def terminate_all(self) -> None:
        """Who connects from now on is refused at once, and does not wait for an answer that nobody will give."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket a worker, all on one port: the kernel deals the connections out, where one worker would take them all.

    The port is taken before anything else, and at first for ourselves alone, so that a second server says so at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
        first = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)
        taken = first.getsockname()[1]
        rest = [
            socket.create_server((host, taken), family=family, backlog=BACKLOG, reuse_port=True)
            for _ in range(count - 1)
        ]
    except OSError as error:
        typer.echo(
            f"Port {port} of {host} cannot be had: {os.strerror(error.errno or 0)}. CAREPLAN_PORT names another",
            err=True,
        )
        raise typer.Exit(1) from None
    return [first, *rest]


async def _made_ready(settings: Settings) -> None:
    """Open every partition once, alone, so that what is wrong with it is said once; see to the programs and the demo.

    The demo is for the default partition alone: nobody who names a partition wants people in it who were made up.
    """
    until = time.monotonic() + SLOW
    for partition in (DEFAULT, *settings.named):
        while not await _is_ready(settings, partition, until):
            pass


async def _is_ready(settings: Settings, partition: str, until: float) -> bool:
    """False where a database that is slow, or was lost, may be asked again; ends the command where it may not."""
    try:
        async with opened(settings, partition) as server:
            await shipped.programs(server)
            if settings.demo and partition == DEFAULT:
                await shipped.demo(server)
    except Problem as problem:
        what = "The store" if partition == DEFAULT else f"The partition {partition}"
        if problem.passes and time.monotonic() < until:
            typer.echo(f"{what} is not ready, and is tried again: {problem.issues[0].diagnostics}", err=True)
            await asyncio.sleep(1)
            return False
        typer.echo(f"{what} cannot be opened: {problem.issues[0].diagnostics}", err=True)
        raise typer.Exit(1) from None
    return True


def _tell(listening: socket.socket, settings: Settings) -> None:
    host, port = listening.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    told = places(settings.named)
    width = max(map(len, told))
    for what, path in told.items():
        typer.echo(f"{what:{width}}  {base}{path}")
    typer.echo("No authentication is configured: only this machine can reach the server.")
    sys.stdout.flush()


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "server.app:create_app",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=GRACE,
    )
