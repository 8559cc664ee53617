"""statusHistory: what was, was; what a row corrects moves with it."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.status_history import kept


def episode(status: str, start: str, end: str = "", *past: tuple[str, str, str]) -> dict[str, Any]:
    history = [{"status": status, "period": {"start": start, "end": end}} for status, start, end in past]
    return {"status": status, "period": {"start": start} | ({"end": end} if end else {}), "statusHistory": history}


@pytest.mark.requirement("ADJ-05")
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (episode("active", "01"), episode("finished", "01", "03"), [("active", "01", "03")]),
        (episode("active", "01"), episode("finished", "01", "09"), []),
        (episode("planned", "01"), episode("finished", "01", "03"), []),
        (episode("onhold", "01"), episode("finished", "01", "03"), [("onhold", "01", "03")]),
        (
            episode("active", "01", "", ("planned", "01", "02")),
            episode("finished", "01", "03"),
            [("planned", "01", "02"), ("active", "02", "03")],
        ),
        (
            episode("finished", "01", "03", ("active", "01", "03")),
            episode("finished", "01", "04"),
            [("active", "01", "04")],
        ),
        (
            episode("finished", "01", "03", ("active", "01", "03")),
            episode("finished", "02", "03"),
            [("active", "02", "03")],
        ),
        (episode("finished", "01", "03", ("active", "01", "03")), episode("active", "01"), []),
        (episode("entered-in-error", "01"), episode("finished", "01", "03"), []),
        (episode("active", "01"), episode("entered-in-error", "01"), []),
    ],
)
def test_status_that_ends_is_past_and_moves_with_the_period(
    before: dict[str, Any], after: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    found = kept(before, after, "05")
    assert expected == [(past["status"], past["period"]["start"], past["period"]["end"]) for past in found]
