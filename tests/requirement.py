"""The mark `requirement`: which rows of docs/requirements.md a test shows."""

from __future__ import annotations

import pytest

from scripts.requirements import ROWS


def ids(item: pytest.Item) -> list[str]:
    """The ids that a test is tagged with."""
    return [id for mark in item.iter_markers("requirement") for id in mark.args]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for id in ids(item):
        if id not in ROWS:
            pytest.fail(f"{id} is no row of docs/requirements.md", pytrace=False)
        item.user_properties.append(("requirement", id))
