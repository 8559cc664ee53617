"""What drives a conjunction, by what its conditions usually select and by how many rows they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from server.search.filter import ALL, And, Chain, Contains, Equal, Filter, Has, Ids, Not, Or, Present, Range, Words
from server.store.sqlite.plan import CAPS, CAPS_OF_A_PAGE, PROBED, REACH, Count, plan, told

FAMILY = Range("Patient.family", b"a", b"b")
GIVEN = Range("Patient.given", b"a", b"b")
BIRTH = Range("Patient.birthdate", b"a", b"b")
GENDER = Equal("Patient.gender", (b"female",))
IDENTIFIER = Equal("Patient.identifier", (b"1",))
SUBJECT = Equal("CarePlan.subject", ("Patient/1",))
MANY = CAPS[-1] * 2
NAMES = And((BIRTH, FAMILY, GENDER, GIVEN))


def counting(sizes: Mapping[str, int]) -> Count:
    def count(filter: Filter, most: int) -> int:
        parts = filter.filters if isinstance(filter, Or) else (filter,)
        return min(sum(sizes.get(part.index, MANY) for part in parts if isinstance(part, Equal | Range)), most)

    return count


@pytest.mark.parametrize(
    ("sizes", "driver", "within", "probes"),
    [
        ({"Patient.family": 5000, "Patient.given": 9000}, FAMILY, [GIVEN], [BIRTH, GENDER]),
        ({"Patient.family": 100_000}, FAMILY, [BIRTH, GIVEN, GENDER], []),
        ({}, BIRTH, [], [FAMILY, GIVEN, GENDER]),
    ],
)
def test_plan_of_all_that_is_found_counts_on(
    sizes: dict[str, int], driver: Filter, within: list[Filter], probes: list[Filter]
) -> None:
    assert (driver, within, probes) == plan(NAMES, counting(sizes), whole=True)[:3]


@pytest.mark.parametrize(("size", "driver"), [(400, "week"), (5000, "active")])
def test_plan_counts_what_any_of_some_has(size: int, driver: str) -> None:
    week = Or((Range("CarePlan.date", b"a", b"b"), Range("CarePlan.date:end", b"a", b"b")))
    active = Equal("CarePlan.status", (b"active",))
    found = plan(And((active, week)), counting({"CarePlan.date": size, "CarePlan.date:end": 0}))
    assert {"week": week, "active": active}[driver] == found.driver


@pytest.mark.parametrize(
    ("sizes", "driver", "within", "probes"),
    [
        ({"Patient.family": 107, "Patient.given": 400}, FAMILY, [GIVEN], [BIRTH, GENDER]),
        ({"Patient.family": 400, "Patient.given": 107}, GIVEN, [FAMILY], [BIRTH, GENDER]),
        ({"Patient.family": 2, "Patient.given": 2 * REACH}, FAMILY, [GIVEN], [BIRTH, GENDER]),
        ({"Patient.family": 2, "Patient.given": 2 * REACH + 1}, FAMILY, [], [BIRTH, GIVEN, GENDER]),
        ({"Patient.family": 3000, "Patient.given": 9000}, FAMILY, [GIVEN], [BIRTH, GENDER]),
        ({"Patient.birthdate": 3}, BIRTH, [], [FAMILY, GIVEN, GENDER]),
        ({"Patient.gender": 0}, GENDER, [], [BIRTH, FAMILY, GIVEN]),
        ({"Patient.family": 5000, "Patient.given": 9000}, GENDER, [], [BIRTH, FAMILY, GIVEN]),  # a page is soon full
        ({}, GENDER, [], [BIRTH, FAMILY, GIVEN]),
    ],
)
def test_plan_is_driven_by_the_fewest_rows(
    sizes: dict[str, int], driver: Filter, within: list[Filter], probes: list[Filter]
) -> None:
    assert (driver, within, probes) == plan(NAMES, counting(sizes))[:3]


def not_asked(filter: Filter, most: int) -> int:
    raise AssertionError("nothing is counted where one condition is known to select few")


@pytest.mark.parametrize(
    ("filter", "driver"),
    [
        (And((GENDER, IDENTIFIER, FAMILY)), IDENTIFIER),
        (And((GENDER, Ids(("1",)))), Ids(("1",))),
        (And((Equal("CarePlan.status", (b"active",)), SUBJECT)), SUBJECT),
        (And((BIRTH, Chain("Patient.link", "Patient", IDENTIFIER))), Chain("Patient.link", "Patient", IDENTIFIER)),
        (And((BIRTH, Has("CarePlan", "CarePlan.subject", SUBJECT))), Has("CarePlan", "CarePlan.subject", SUBJECT)),
        (FAMILY, FAMILY),
        (Not(FAMILY), None),
        (ALL, None),
    ],
)
def test_plan_counts_nothing_without_need(filter: Filter, driver: Filter | None) -> None:
    assert driver == plan(filter, not_asked).driver


@pytest.mark.parametrize("step", [Chain("Patient.link", "Patient", GENDER), Words("content", ("ann",))])
def test_plan_asks_few_candidates_what_is_dear_to_find(step: Filter) -> None:
    few, many = counting({"Patient.family": PROBED}), counting({"Patient.family": PROBED + 1})
    assert (FAMILY, True) == plan(And((FAMILY, step)), few)[::3]
    assert (step, False) == plan(And((FAMILY, step)), many)[::3]


@pytest.mark.parametrize(("whole", "counted"), [(False, CAPS_OF_A_PAGE), (True, CAPS)])
def test_plan_counts_codes_no_further_than_a_page_is_away(whole: bool, counted: Sequence[int]) -> None:
    asked: list[int] = []

    def count(filter: Filter, most: int) -> int:
        asked.append(most)
        return most

    status = Equal("Patient.active", (b"true",))
    assert (GENDER, [], [status]) == plan(And((GENDER, status)), count, whole=whole)[:3]
    assert [cap for cap in counted for _ in range(2)] == asked


def test_plan_leaves_what_is_made_late_uncounted() -> None:
    late = Range("Patient.eyes@1", b"a", b"b")
    assert (FAMILY, [late]) == plan(And((late, FAMILY)), counting({"Patient.eyes@1": 0, "Patient.family": 1}))[:3:2]


def test_plan_is_told_in_words() -> None:
    found = told(
        And((NAMES, Or((Not(Present("Patient.link")), Contains("Patient.address", b"x"))))),
        counting({"Patient.family": 107, "Patient.given": 400}),
    )
    assert (
        "those of Range Patient.family, within those of Range Patient.given, each asked for Range Patient.birthdate, "
        "Equal Patient.gender, 1 keys, (not Present Patient.link or Contains Patient.address)"
    ) == found
