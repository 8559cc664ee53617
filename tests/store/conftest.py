"""The MongoDB of the tests, and an empty database on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mongodb import database_of, mongodb


@pytest.fixture(scope="session")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
def database(uri: str) -> Iterator[str]:
    with database_of(uri) as found:
        yield found
