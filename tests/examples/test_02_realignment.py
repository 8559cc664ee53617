"""The second story, as its reader runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import STARTED, serving

STORY = Path(__file__).parent.parent.parent / "examples" / "02_realignment.py"


@pytest.mark.requirement("IA-03", "IA-04", "IA-06", "IA-07", "IA-09", "IA-13", "IA-14", "IA-16", "IA-29")
def test_story(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/careplan.db"
    with serving(store=store, demo=False) as base:
        told = subprocess.run(
            [sys.executable, STORY, base, "t-"],
            capture_output=True,
            text=True,
            timeout=2 * STARTED,
            env=os.environ | {"CAREPLAN_STORE": store},
        )
    assert "" == told.stderr, told.stdout
    lines = [line.strip() for line in told.stdout.splitlines()]
    expected = [
        "520 members, 10 managers, 52 on average, above the limit of 45 since 2025-01-01",
        "70  Aspen Pumice   above 50 since 2025-01-01",
        "Flags active: 1 caseload-average-breach, 3 caseload-breach",
        "1 more case manager is needed in Location/ia-polk: at most 45 on average, and 118 members",
        "From today on: Ned Shale and Nell Shale",
        "48 of 520 members are to move",
        "48 transfers are open; each holds a place at the next manager",
        "48 transfers are complete, each with a letter to the member or guardian",
        "520 members, 12 managers, 43.3333 on average",
        "48 transfers completed for ratio-realignment",
        "Flags active: none",
        "Flags inactive: 1 caseload-average-breach, 3 caseload-breach",
    ]
    assert expected == [line for line in expected if any(each.startswith(line) for each in lines)], told.stdout
    assert not [
        line for line in lines[lines.index("520 members, 12 managers, 43.3333 on average") :] if "above" in line
    ]


def test_record_is_written_for_a_server_elsewhere() -> None:
    made = subprocess.run([sys.executable, STORY, "--record", "t-"], capture_output=True, text=True, timeout=STARTED)
    assert "" == made.stderr
    assert 520 == sum('"resourceType": "CareTeam"' in line for line in made.stdout.splitlines())
