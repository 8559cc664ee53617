"""Where a partition is kept."""

from __future__ import annotations

import pytest

from server.settings import DEFAULT
from server.store.partition import database_of, file_of


@pytest.mark.parametrize(
    ("path", "partition", "expected"),
    [
        ("data/careplan.db", DEFAULT, "data/careplan.db"),
        ("data/careplan.db", "ia", "data/careplan-ia.db"),
        ("/a.b/careplan", "wal", "/a.b/careplan-wal.db"),
        ("care.plan.db", "ny-2", "care.plan-ny-2.db"),
    ],
)
def test_file_is_beside_the_main_one(path: str, partition: str, expected: str) -> None:
    assert expected == file_of(path, partition)


def test_database_is_beside_the_main_one() -> None:
    assert ("careplan", "careplan-ia") == (database_of("careplan", DEFAULT), database_of("careplan", "ia"))
