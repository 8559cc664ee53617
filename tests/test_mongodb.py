"""The MongoDB of the tests keeps what the MongoDB engine rests on: unique inserts, conditions that mean the same.

And leaves nothing behind on a MongoDB of the user's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, ExecutionTimeout

from tests.mongodb import database_of, mongodb, named

Collection = AsyncCollection[dict[str, Any]]


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
async def collection(uri: str) -> AsyncIterator[Collection]:
    with database_of(uri) as found:
        async with AsyncMongoClient(found, w="majority", journal=True, readConcernLevel="majority") as client:
            yield client.get_default_database()["documents"]


def test_database_of_the_tests_has_a_name_of_its_own_and_is_gone_after(uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        with suppress(KeyError), database_of(uri) as first, database_of(uri) as second:
            assert first != second
            for each in (first, second):
                name = urlsplit(each).path.removeprefix("/")
                client[name]["documents"].insert_one({"_id": 1})
                assert name in client.list_database_names()
            raise KeyError("the test failed")
        left = client.list_database_names()
    assert not [each for each in (first, second) if urlsplit(each).path.removeprefix("/") in left]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("a.example:1,b.example:2/?replicaSet=rs0", "a.example:1,b.example:2/t?replicaSet=rs0"),
        ("u:p@a.example", "u:p@a.example/t?authSource=admin"),
        ("u:p@a.example/users?tls=true", "u:p@a.example/t?tls=true&authSource=users"),
        ("u:p@a.example/x?authSource=users", "u:p@a.example/t?authSource=users"),
    ],
)
def test_database_of_a_server_is_reached_as_the_server_is(uri: str, expected: str) -> None:
    """Who logs in is known to the database that the URI names, where it says no other."""
    assert f"mongodb://{expected}" == named(f"mongodb://{uri}", "t")


async def test_second_insert_of_an_id_is_refused(collection: Collection) -> None:
    await collection.insert_one({"_id": 1, "by": "first"})
    with pytest.raises(DuplicateKeyError):
        await collection.insert_one({"_id": 1, "by": "second"})
    assert {"_id": 1, "by": "first"} == await collection.find_one({"_id": 1})


async def test_second_insert_of_a_unique_value_is_refused(collection: Collection) -> None:
    await collection.create_index("id", unique=True)
    await collection.insert_one({"_id": 1, "id": "a"})
    with pytest.raises(DuplicateKeyError):
        await collection.insert_one({"_id": 2, "id": "a"})


async def test_element_that_keeps_a_range_and_a_pattern_is_found(collection: Collection) -> None:
    """FerretDB asks each part of any element: the pattern says all, so that both find the same."""
    await collection.insert_many([{"_id": number, "keys": [f"a={number:02x}", "b=04"]} for number in range(9)])
    asked = {"keys": {"$elemMatch": {"$gte": "a=03", "$lt": "a=06", "$regex": "^a=0[3-5]"}}}
    assert [3, 4, 5] == [found["_id"] async for found in collection.find(asked).sort("_id")]
    assert [6] == [n["_id"] async for n in collection.find({"$nor": [asked], "_id": {"$gt": 5}}).sort("_id").limit(1)]


async def test_time_limit_is_kept(collection: Collection) -> None:
    """A thousand texts may be looked through in a millisecond, a hundred thousand by no machine."""
    asked = collection.find({"text": {"$regex": "y$"}}).max_time_ms(1)
    with suppress(ExecutionTimeout):
        for batch in range(100):
            await collection.insert_many([{"_id": batch * 1000 + n, "text": "x" * 1000} for n in range(1000)])
            assert [] == await asked.clone().to_list()
        pytest.fail("it was never too much")
