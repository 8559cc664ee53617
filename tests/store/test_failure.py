"""What a client is told of what goes wrong at the database, and what goes to the log."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CursorNotFound,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from server.outcome import Problem
from server.store.mongodb.failure import answering


def labelled(label: str) -> OperationFailure:
    return OperationFailure("", 1, {"errorLabels": [label]})


def bulk(*codes: int, concern: int | None = None) -> BulkWriteError:
    errors = [{"index": 0, "code": code, "errmsg": ""} for code in codes]
    concerns: list[dict[str, Any]] = [] if concern is None else [{"code": concern, "errmsg": ""}]
    return BulkWriteError({"writeErrors": errors, "writeConcernErrors": concerns})


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect(""),
        NetworkTimeout(""),
        NotPrimaryError(""),
        ServerSelectionTimeoutError(""),
        WaitQueueTimeoutError(""),
        WTimeoutError("", 64),
        WriteConcernError("", 100),
        CursorNotFound("", 43),
        *(OperationFailure("", code) for code in (91, 189, 10107, 11600, 11602, 13435, 13436)),
        labelled("RetryableWriteError"),
        bulk(11602),
        bulk(11000, 91),
        bulk(concern=64),
        bulk(11000, concern=64),
    ],
    ids=repr,
)
def test_what_passes_is_to_be_sent_again(error: PyMongoError) -> None:
    with pytest.raises(Problem) as told, answering():
        raise error
    assert ("unavailable", 503) == (told.value.kind, told.value.status)


def test_what_takes_too_long_is_a_timeout_and_a_full_disk_has_its_own_status() -> None:
    for error, expected in (
        (ExecutionTimeout("", 50), ("timeout", 503)),
        (OperationFailure("", 14031), ("no_store", 507)),
        (bulk(14031), ("no_store", 507)),
    ):
        with pytest.raises(Problem) as told, answering():
            raise error
        assert expected == (told.value.kind, told.value.status)


@pytest.mark.parametrize(
    "error",
    [*(OperationFailure("", code) for code in (2, 9, 13, 18, 40, None)), bulk(2), bulk(91, 2), bulk(11000, 17280)],
    ids=repr,
)
def test_what_the_database_refuses_for_good_is_an_error_of_ours(error: PyMongoError) -> None:
    with pytest.raises(type(error)), answering():
        raise error
