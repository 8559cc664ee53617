"""The MongoDB of the tests keeps what the MongoDB engine rests on: unique inserts, conditions that mean the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, ExecutionTimeout

from tests.mongodb import mongodb

Collection = AsyncCollection[dict[str, Any]]


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
async def collection(uri: str) -> AsyncIterator[Collection]:
    async with AsyncMongoClient(uri, w="majority", journal=True, readConcernLevel="majority") as client:
        yield client["careplan-test-mongodb"]["documents"]
        await client.drop_database("careplan-test-mongodb")


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
    await collection.insert_many([{"_id": number, "text": "x" * 1000} for number in range(3000)])
    with pytest.raises(ExecutionTimeout):
        await collection.find({"none": 1}).max_time_ms(1).to_list()
