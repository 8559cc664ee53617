"""A real server for real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process import serving


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server process on a store of its own, without the example members."""
    store = tmp_path_factory.mktemp("clients") / "careplan.db"
    with serving(store=f"sqlite:///{store}", demo=False) as url:
        yield url
