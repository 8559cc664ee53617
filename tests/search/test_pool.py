"""Pool: what is not stored yet is found as it would be."""

from __future__ import annotations

import pytest

from server.search.filter import ALL, And, Chain, Equal, Filter, Not, Or, Present, Updated
from server.search.pool import Pool
from tests.steps import LINEAR, growth

AT = 1_000


@pytest.fixture
def pool() -> Pool:
    found = Pool("Patient", AT)
    found.add("a", [("Patient.identifier", b"1"), ("Patient.active", b"t")])
    found.add("b", [("Patient.identifier", b"2"), ("Patient.active", b"t")])
    found.add("c", [])
    return found


@pytest.mark.parametrize(
    ("expected", "filter"),
    [
        (["a"], Equal("Patient.identifier", (b"1",))),
        (["a", "b"], Equal("Patient.identifier", (b"1", b"2", b"3"))),
        (["b"], And((Equal("Patient.active", (b"t",)), Equal("Patient.identifier", (b"2",))))),
        (["a", "c"], Or((Equal("Patient.identifier", (b"1",)), Not(Present("Patient.active"))))),
        (["a", "b", "c"], ALL),
        (["a", "b", "c"], Updated(AT, AT + 1)),
        ([], Updated(AT + 1, None)),
        ([], Chain("Patient.organization", "Organization", ALL)),
        ([], Not(Chain("Patient.organization", "Organization", ALL))),
    ],
)
def test_matching(pool: Pool, expected: list[str], filter: Filter) -> None:
    assert expected == pool.matching(filter)


def test_matching_takes_time_in_proportion() -> None:
    def fill(count: int) -> None:
        pool = Pool("Patient", AT)
        for number in range(count):
            key = str(number).encode()
            assert [] == pool.matching(Equal("Patient.identifier", (key,)))
            pool.add(str(number), [("Patient.identifier", key)])

    assert growth(int, fill) < LINEAR
    fill(100_000)
