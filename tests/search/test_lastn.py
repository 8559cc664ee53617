"""lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.search.lastn import lastn

Json = dict[str, Any]


def observation(code: str = "", when: str = "", text: str = "", subject: str = "Patient/1") -> Json:
    """`code` "a,b" is of two codings."""
    codings = [{"system": "urn:s", "code": one} for one in code.split(",") if one]
    coded = {"coding": codings} if codings else {}
    return {
        "resourceType": "Observation",
        "subject": {"reference": subject},
        "code": {**coded, **({"text": text} if text else {})},
        **({"effectiveDateTime": when} if when else {}),
    }


@pytest.mark.parametrize(
    ("codes", "expected"),
    [  # HL7's own table of groups, each of one
        (["a", "b", "c"], 3),
        (["a", "b", "a,c"], 2),
        (["a", "b", "a,b"], 1),
        (["a,b", "c,d", "b,c", "e"], 2),
    ],
)
def test_lastn_takes_codes_that_share_a_coding_for_one(codes: list[str], expected: int) -> None:
    found = [observation(code, f"2026-01-{day:02}") for day, code in enumerate(codes, 1)]
    assert expected == len(lastn(found, 1, ""))


def test_lastn_tells_texts_apart_by_every_character() -> None:
    found = [observation(text=text) for text in ("text", "Text", "t e x t", "text")]
    assert 4 == len(lastn(found, 1, ""))  # the two that are alike tie, for neither has a date
    dated = [observation(text="text", when=f"2026-01-0{day}") for day in (1, 2)]
    assert [1] == lastn(dated, 1, "")


def test_lastn_is_newest_first_with_ties_and_undated_ones_last() -> None:
    found = [
        observation("a", "2026-01-01"),
        observation("a"),
        observation("a", "2026-01-03T10:00:00Z"),
        observation("a", "2026-01-03T11:00:00+01:00"),
        observation("b", "2026-01-02"),
    ]
    assert [2, 3, 4] == lastn(found, 1, "")
    assert [2, 3, 4] == lastn(found, 2, "")
    assert [2, 3, 4, 0] == lastn(found, 3, "")
    assert [2, 3, 4, 0, 1] == lastn(found, 4, "")


def test_lastn_is_of_each_subject() -> None:
    names = ["Patient/1", "http://localhost:8000/fhir/Patient/1", "Patient/2"]
    found = [observation("a", f"2026-01-0{day}", subject=name) for day, name in enumerate(names, 1)]
    assert [2, 1] == lastn(found, 1, "")


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcdef"), max_size=3), st.integers(1, 5)), max_size=12),
    st.integers(1, 3),
)
def test_lastn_agrees_with_a_naive_reading(drawn: list[tuple[set[str], int]], most: int) -> None:
    found = [observation(",".join(sorted(codes)), f"2026-01-0{day}") for codes, day in drawn]
    groups: list[tuple[set[str], list[int]]] = []
    for index, (codes, _) in enumerate(drawn):
        codes = codes or {"no code"}
        joined = [group for group in groups if group[0] & codes]
        groups = [group for group in groups if not group[0] & codes]
        groups.append((codes.union(*(one for one, _ in joined)), [index, *(i for _, own in joined for i in own)]))
    expected = set()
    for _, own in groups:
        days = sorted((drawn[index][1] for index in own), reverse=True)
        expected |= {index for index in own if drawn[index][1] >= days[min(most, len(days)) - 1]}
    actual = lastn(found, most, "")
    assert expected == set(actual)
    assert sorted(actual, key=lambda index: -drawn[index][1]) == actual
