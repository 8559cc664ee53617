"""Failure: what goes wrong at the database, and who is told of it.

What passes (no primary, a lost connection, a server that stops, a time limit) is the client's to try again, and a full
disk the operator's to mend. What the database refuses for good is an error of ours: it goes on as it is, and the log
has its code. https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from server.outcome import Problem

DUPLICATE = 11000
FULL = 14031  # OutOfDiskSpace
PASSING = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        43,  # CursorNotFound: the server that had it is gone
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        100,  # UnsatisfiableWriteConcern: too few members are up
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        175,  # QueryPlanKilled
        189,  # PrimarySteppedDown
        237,  # CursorKilled
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10058,  # LegacyNotPrimary
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11601,  # Interrupted
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
RETRY_AFTER = "5"  # seconds: as long as a server that takes writes is looked for
LABELS = ("RetryableWriteError", "TransientTransactionError", "SystemOverloadedError")

_log = structlog.get_logger("mongodb")


@contextmanager
def answering() -> Iterator[None]:
    """What fails at the database and passes, as a Problem; what it refuses for good goes on as it is."""
    try:
        yield
    except ExecutionTimeout:
        raise Problem.of(
            "timeout",
            "The database took too long to answer. Send this again later; a search, or a write's condition, rather "
            "narrower, for instance of one patient",
            headers={"Retry-After": RETRY_AFTER},
        ) from None
    except PyMongoError as error:
        if (problem := problem_of(error)) is None:
            raise
        raise problem from None


def problem_of(error: PyMongoError) -> Problem | None:
    """What a client is told: unavailable, or no_store where the disk is full. None of what is an error of ours."""
    if isinstance(error, ConfigurationError):  # the driver asks the DNS for the servers of mongodb+srv
        return unusable(error)
    codes = codes_of(error)
    if FULL in codes:
        return Problem.of("no_store", "The database's disk is full: nothing was written. Reading goes on")
    if is_passing(error):
        return away()
    _log.error("refused by the database", error=type(error).__name__, codes=codes)
    return None


def unusable(error: Exception) -> Problem:
    """What to say of a URI that leads nowhere, or says what cannot be done."""
    return Problem.of("unavailable", f"CAREPLAN_STORE is no URI of a MongoDB that can be asked: {error}")


def away() -> Problem:
    return Problem.of(
        "unavailable", "The database cannot be asked. Send this again later", headers={"Retry-After": RETRY_AFTER}
    )


def is_passing(error: PyMongoError) -> bool:
    """Whether the same may be taken at another time; then it may also have been done, and the answer lost."""
    if isinstance(error, ConnectionFailure | WriteConcernError | ExecutionTimeout):
        return True
    if any(map(error.has_error_label, LABELS)):
        return True
    if isinstance(error, BulkWriteError) and is_unsure(error):
        return True
    codes = codes_of(error)
    return bool(codes) and PASSING.issuperset(codes)


def is_unsure(error: BulkWriteError) -> bool:
    """Whether a majority may lack what was written."""
    return bool((error.details or {}).get("writeConcernErrors"))


def codes_of(error: PyMongoError) -> list[int]:
    """The codes of what was refused, duplicates aside: those are expected where anything is written twice."""
    if isinstance(error, BulkWriteError):
        return sorted({int(each["code"]) for each in written_errors(error)} - {DUPLICATE})
    code = error.code if isinstance(error, OperationFailure) else None
    return [] if code is None else [code]


def written_errors(error: BulkWriteError) -> list[dict[str, Any]]:
    """What became of single writes of a bulk: `index`, `code` …"""
    return list((error.details or {}).get("writeErrors", ()))
