"""The collections of one partition, a database of its own, and how each is asked.

    commits   the ledger: a document each, its position the `_id`; whoever inserts it has that position
    versions  the projection: a document each, see document.py
    marks     "head": how far the projection is, and when each type changed last; what was made late; "settings"
    turns     whose turn it is to write, see turnstile.py
    leads     which process does what one process alone does

Every write waits for a majority and its journal, every read is of what a majority has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, ExecutionTimeout, NetworkTimeout, PyMongoError
from pymongo.read_concern import ReadConcern

from server.outcome import Problem

SCHEMA = 1
MAX_DOCUMENT = 16_000_000  # bytes: MongoDB takes 16 MiB
WRITE_WITHIN = 10_000  # milliseconds until a majority has a write
SELECT_WITHIN = 5_000  # milliseconds until a server that writes is found
ANSWER_WITHIN = 30_000  # milliseconds until a server answers

Document = dict[str, Any]
Collection = AsyncCollection[Document]

INDEXES: dict[str, list[tuple[list[tuple[str, int]], bool]]] = {  # keys, and whether they are unique
    "commits": [([("id", ASCENDING)], True), ([("at", ASCENDING)], False)],
    "versions": [
        ([("reference", ASCENDING), ("_id", DESCENDING)], False),
        ([("type", ASCENDING), ("_id", DESCENDING)], False),
        ([("live", ASCENDING), ("born", ASCENDING)], False),
        ([("keys", ASCENDING), ("born", ASCENDING)], False),
        ([("late", ASCENDING), ("born", ASCENDING)], False),
        ([("words", ASCENDING)], False),
        ([("facts.k", ASCENDING)], False),
        ([("until", ASCENDING)], False),
    ],
}


class Collections(NamedTuple):
    commits: Collection
    versions: Collection
    marks: Collection
    turns: Collection
    leads: Collection


def client_of(uri: str) -> AsyncMongoClient[Document]:
    """A client that has a majority keep every write; it connects when it is first asked."""
    return AsyncMongoClient(
        uri,
        retryWrites=True,
        retryReads=True,
        serverSelectionTimeoutMS=SELECT_WITHIN,
        connectTimeoutMS=SELECT_WITHIN,
        socketTimeoutMS=ANSWER_WITHIN,
        appname="careplan-server",
    )


def collections_of(database: AsyncDatabase[Document]) -> Collections:
    kept = database.with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True, wtimeout=WRITE_WITHIN),
    )
    return Collections(*(kept[name] for name in Collections._fields))


async def prepare(found: Collections, partition: str, projections: str) -> None:
    """Make what is missing of indexes and settings. Problem unavailable for what is no store of this partition."""
    with answering():
        for name, indexes in INDEXES.items():
            for keys, is_unique in indexes:
                await getattr(found, name).create_index(keys, unique=is_unique)
        settings = {"_id": "settings", "schema": SCHEMA, "partition": partition, "projections": projections}
        await insert_once(found.marks, settings)
        await insert_once(found.marks, {"_id": "head", "applied": 0, "horizon": 0, "last": {}})
    await check(found, partition)


async def check(found: Collections, partition: str) -> Document:
    """The store's settings. Problem unavailable where they are not this release's and this partition's."""
    with answering():
        settings = await found.marks.find_one({"_id": "settings"})
    name = found.marks.database.name
    if settings is None:
        raise Problem.of("unavailable", f"There is no store in the database {name}")
    if settings["schema"] != SCHEMA:
        raise Problem.of(
            "unavailable",
            f"{name} has schema {settings['schema']}; this release reads schema {SCHEMA}. Use the release that made "
            "it, or one that upgrades it",
        )
    if settings["partition"] != partition:
        raise Problem.of("unavailable", f"{name} holds the partition {settings['partition']!r}, not {partition!r}")
    return settings


async def insert_once(collection: Collection, document: Document) -> bool:
    """Insert a document where its `_id` is free; whether it was."""
    try:
        await collection.insert_one(document)
    except DuplicateKeyError:
        return False
    return True


@contextmanager
def answering() -> Iterator[None]:
    """What fails at the database, as a Problem: timeout where it takes too long, else unavailable."""
    try:
        yield
    except (ExecutionTimeout, NetworkTimeout):
        raise Problem.of("timeout", "The database took too long; narrow it, for instance to one patient") from None
    except PyMongoError as error:
        raise unreachable(error) from None


def unreachable(error: PyMongoError) -> Problem:
    return Problem.of("unavailable", f"The database cannot be asked ({type(error).__name__}). Send this again later")
