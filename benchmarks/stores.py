#!/usr/bin/env python3
"""One care-coordination workload at a server on each store, in turn, and what each answered, as Markdown.

    stores.py                             # SQLite beside FerretDB over SQLite, the MongoDB of the tests
    stores.py --mongodb mongodb://db1/    # SQLite beside a MongoDB of yours, in a database that is dropped after

FerretDB speaks MongoDB's protocol and looks through a collection where MongoDB seeks: its column says nothing of a
`mongod`. It needs wrk, as run.py does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.machine import machine
from benchmarks.run import MODES, drive, seed
from server.settings import cores
from tests.mongodb import database_of, running
from tests.process import serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mongodb", help="the URI of a server")
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    asked = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk drives the workload and is not on the PATH: on Debian and Ubuntu, apt-get install wrk")
    with ExitStack() as kept:
        servers = {name: kept.enter_context(served) for name, served in stores(asked.mongodb, asked.workers).items()}
        keys = {name: Path(kept.enter_context(TemporaryDirectory())) / "keys" for name in servers}
        with httpx.Client(headers={"Content-Type": "application/fhir+json"}, timeout=120) as client:
            for name, base in servers.items():
                seed(client, base, asked.members, keys[name])
                settle(client, base)
        print(f"{machine()}; {asked.members} members; requests a second, and each store's as a share of the first\n")
        print(f"| interaction | clients | {' | '.join(servers)} |\n| --- | --- |{' --- |' * len(servers)}")
        for mode in asked.modes:
            for connections in asked.connections:
                found = [drive(base, mode, keys[name], asked.seconds, connections) for name, base in servers.items()]
                print(
                    f"| {mode} | {connections} | {' | '.join(map(told, found, [found[0]] * len(found)))} |", flush=True
                )


def told(found: dict[str, Any], first: dict[str, Any]) -> str:
    """Requests a second, as a share of the first store's, and what was refused or broken."""
    failed = found["refused"] + found["broken"]
    share = "" if found is first else f" ({found['rate'] / first['rate']:.4f})"
    return f"{found['rate']:,.1f}{share}" + (f", {failed} failed" if failed else "")


def settle(client: httpx.Client, base: str) -> None:
    """Wait for what is made after a commit, so that it takes nothing from what is measured."""
    while client.get(f"{base}/Goal", params={"_content": "settled"}).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        time.sleep(1)


def stores(mongodb: str | None, workers: int) -> dict[str, AbstractContextManager[str]]:
    """By what each is called, the service base of a server on it."""
    other = {"MongoDB": on_mongodb(mongodb, workers)} if mongodb else {"FerretDB": on_ferretdb(workers)}
    return {"SQLite": in_a_file(workers), **other}


@contextmanager
def in_a_file(workers: int) -> Iterator[str]:
    with TemporaryDirectory() as folder, serving(store=f"sqlite:///{folder}/bench.db", workers=workers) as base:
        yield base


@contextmanager
def on_mongodb(uri: str, workers: int) -> Iterator[str]:
    with database_of(uri) as store, serving(store=store, workers=workers) as base:
        yield base


@contextmanager
def on_ferretdb(workers: int) -> Iterator[str]:
    with TemporaryDirectory() as folder, running(folder) as (uri, _), on_mongodb(uri, workers) as base:
        yield base


if __name__ == "__main__":
    main()
