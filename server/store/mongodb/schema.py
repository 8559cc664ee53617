"""The collections of one partition, a database of its own, and how each is asked.

    commits   the ledger: a document each, its position the `_id` (document.place); whoever inserts it has that position
    versions  the projection: a document each, see document.py
    marks     "head": how far the projection is, and when each type changed last; what was made late; "settings"
    turns     whose turn it is to write, see turnstile.py
    leads     which process does what one process alone does
    jobs      asynchronous requests, see jobs.py

Every write waits for a majority and its journal, every read is of what a majority has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pymongo import (
    ASCENDING,
    DESCENDING,
    AsyncMongoClient,
    InsertOne,
    ReadPreference,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConfigurationError, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from server.outcome import Problem
from server.store.mongodb.failure import answering, codes_of, is_unsure, unusable
from server.store.mongodb.presence import PRESENCE

SCHEMA = 2
MAX_DOCUMENT = 16_000_000  # bytes: MongoDB takes 16 MiB
WRITE_WITHIN = 10_000  # milliseconds until a majority has a write
SELECT_WITHIN = 5_000  # milliseconds until a server that writes is found
ANSWER_WITHIN = 15_000  # milliseconds until a connection is free, and until a server answers, if no search takes longer
TOGETHER = 20  # updates of one command: FerretDB keeps a connection for each of them to the end, and has 100 in all

T = TypeVar("T")
Document = dict[str, Any]
Collection = AsyncCollection[Document]
Keys = list[tuple[str, int]]

INDEXES: dict[str, list[tuple[Keys, bool]]] = {  # keys, and whether they are unique; what each is for: docs/mongodb.md
    "commits": [([("id", ASCENDING)], True), ([("at", ASCENDING), ("_id", ASCENDING)], False)],
    "versions": [
        ([("reference", ASCENDING), ("_id", DESCENDING)], False),
        ([("reference", ASCENDING), ("until", ASCENDING)], False),
        ([("type", ASCENDING), ("_id", DESCENDING)], False),
        ([("live", ASCENDING), ("born", ASCENDING), ("until", ASCENDING)], False),
        ([("keys", ASCENDING), ("born", ASCENDING), ("until", ASCENDING)], False),
        ([("late", ASCENDING), ("born", ASCENDING), ("until", ASCENDING)], False),
        ([("words", ASCENDING), ("until", ASCENDING)], False),
        ([("facts.k", ASCENDING), ("until", ASCENDING)], False),
        ([("until", ASCENDING)], False),
    ],
}
OTHER = {"sparse", "partialFilterExpression", "expireAfterSeconds", "collation", "hidden"}  # than our indexes have

_going: set[asyncio.Task[Any]] = set()  # a task that nobody holds may be lost


class Collections(NamedTuple):
    commits: Collection
    versions: Collection
    marks: Collection
    turns: Collection
    leads: Collection
    jobs: Collection


def client_of(uri: str, search_timeout: float) -> AsyncMongoClient[Document]:
    """A client, which connects when it is first asked. `search_timeout`, in seconds, is what one question may take."""
    return AsyncMongoClient(
        uri,
        retryWrites=True,
        retryReads=True,
        serverSelectionTimeoutMS=SELECT_WITHIN,
        connectTimeoutMS=SELECT_WITHIN,
        waitQueueTimeoutMS=ANSWER_WITHIN,
        socketTimeoutMS=max(ANSWER_WITHIN, int(search_timeout * 1000) + SELECT_WITHIN),
        appname="careplan-server",
        event_listeners=[PRESENCE],
    )


async def reached(client: AsyncMongoClient[Document]) -> None:
    """Return where a server that takes writes answers. Problem unavailable, or PyMongoError where it refuses us."""
    with answering():
        await whole(client.admin.command("ping"))


def refused(error: PyMongoError) -> Problem:
    """What to say at the start where there is no such database, or it does not do what it is asked."""
    if isinstance(error, ConfigurationError):
        return unusable(error)
    name = (error.details or {}).get("codeName", "") if isinstance(error, OperationFailure) else type(error).__name__
    codes = ", ".join(map(str, codes_of(error)))
    return Problem.of("unavailable", f"The database refuses what a store needs at its start: {name} ({codes})")


def collections_of(database: AsyncDatabase[Document]) -> Collections:
    kept = database.with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True, wtimeout=WRITE_WITHIN),
    )
    return Collections(*(kept[name] for name in Collections._fields))


async def prepare(found: Collections, partition: str, projections: str) -> None:
    """Make what is missing of indexes and settings. Problem unavailable for what is no store of this partition."""
    await _check_own(found)
    await indexed(found)
    with answering():
        settings = {"_id": "settings", "schema": SCHEMA, "partition": partition, "projections": projections}
        await insert_once(found.marks, settings)
        await insert_once(found.marks, {"_id": "head", "applied": 0, "horizon": 0, "last": {}})
    await check(found, partition)


async def _check_own(found: Collections) -> None:
    """Refuse a database in whose collections somebody else keeps something: a store's settings come before all else."""
    foreign = [each.name for each in found if await one(each, {}, {"_id": 1})]
    if foreign and await one(found.marks, {"_id": "settings"}) is None:
        raise Problem.of(
            "unavailable",
            f"{found.marks.database.name} holds documents that no store wrote, in {', '.join(foreign)}: name a "
            "database of its own in CAREPLAN_STORE",
        )


