"""JSON Patch: https://www.rfc-editor.org/rfc/rfc6902"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from server.fhir import body, json_patch
from server.outcome import Problem


def patched(document: str, *operations: dict[str, Any]) -> str:
    found = json_patch.read(body.loads(body.dumps(list(operations)))).applied(body.loads(document.encode()))
    return body.dumps(found).decode()


def op(op: str, path: str, *value: Any, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({"value": value[0]} if value else {}), **more}


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ('{"a":1}', op("add", "/b", [2]), '{"a":1,"b":[2]}'),
        ('{"a":1}', op("add", "/a", None), '{"a":null}'),
        ('{"a":[1,3]}', op("add", "/a/1", 2), '{"a":[1,2,3]}'),
        ('{"a":[1]}', op("add", "/a/1", 2), '{"a":[1,2]}'),
        ('{"a":[1]}', op("add", "/a/-", 2), '{"a":[1,2]}'),
        ('{"a":1}', op("add", "", {"b": 2}), '{"b":2}'),
        ('{"a":1,"b":2}', op("remove", "/a"), '{"b":2}'),
        ('{"a":[1,2,3]}', op("remove", "/a/1"), '{"a":[1,3]}'),
        ('{"a":1}', op("replace", "/a", 2), '{"a":2}'),
        ('{"a":[1,2]}', op("replace", "/a/0", 7), '{"a":[7,2]}'),
        ('{"a":1}', op("replace", "", {"b": 2}), '{"b":2}'),
        ('{"a":{"b":1},"c":{}}', op("move", "/c/d", **{"from": "/a/b"}), '{"a":{},"c":{"d":1}}'),
        ('{"a":[1,2,3]}', op("move", "/a/2", **{"from": "/a/0"}), '{"a":[2,3,1]}'),
        ('{"a":1}', op("move", "/a", **{"from": "/a"}), '{"a":1}'),
        ('{"a":[{"b":1}]}', op("copy", "/a/-", **{"from": "/a/0"}), '{"a":[{"b":1},{"b":1}]}'),
        ('{"a":[1,{"b":null}]}', op("test", "/a", [1, {"b": None}]), '{"a":[1,{"b":null}]}'),
        ('{"a":1.0}', op("test", "/a", 1), '{"a":1.0}'),
        ('{"/":1,"~1":2}', op("test", "/~1", 1), '{"/":1,"~1":2}'),
        ('{"/":1,"~1":2}', op("test", "/~01", 2), '{"/":1,"~1":2}'),
        ('{"":1}', op("remove", "/"), "{}"),
        ('{"a":1}', op("add", "/b", 2, unknown="is ignored"), '{"a":1,"b":2}'),
    ],
)
def test_patch(before: str, operation: dict[str, Any], after: str) -> None:
    assert after == patched(before, operation)


def test_patch_keeps_digits() -> None:
    document = '{"a":1.10,"b":1E+400,"c":123456789012345678901234567890}'
    assert document == patched(document)
    moved = patched(document, op("move", "/z", **{"from": "/a"}), op("add", "/d", Decimal("2.50")))
    assert '{"b":1E+400,"c":123456789012345678901234567890,"z":1.10,"d":2.50}' == moved


def test_patch_does_its_operations_in_order() -> None:
    steps = [op("add", "/a/-", n) for n in range(3)] + [op("remove", "/a/0"), op("test", "/a", [1, 2])]
    assert '{"a":[1,2]}' == patched('{"a":[]}', *steps)


def test_patch_may_be_applied_again() -> None:
    found = json_patch.read([op("add", "/a", {"b": []}), op("add", "/a/b/-", 1)])
    assert {"a": {"b": [1]}} == found.applied({}) == found.applied({})


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "http.body"),
        ("x", "http.body"),
        (["x"], "http.body[0]"),
        ([{}], "http.body[0].op"),
        ([op("merge", "/a")], "http.body[0].op"),
        ([{"op": []}], "http.body[0].op"),
        ([op("remove", "/a"), {"op": "remove"}], "http.body[1].path"),
        ([op("remove", "a")], "http.body[0].path"),
        ([op("remove", "/~2")], "http.body[0].path"),
        ([op("remove", "/~")], "http.body[0].path"),
        ([op("remove", "/a" * 101)], "http.body[0].path"),
        ([op("add", "/a")], "http.body[0].value"),
        ([op("move", "/a")], "http.body[0].from"),
        ([op("move", "/a/b", **{"from": "/a"})], "http.body[0].path"),
    ],
)
def test_patch_that_is_none(document: Any, place: str) -> None:
    with pytest.raises(Problem) as refused:
        json_patch.read(document)
    assert (400, (place,)) == (refused.value.status, refused.value.issues[0].expression)


@pytest.mark.parametrize(
    ("before", "operation", "member"),
    [
        ('{"a":1}', op("remove", "/b"), "path"),
        ('{"a":1}', op("replace", "/b", 1), "path"),
        ('{"a":1}', op("replace", "/a/b", 1), "path"),
        ('{"a":1}', op("add", "/b/c", 1), "path"),
        ('{"a":1}', op("add", "/a/c", 1), "path"),
        ('{"a":[1]}', op("add", "/a/2", 1), "path"),
        ('{"a":[1]}', op("remove", "/a/1"), "path"),
        ('{"a":[1]}', op("remove", "/a/-"), "path"),
        ('{"a":[1]}', op("remove", "/a/00"), "path"),
        ('{"a":[1]}', op("remove", "/a/01"), "path"),
        ('{"a":[1]}', op("remove", "/a/-1"), "path"),
        ('{"a":[1]}', op("remove", "/a/²"), "path"),
        ('{"a":[1]}', op("remove", "/a/" + "9" * 10_000), "path"),
        ('{"a":[1]}', op("remove", ""), "path"),
        ('{"a":[1]}', op("move", "/a/0", **{"from": "/b"}), "from"),
        ('{"a":[1]}', op("copy", "/b", **{"from": "/a/1"}), "from"),
        ('{"a":1}', op("test", "/a", True), "value"),
        ('{"a":0}', op("test", "/a", False), "value"),
        ('{"a":"1"}', op("test", "/a", 1), "value"),
        ('{"a":{"b":1}}', op("test", "/a", {"b": 1, "c": None}), "value"),
        ('{"a":[1,2]}', op("test", "/a", [2, 1]), "value"),
        ('{"a":1}', op("test", "/b", None), "path"),
        ('{"a":1}', op("replace", "", []), "path"),
    ],
)
def test_patch_that_does_not_fit(before: str, operation: dict[str, Any], member: str) -> None:
    with pytest.raises(Problem) as refused:
        patched(before, op("test", "/a", body.loads(before.encode())["a"]), operation)
    assert (422, (f"http.body[1].{member}",)) == (refused.value.status, refused.value.issues[0].expression)


def test_patch_of_copies_of_copies_is_bounded() -> None:
    doubling = [op("copy", "/a/-", **{"from": "/a"}) for _ in range(60)]
    with pytest.raises(Problem) as refused:
        patched('{"a":[1]}', *doubling)
    assert refused.value.status in {413, 422}


def test_patch_that_nests_without_end_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        patched('{"a":[]}', *[op("copy", "/b", **{"from": "/a"}), *[op("copy", "/a/0", **{"from": "/a"})] * 200])
    assert refused.value.status in {413, 422}


def test_patch_of_too_many_operations_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        json_patch.read([op("remove", "/a")] * 1001)
    assert 413 == refused.value.status
