from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.search.asked import finds, places, refused

UCUM = "http://unitsofmeasure.org"


def observation(**quantity: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "valueQuantity": quantity}


DOSE = observation(value=Decimal("5.4"), unit="milligram", system=UCUM, code="mg")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5.4", True),
        ("5.4|http://unitsofmeasure.org|mg", True),
        ("5.4|http://unitsofmeasure.org|g", False),
        ("5.4|urn:other|mg", False),
        ("5.4||mg", True),
        ("5.4||milligram", True),
        ("5.4||gram", False),
        ("5.4||", True),
        ("5.40", True),
        ("5.41", False),
        ("5", True),
        ("5.40e0", True),
        ("lt5.4||mg", False),
        ("le5.4||mg", True),
        ("gt5.3||mg", True),
        ("gt5.3||g", False),
        ("ge5.4|http://unitsofmeasure.org|mg", True),
        ("sa5.3", True),
        ("eb5.5", True),
        ("ne5.4", False),
        ("ne5.5||mg", True),
        ("ap5||mg", True),
        ("ap4||mg", False),
        ("4,5.4", True),
    ],
)
def test_quantity_finds(value: str, expected: bool) -> None:
    assert expected == finds(DOSE, ("value-quantity", value))


@pytest.mark.parametrize(
    ("comparator", "value", "expected"),
    [
        ("<", "lt5", True),
        ("<", "lt1", True),
        ("<", "gt5", False),
        ("<", "5", False),
        ("<", "eb6", True),
        ("<", "sa1", False),
        (">", "gt100", True),
        (">", "lt5", False),
        (">=", "sa4", True),
        ("<=", "ap3", True),
    ],
)
def test_quantity_with_a_comparator_is_all_that_it_says(comparator: str, value: str, expected: bool) -> None:
    assert expected == finds(observation(value=5, comparator=comparator), ("value-quantity", value))


def test_quantity_of_money_has_a_currency() -> None:
    charge = {"resourceType": "Invoice", "totalNet": {"value": Decimal("12.50"), "currency": "USD"}}
    assert finds(charge, ("totalnet", "12.50|urn:iso:std:iso:4217|USD"))
    assert finds(charge, ("totalnet", "12.50||USD"))
    assert not finds(charge, ("totalnet", "12.50||EUR"))


def test_quantity_of_an_age_range() -> None:
    years = {"system": UCUM, "code": "a"}
    condition = {
        "resourceType": "Condition",
        "onsetRange": {"low": {"value": 30, **years}, "high": {"value": 40, **years}},
    }
    assert finds(condition, ("onset-age", "gt35||a"))
    assert finds(condition, ("onset-age", "lt35||a"))
    assert finds(condition, ("onset-age", f"ap35|{UCUM}|a"))
    assert not finds(condition, ("onset-age", "35||a"))
    assert not finds(condition, ("onset-age", "gt40||a"))
    assert not finds(condition, ("onset-age", "gt35||mo"))


def test_quantity_of_sampled_data_is_its_bounds() -> None:
    sampled = {"origin": {"value": 10, "code": "mV"}, "factor": Decimal("0.5"), "data": "2 E -4 U 6", "dimensions": 1}
    observation = {"resourceType": "Observation", "valueSampledData": sampled}
    assert finds(observation, ("value-quantity", "gt12.9||mV"))
    assert not finds(observation, ("value-quantity", "gt13||mV"))
    assert finds(observation, ("value-quantity", "lt8.1||mV"))
    assert not finds(observation, ("value-quantity", "lt8||mV"))


def test_quantity_without_a_value_is_there() -> None:
    assert finds(observation(unit="mg"), ("value-quantity:missing", "false"))
    assert not finds(observation(unit="mg"), ("value-quantity", "gt0"))
    assert finds(observation(extension=[]), ("value-quantity:missing", "true"))


@pytest.mark.parametrize("value", ["5.4|mg", "5.4|urn:a|", "mg", "5.4||mg|x", "|urn:a|mg", "gtx||mg"])
def test_quantity_refuses(value: str) -> None:
    assert [("invalid", "http.value-quantity")] == places(refused("Observation", ("value-quantity", value)))
