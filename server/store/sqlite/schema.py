"""The tables. `commits` and `changes` are the ledger; the rest are projections, made again by `rebuild`.

seq = position << 20 | ordinal: a cursor as one integer. rid: a small number for each resource that was written or is
referred to, given in the ledger's order, so that rows stay short and new ones go to the end of their B-trees.
"""

from __future__ import annotations

import os

import apsw

from server.outcome import Problem
from server.search import near
from server.store.sqlite.compile import DISTANCE

SCHEMA = 1
APPLICATION = 0x43504C4E  # "CPLN"
STEPS = 20_000  # of SQLite's machine between two looks at a search's time limit
OLDEST_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a WAL database that two connections write or checkpoint

LEDGER = """
CREATE TABLE commits(
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, actor TEXT,
  fingerprint BLOB, answer BLOB, hash BLOB NOT NULL);
CREATE TABLE changes(
  seq INTEGER PRIMARY KEY, method TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, body BLOB);
CREATE TABLE settings(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""

PROJECTIONS = """
CREATE TABLE applied(one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, next_rid INTEGER NOT NULL);
INSERT INTO applied VALUES (1, 0, 1);
CREATE TABLE names(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE resources(
  type INTEGER, id TEXT, rid INTEGER NOT NULL, seq INTEGER, PRIMARY KEY(type, id)) WITHOUT ROWID;
CREATE TABLE versions(rid INTEGER, seq INTEGER, PRIMARY KEY(rid, seq)) WITHOUT ROWID;
CREATE TABLE timeline(type INTEGER, seq INTEGER, rid INTEGER NOT NULL, PRIMARY KEY(type, seq)) WITHOUT ROWID;
CREATE TABLE rows(
  name INTEGER, key, rid INTEGER, since INTEGER NOT NULL, PRIMARY KEY(name, key, rid)) WITHOUT ROWID;
CREATE INDEX rows_rid ON rows(rid, name);
CREATE TABLE ended_rows(
  name INTEGER, key, rid INTEGER, since INTEGER, until INTEGER NOT NULL, PRIMARY KEY(name, key, rid, since)
) WITHOUT ROWID;
CREATE INDEX ended_rows_rid ON ended_rows(rid, name);
CREATE TABLE facts(
  kind INTEGER, key TEXT, rid INTEGER, number INTEGER, source TEXT NOT NULL, data TEXT NOT NULL,
  since INTEGER NOT NULL, PRIMARY KEY(kind, key, rid, number)) WITHOUT ROWID;
CREATE INDEX facts_rid ON facts(rid);
CREATE TABLE ended_facts(
  kind INTEGER, key TEXT, rid INTEGER, number INTEGER, source TEXT NOT NULL, data TEXT NOT NULL,
  since INTEGER, until INTEGER NOT NULL, PRIMARY KEY(kind, key, rid, number, since)) WITHOUT ROWID;
CREATE TABLE late(name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO late VALUES ('words', 0);
CREATE TABLE late_rows(
  name INTEGER, key, rid INTEGER, since INTEGER NOT NULL, PRIMARY KEY(name, key, rid)) WITHOUT ROWID;
CREATE INDEX late_rows_rid ON late_rows(rid, name);
CREATE TABLE ended_late_rows(
  name INTEGER, key, rid INTEGER, since INTEGER, until INTEGER NOT NULL, PRIMARY KEY(name, key, rid, since)
) WITHOUT ROWID;
CREATE INDEX ended_late_rows_rid ON ended_late_rows(rid, name);
CREATE INDEX ended_late_rows_until ON ended_late_rows(until);
CREATE TABLE texts(
  doc INTEGER PRIMARY KEY, rid INTEGER NOT NULL, type INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER,
  digest BLOB NOT NULL);
CREATE INDEX texts_rid ON texts(rid, until);
CREATE INDEX texts_ended ON texts(until) WHERE until IS NOT NULL;
CREATE VIRTUAL TABLE words USING fts5(
  narrative, content, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
"""

PROJECTION_TABLES = (
    "applied", "names", "resources", "versions", "timeline", "rows", "ended_rows", "facts", "ended_facts",
    "late", "late_rows", "ended_late_rows", "texts", "words"
)  # fmt: skip


def connect(path: str) -> apsw.Connection:
    """A connection set up as every one of ours is: WAL, and an fsync before a commit is acknowledged."""
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SQLITE:
        raise Problem.of(
            "unavailable", f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL database; 3.51.3 or later is needed"
        )
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # members' data: for the server's user alone
    connection = apsw.Connection(path)
    connection.set_busy_timeout(30_000)
    connection.pragma("page_size", 8192)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -32_768)
    connection.pragma("wal_autocheckpoint", 4096)
    connection.pragma("journal_size_limit", 128 << 20)
    connection.create_scalar_function(DISTANCE, near.distance, 3, deterministic=True)  # type: ignore[arg-type]
    return connection


def create(connection: apsw.Connection, partition: str, version: str) -> None:
    """Make the tables in an empty file."""
    connection.pragma("application_id", APPLICATION)
    connection.pragma("user_version", SCHEMA)
    connection.execute(LEDGER)
    connection.execute(PROJECTIONS)
    connection.executemany("INSERT INTO settings VALUES (?, ?)", [("partition", partition), ("projections", version)])


def check(connection: apsw.Connection, path: str, partition: str) -> None:
    """Refuse a file that is no store of this partition and this schema, with a word on what to do."""
    if connection.pragma("application_id") != APPLICATION:
        raise Problem.of("unavailable", f"{path} is a SQLite database, but none of ours: give another path")
    if (schema := connection.pragma("user_version")) != SCHEMA:
        raise Problem.of(
            "unavailable",
            f"{path} has schema {schema}; this release reads schema {SCHEMA}. Use the release that made it to "
            "`careplan backup` it, or a release that upgrades it",
        )
    found = setting(connection, "partition")
    if found != partition:
        raise Problem.of("unavailable", f"{path} holds the partition {found!r}, not {partition!r}")


def setting(connection: apsw.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def set_definitions(connection: apsw.Connection, name: str) -> None:
    """Say by which definitions the projections are made, or why none may rely on them."""
    connection.execute("UPDATE settings SET value = ? WHERE name = 'projections'", (name,))
