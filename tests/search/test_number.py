from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.search.number import encode, tail
from tests.search.asked import finds, places, refused

ORDERED = [
    *("-1e999999999999", "-1e40", "-100.5", "-100", "-99.99", "-1", "-0.5", "-1e-40", "0", "1e-999999", "1e-40"),
    *("0.5", "0.50001", "1", "1.0000000000000000000000000000001", "9.99", "10", "99", "100", "101", "1e40"),
    *("1e32765", "1e999999999999"),
]


def assessment(**members: Any) -> dict[str, Any]:
    return {"resourceType": "RiskAssessment", "prediction": [members]}


def charge(factor: str) -> dict[str, Any]:
    return {"resourceType": "ChargeItem", "factorOverride": Decimal(factor)}


@pytest.mark.parametrize(
    ("value", "sought", "expected"),
    [
        ("99.5", "100", True),
        ("100.5", "100", False),
        ("99.49", "100", False),
        ("99.995", "100.00", True),
        ("99.994", "100.00", False),
        ("95", "1e2", True),
        ("105", "1e2", False),
        ("100.4", "1.00e2", True),
        ("100", "lt100", False),
        ("99.999", "lt100", True),
        ("100", "le100", True),
        ("100", "gt100", False),
        ("100.001", "gt100", True),
        ("100", "ge100", True),
        ("100.4", "ne100", False),
        ("100.5", "ne100", True),
        ("100.001", "sa100", True),
        ("100", "sa100", False),
        ("99.999", "eb100", True),
        ("100", "eb100", False),
        ("109", "ap100", True),
        ("111", "ap100", False),
        ("90", "ap100", True),
        ("-109", "ap-100", True),
        ("-1", "-1", True),
        ("0", "0.0", True),
        ("0.05", "ap0.0", True),
        ("1e999999999", "gt1e9999", True),
        ("1e999999999", "ap1e999999999", True),
    ],
)
def test_number_finds(value: str, sought: str, expected: bool) -> None:
    assert expected == finds(charge(value), ("factor-override", sought))


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        ("0.3", False),
        ("gt0.3", True),
        ("lt0.3", True),
        ("ge0.4", False),
        ("gt0.4", False),
        ("le0.2", False),
        ("lt0.2", False),
        ("sa0.1", True),
        ("sa0.2", False),
        ("eb0.5", True),
        ("eb0.4", False),
        ("ne0.3", True),
        ("0", True),  # [-0.5, 0.5) holds all of it
        ("ne0", False),
        ("ap0.30", True),
        ("ap0.10", False),
        ("ap0.21", True),
    ],
)
def test_number_finds_a_range(sought: str, expected: bool) -> None:
    risk = assessment(probabilityRange={"low": {"value": Decimal("0.2")}, "high": {"value": Decimal("0.4")}})
    expected = expected or sought in {"ge0.4", "le0.2"}  # its ends are in it
    assert expected == finds(risk, ("probability", sought))


def test_number_of_an_open_range() -> None:
    risk = assessment(probabilityRange={"low": {"value": Decimal("0.2")}})
    assert finds(risk, ("probability", "gt0.9"))
    assert not finds(risk, ("probability", "lt0.2"))
    assert not finds(risk, ("probability", "eb5"))
    assert finds(assessment(probabilityRange={"low": {"unit": "%"}}), ("probability:missing", "false"))


@pytest.mark.parametrize("value", ["gt", "ten", "1,5x", "0x10", "NaN", "Infinity", "1e", "--1", "1.", "²"])
def test_number_refuses(value: str) -> None:
    assert [("invalid", "http.factor-override")] == places(refused("ChargeItem", ("factor-override", value)))


def test_number_refuses_modifiers() -> None:
    problem = refused("ChargeItem", ("factor-override:exact", "1"))
    assert [("not-supported", "http.factor-override:exact")] == places(problem)


def test_encode_keeps_order_and_none_is_the_start_of_another() -> None:
    keys = [encode(Decimal(text)) for text in ORDERED]
    assert sorted(set(keys)) == keys
    assert all(not later.startswith(earlier) for earlier, later in pairwise(keys))


def test_encode_is_the_same_for_equal_values() -> None:
    assert 1 == len({encode(value) for value in (100, Decimal("100"), Decimal("1e2"), Decimal("100.000"))})
    assert 1 == len({encode(value) for value in (0, Decimal("-0"), Decimal("0e9"), Decimal("0.00"))})


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_encode_compares_as_the_values_do(left: Decimal, right: Decimal) -> None:
    if len(left.as_tuple().digits) <= 40 and len(right.as_tuple().digits) <= 40:
        assert (left < right) == (encode(left) < encode(right))
        assert (left == right) == (encode(left) == encode(right))


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_tail_compares_as_the_values_do(left: float, right: float) -> None:
    if left != right:  # and so not 0 and -0
        assert (left < right) == (tail(Decimal(left)) < tail(Decimal(right)))
