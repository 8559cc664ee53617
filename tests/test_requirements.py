"""The requirements' table, the mark that names its rows, and the report of their state."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import requirements

CATALOGUE = Path(__file__).parent.parent.parent / "shared" / "requirements.md"

pytest_plugins = ["pytester"]


def test_table_has_every_row_of_the_catalogue() -> None:
    if not CATALOGUE.exists():
        pytest.skip("the catalogue that the table sums up lies outside of the repository, and is not beside it here")
    expected = [row.split("|")[1].strip() for row in CATALOGUE.read_text().splitlines() if is_row(row)]
    assert expected == list(requirements.ROWS)


def is_row(line: str) -> bool:
    family, dash, number = line.removeprefix("| ").split(" |")[0].partition("-")
    return line.startswith("| ") and bool(dash) and family.isupper() and number.isdigit()


def test_mark_with_an_unknown_id_fails_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile('import pytest\n@pytest.mark.requirement("IA-99")\ndef test_it(): pass\n')
    pytester.makeini("[pytest]\nmarkers = requirement(*ids)\nasyncio_default_fixture_loop_scope = function\n")
    pytester.runpytest("-p", "tests.requirement", "-p", "no:asyncio").assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("expected", "outcomes"),
    [
        ("open", {}),
        ("aside", {"a": "skipped"}),
        ("shown", {"a": "passed", "b": "skipped"}),
        ("failed", {"a": "passed", "b": "failed"}),
    ],
)
def test_state_is_the_worst_of_the_outcomes(expected: str, outcomes: dict[str, str]) -> None:
    assert expected == requirements.state(outcomes)


def test_outcomes_remember_a_failed_teardown() -> None:
    outcomes = requirements.Outcomes()
    for when, outcome in [("setup", "passed"), ("call", "passed"), ("teardown", "failed")]:
        report = pytest.TestReport(
            "test_it", ("test_it.py", 0, "test_it"), {}, outcome, None, when, user_properties=[("requirement", "IA-04")]
        )
        outcomes.pytest_runtest_logreport(report)
    assert {"test_it": "failed"} == outcomes.of["IA-04"]
