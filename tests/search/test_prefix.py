from __future__ import annotations

import pytest

from server.outcome import Problem
from server.search.prefix import PREFIXES, read


@pytest.mark.parametrize("prefix", sorted(PREFIXES))
def test_read_each_prefix(prefix: str) -> None:
    assert (prefix, "2024") == read(f"{prefix}2024", "2024")


@pytest.mark.parametrize("text", ["2024", "-3", "5.4", ".5", ""])
def test_read_none_as_eq(text: str) -> None:
    assert ("eq", text) == read(text, "2024")


@pytest.mark.parametrize("text", ["xx2024", "GT5", "after2024", "ma"])
def test_read_refuses_what_is_no_prefix(text: str) -> None:
    with pytest.raises(Problem) as refused:
        read(text, "2024")
    assert ["invalid"] == [issue.code for issue in refused.value.issues]
