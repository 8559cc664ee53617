"""The first story, as its reader runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import STARTED, serving

STORY = Path(__file__).parent.parent.parent / "examples" / "01_caseload_cap.py"


@pytest.mark.requirement("IA-04", "IA-25")
def test_story(tmp_path: Path) -> None:
    with serving(store=f"sqlite:///{tmp_path}/careplan.db", demo=False) as base:
        told = subprocess.run([sys.executable, STORY, base, "t-"], capture_output=True, text=True, timeout=STARTED)
    assert "" == told.stderr
    lines = [line.strip() for line in told.stdout.splitlines()]
    expected = [
        "t-cm-0001 holds 48 of 50; 2 more may come",
        "t-member-00075 to t-cm-0001: 201 Created",
        "t-member-00078 to t-cm-0001: 201 Created",
        "t-cm-0001 holds 50 of 50; 0 more may come",
        "t-member-00081 to t-cm-0001: 422 Unprocessable Entity",
        "t-member-00081 to t-cm-0001 by update: 422 Unprocessable Entity",
        "58 members, 2 managers, average 29",
    ]
    assert expected == [line for line in expected if line in lines], told.stdout
    assert "call Iowa Total Care at 1-833-404-1061" in told.stdout.replace("or ", "call ")
