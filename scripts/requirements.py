#!/usr/bin/env python3
"""Run the tests that are tagged with a requirement and print every row of docs/requirements.md with its state."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

TABLE = Path(__file__).parent.parent / "docs" / "requirements.md"
ROW = re.compile(r"^\| ((?:IA|MG|CO|NY|MS|FED|ADJ)-\d\d) \| (.+) \|$", re.MULTILINE)
ROWS: dict[str, str] = dict(ROW.findall(TABLE.read_text()))  # id -> our words

WIDTH = 96  # of a row's words, cut to one line


class Outcomes:
    """What became of each tagged test, by requirement; the worst phase of a test counts."""

    def __init__(self) -> None:
        self.of: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when != "call":
            return
        for name, id in report.user_properties:
            if name == "requirement" and self.of[str(id)].get(report.nodeid) != "failed":
                self.of[str(id)][report.nodeid] = report.outcome


def state(outcomes: dict[str, str]) -> str:
    """shown: every tagged test passed; failed: one did not; aside: none ran here; open: there is none."""
    counts = Counter(outcomes.values())
    if counts["failed"]:
        return "failed"
    if counts["passed"]:
        return "shown"
    return "aside" if counts else "open"


def line(id: str, words: str, outcomes: dict[str, str]) -> str:
    short = words if len(words) <= WIDTH else words[: WIDTH - 1].rstrip() + "…"
    return f"{id:7} {state(outcomes):6} {len(outcomes) or '':>3}  {short}"


def main() -> int:
    outcomes = Outcomes()
    arguments = ["-m", "requirement", "--quiet", "--no-header", "--numprocesses", "2", "--dist", "loadfile"]
    code = pytest.main(arguments, plugins=[outcomes])
    print(f"\n{'row':7} {'state':6} {'tests':>3}")
    for id, words in ROWS.items():
        print(line(id, words, outcomes.of[id]))
    totals = Counter(state(outcomes.of[id]) for id in ROWS)
    print("\n" + ", ".join(f"{count} {name}" for name, count in sorted(totals.items())) + f", of {len(ROWS)} rows")
    return 0 if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else int(code)


if __name__ == "__main__":
    sys.exit(main())
