"""docs/conformance.md names tests that exist, and says of each line what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)


def rows() -> list[list[str]]:
    """The cells of each row."""
    text = (ROOT / "docs" / "conformance.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| R4", "| ---"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_line_says_what_becomes_of_it() -> None:
    assert [] == [row for row in rows() if len(row) != 3 or not row[1].startswith(("yes", "no", "other"))]


def test_every_line_names_tests_that_exist() -> None:
    defined = {name for path in (ROOT / "tests").rglob("*.py") for name in DEFINED.findall(path.read_text())}
    assert [] == [row[0] for row in rows() if not NAMED.findall(row[2])]
    assert [] == [name for row in rows() for name in NAMED.findall(row[2]) if name not in defined]
