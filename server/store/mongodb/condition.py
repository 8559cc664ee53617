"""Condition: whether a document meets a condition, as MongoDB judges it, of those that this store asks.

https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from server.search.filter import MARK
from server.store.mongodb.document import Document

Meets = Callable[[Document], bool]
_Test = Callable[[Any], bool]  # of what a field has; None where there is no such field

APART = ("late", "words", "said")  # what a version may get later, and what is more than all the rest of it


class Apart(Exception):  # noqa: N818 - not an error: the database has it
    """A condition asks what is not held in memory."""


def meets(condition: Mapping[str, Any]) -> Meets:
    """Raises Apart."""
    tests = [_part(name, asked) for name, asked in condition.items()]
    return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)


def _part(name: str, asked: Any) -> Meets:
    match name:
        case "$and":
            all_of = [meets(each) for each in asked]
            return lambda document: all(one(document) for one in all_of)
        case "$or":
            any_of = [meets(each) for each in asked]
            return lambda document: any(one(document) for one in any_of)
        case "$nor":
            none_of = [meets(each) for each in asked]
            return lambda document: not any(one(document) for one in none_of)
    value, test = value_of(name), _test(asked)
    return lambda document: test(value(document))


def value_of(name: str) -> Callable[[Document], Any]:
    """What a document has under a name, of which the part after a dot is of what an object, or each of an array, has.

    Raises Apart.
    """
    outer, _, inner = name.partition(".")
    if outer in APART or MARK in inner:
        raise Apart
    if not inner:
        return lambda document: document.get(outer)
    return lambda document: _within(document.get(outer), inner)


def _within(value: Any, name: str) -> Any:
    return [each[name] for each in value] if isinstance(value, list) else (value or {}).get(name)


def _test(asked: Any) -> _Test:
    if not isinstance(asked, Mapping):
        return _of_any(lambda value: value == asked)
    tests = [_operator(name, operand) for name, operand in asked.items()]
    return lambda value: all(test(value) for test in tests)


def _operator(name: str, operand: Any) -> _Test:
    match name:
        case "$exists":
            return lambda value: (value is not None) == operand
        case "$in":
            wanted = frozenset(operand)
            return _of_any(wanted.__contains__)
        case "$elemMatch":
            return _of_any(_test(operand))
        case "$regex":
            found = re.compile(operand, re.DOTALL).search
            return _of_any(lambda value: found(value) is not None)
        case "$lt":
            return _of_any(lambda value: value < operand)
        case "$lte":
            return _of_any(lambda value: value <= operand)
        case "$gt":
            return _of_any(lambda value: value > operand)
        case "$gte":
            return _of_any(lambda value: value >= operand)
    raise ValueError(f"{name} is not asked")


def _of_any(test: _Test) -> _Test:
    """Of an array, whether it holds of any element; of no field it does not."""

    def holds(value: Any) -> bool:
        if isinstance(value, list):
            return any(map(test, value))
        return value is not None and test(value)

    return holds