async def indexed(found: Collections) -> None:
    """Make what is missing of the indexes. Problem unavailable where there is another in the place of one."""
    with answering():
        for name in Collections._fields:
            await _index(getattr(found, name), INDEXES.get(name, []))


async def _index(collection: Collection, indexes: list[tuple[Keys, bool]]) -> None:
    there = await whole(collection.index_information())
    own = [keys for keys, _ in indexes]
    for name, one in there.items():
        if one.get("unique") and name != "_id_" and _keys(one) not in own:
            raise Problem.of(
                "unavailable",
                f"The index {name} of {collection.full_name} is not the store's, and being unique it refuses what the "
                "store writes: drop it",
            )
    for keys, is_unique in indexes:
        found = {name: one for name, one in there.items() if name == _name(keys) or _keys(one) == keys}
        for name, one in found.items():
            if _keys(one) != keys or bool(one.get("unique")) != is_unique or OTHER & one.keys():
                raise Problem.of(
                    "unavailable",
                    f"The index {name} of {collection.full_name} is not as this release makes it "
                    f"({_name(keys)}{', unique' if is_unique else ''}): drop it, and it is made at the next start",
                )
        if not found:
            await whole(collection.create_index(keys, unique=is_unique))


def _name(keys: Keys) -> str:
    return "_".join(f"{field}_{direction}" for field, direction in keys)


def _keys(index: Mapping[str, Any]) -> Keys:
    return [(field, int(direction)) for field, direction in index["key"]]


async def check(found: Collections, partition: str) -> Document:
    """The store's settings. Problem unavailable where they are not this release's and this partition's."""
    settings = await one(found.marks, {"_id": "settings"})
    name = found.marks.database.name
    if settings is None:
        raise Problem.of("unavailable", f"There is no store in the database {name}")
    if settings["schema"] != SCHEMA:
        raise Problem.of(
            "unavailable",
            f"{name} has schema {settings['schema']}; this release reads schema {SCHEMA}. With the release that made "
            "it, `careplan backup` makes a file of its ledger, which `careplan copy` brings into an empty database",
        )
    if settings["partition"] != partition:
        raise Problem.of("unavailable", f"{name} holds the partition {settings['partition']!r}, not {partition!r}")
    return settings


async def whole(asked: Coroutine[Any, Any, T]) -> T:
    """What the driver answers. Where whoever asks is cancelled, the driver goes on: it is never broken off.

    A task that is cancelled while it waits for a server may leave the locks of PyMongo's topology taken for good, or
    free in another's hands (with Python 3.11, as `asyncio.wait_for` gives up twice there): then nobody is answered
    any more, whether or not the database is back.
    """
    going = asyncio.create_task(asked)
    _going.add(going)
    going.add_done_callback(_ended)
    return await asyncio.shield(going)


def _ended(task: asyncio.Task[Any]) -> None:
    """What failed after whoever asked had gone is nobody's to hear."""
    _going.discard(task)
    if not task.cancelled():
        task.exception()


async def one(collection: Collection, condition: Document, fields: Mapping[str, int] | None = None) -> Document | None:
    """The first document that meets a condition. Problem unavailable or timeout."""
    with answering():
        return await whole(collection.find_one(condition, fields, max_time_ms=ANSWER_WITHIN))


async def some(
    collection: Collection,
    condition: Document,
    fields: Mapping[str, int] | None = None,
    sort: Keys | None = None,
    limit: int = 0,
) -> list[Document]:
    """The documents that meet a condition. Problem unavailable or timeout."""
    with answering():
        cursor = collection.find(condition, fields, sort=sort, limit=limit, max_time_ms=ANSWER_WITHIN)
        return await whole(cursor.to_list())


async def set_definitions(found: Collections, name: str) -> None:
    """Say by which definitions the projection is made, or why none may rely on it."""
    with answering():
        await whole(found.marks.update_one({"_id": "settings"}, {"$set": {"projections": name}}))


async def insert(collection: Collection, documents: Iterable[Document]) -> None:
    """Insert what is not there."""
    await _written(collection, [*map(InsertOne, documents)])


async def update(collection: Collection, updates: Sequence[UpdateOne | UpdateMany]) -> None:
    """Update in few commands: FerretDB sticks at too many updates in one."""
    for start in range(0, len(updates), TOGETHER):
        await _written(collection, updates[start : start + TOGETHER])


async def _written(collection: Collection, asked: Sequence[InsertOne[Document] | UpdateOne | UpdateMany]) -> None:
    if not asked:
        return  # a commit under a key may write nothing
    try:
        await whole(collection.bulk_write(asked, ordered=False))
    except BulkWriteError as error:
        if codes_of(error) or is_unsure(error):
            raise


async def insert_once(collection: Collection, document: Document) -> bool:
    """Insert a document where its `_id` is free; whether it was."""
    try:
        await whole(collection.insert_one(document))
    except DuplicateKeyError:
        return False
    return True
