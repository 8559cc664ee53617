"""near: places within a distance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.search import near
from server.search.filter import Near
from tests.search.asked import finds, places, refused

DES_MOINES = {"resourceType": "Location", "position": {"latitude": 41.5868, "longitude": -93.625}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("41.5868|-93.625|0|km", True),
        ("41.9779|-91.6656|170|km", True),  # Cedar Rapids, 168 km away
        ("41.9779|-91.6656|167|km", False),
        ("41.9779|-91.6656|105|[mi_us]", True),
        ("41.9779|-91.6656|105", False),
        ("41.9779|-91.6656|170000|m", True),
        ("41.6|-93.6", True),
        ("-41.5868|86.375|1|km,41.6|-93.6|5|km", True),
    ],
)
def test_near_finds_within_the_distance(value: str, expected: bool) -> None:
    assert expected == finds(DES_MOINES, ("near", value))
    assert not finds({"resourceType": "Location", "name": "nowhere"}, ("near", value))


@pytest.mark.parametrize("value", ["41", "91|0", "0|181", "a|b", "1|2|3|miles", "1|2|-3|km", "1|2|3|km|5", "|"])
def test_near_refuses(value: str) -> None:
    assert [("invalid", "http.near")] == places(refused("Location", ("near", value)))


def test_near_takes_no_modifier() -> None:
    assert [("not-supported", "http.near:exact")] == places(refused("Location", ("near:exact", "1|2")))


latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


@given(latitudes, longitudes, latitudes, longitudes)
def test_distance_is_the_same_both_ways_and_the_band_misses_nothing(a: float, b: float, c: float, d: float) -> None:
    metres = near.distance(near.key(a, b), c, d)
    assert math.isclose(metres, near.distance(near.key(c, d), a, b), abs_tol=1)
    assert 0 <= metres <= math.pi * near.RADIUS + 1
    low, high = near.band(Near("x", c, d, metres))
    assert low <= near.key(a, b) < high


@given(longitudes)
def test_distance_across_the_date_line_and_at_the_poles(longitude: float) -> None:
    assert near.distance(near.key(0, 179.99), 0, -179.99) < 2300
    assert near.distance(near.key(90, longitude), 90, 0) < 1
