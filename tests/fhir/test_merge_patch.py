"""JSON Merge Patch: https://www.rfc-editor.org/rfc/rfc7396#appendix-A"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir import merge_patch
from server.outcome import Problem


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patch_is_merged(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    found = merge_patch.read(patch)
    assert after == found.applied(before) == found.applied(before)


@pytest.mark.parametrize("document", [[], "x", 1, None])
def test_patch_that_is_no_object(document: Any) -> None:
    with pytest.raises(Problem) as refused:
        merge_patch.read(document)
    assert 400 == refused.value.status
