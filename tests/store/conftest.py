"""The MongoDB of the tests, and an empty database on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from tests.mongodb import mongodb


@pytest.fixture(scope="session")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
def database(uri: str) -> Iterator[str]:
    """The URI of a database that is empty, and gone after the test."""
    name = f"careplan-test-{uuid.uuid4().hex[:12]}"
    yield f"{uri.rstrip('/')}/{name}"
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)
