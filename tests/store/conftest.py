"""The MongoDB of the tests, and an empty database on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.store.mongodb.presence import PRESENCE
from tests.mongodb import database_of, mongodb


@pytest.fixture(scope="session")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
def database(uri: str) -> Iterator[str]:
    with database_of(uri) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process tells of all its clients at once: also of those that a test before lost, and left behind."""
    for name, value in {"_lost": set(), "_telling": None, "_told": None}.items():
        monkeypatch.setattr(PRESENCE, name, value)
