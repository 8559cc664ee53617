"""The application over a store of its own, as every test of a room that speaks HTTP needs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import hypothesis
import pytest
from starlette.types import ASGIApp

from server.app import create_app
from server.settings import Settings
from tests.mongodb import database_of, mongodb

pytest.register_assert_rewrite("tests.store.contract", "tests.store.properties")  # so that they say what is wrong

# A machine that is busy with other tests draws slowly: that is no fault of what is drawn
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("suite")

ZONES = tuple(map(ZoneInfo, ("UTC", "America/New_York", "America/Chicago")))  # whose days programs and tests name
LONG = timedelta(minutes=2)  # in which a test ends


def pytest_runtest_setup() -> None:
    """A test asks more than once which day it is: none begins on one day and ends on the next."""
    now = datetime.now(UTC)
    left = min(tomorrow(now.astimezone(zone)) - now for zone in ZONES)
    if left < LONG:
        time.sleep(left.total_seconds())


def tomorrow(now: datetime) -> datetime:
    """The midnight that comes."""
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="session")
def database() -> Iterator[str | None]:
    """The MongoDB that CAREPLAN_TEST_ENGINE=mongodb asks for; else None, and each store is a file."""
    if os.environ.get("CAREPLAN_TEST_ENGINE") != "mongodb":
        yield None
        return
    with mongodb() as uri:
        yield uri


@pytest.fixture(scope="session")
def new_store(database: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Gives the URI of a store that is empty, of the engine that is asked for; all are gone at the end."""
    with ExitStack() as made:

        def new() -> str:
            if database is None:
                return f"sqlite:///{tmp_path_factory.mktemp('store')}/careplan.db"
            return made.enter_context(database_of(database))

        yield new


@pytest.fixture
def in_a_file(database: str | None) -> None:
    """Of what only a store in a file does."""
    if database is not None:
        pytest.skip("only a store in a file does this")


@pytest.fixture
def settings(tmp_path: Path, database: str | None) -> Iterator[Settings]:
    with nullcontext(f"sqlite:///{tmp_path}/careplan.db") if database is None else database_of(database) as store:
        yield Settings(store=store, demo=False, log_level="error", oversight_interval=0)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The whole application, started and, after the test, stopped as a server would."""
    application = create_app(settings)
    async with lifespan(application):
        yield application


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose base URL is the service base: client.get("Patient/1")."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as found:
        yield found


class lifespan:  # noqa: N801 - reads as a function
    """ASGI's lifespan: https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> None:
        self.running = asyncio.create_task(self.app({"type": "lifespan", "state": {}}, self.told.get, self.heard.put))
        await self._tell("lifespan.startup")

    async def __aexit__(self, *_: object) -> None:
        await self._tell("lifespan.shutdown")
        await self.running

    async def _tell(self, what: str) -> None:
        await self.told.put({"type": what})
        answer = await self.heard.get()
        assert f"{what}.complete" == answer["type"], answer
