"""The third story, as its reader runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import STARTED, serving

STORY = Path(__file__).parent.parent.parent / "examples" / "03_new_york.py"


@pytest.mark.requirement("NY-06", "NY-07", "NY-11", "NY-14", "NY-16", "NY-19", "NY-20", "NY-21")
def test_story(tmp_path: Path) -> None:
    with serving(store=f"sqlite:///{tmp_path}/careplan.db", demo=False) as base:
        told = subprocess.run([sys.executable, STORY, base, "t-"], capture_output=True, text=True, timeout=STARTED)
    assert "" == told.stderr
    lines = [line.strip() for line in told.stdout.splitlines()]
    expected = [
        "a lead without an agreement: 422 Unprocessable Entity",
        "an altered text: 422 Unprocessable Entity",
        "the template's text: 201 Created",
        "the Health Home proposes its own: 201 Created",
        "the plan counters with its own: 201 Created",
        "the plan accepts its own proposal: 422 Unprocessable Entity",
        "the Health Home accepts: 200 OK",
        "the plan makes one of both active alone: 422 Unprocessable Entity",
        "the plan proposes both drafts as one: 201 Created",
        "and counters with that: 201 Created",
        "the plan accepts the Health Home's: 200 OK",
        "a second one: 422 Unprocessable Entity",
        "nothing is found",
    ]
    assert expected == [line for line in lines if line in expected], told.stdout
    assert any(line.startswith("duplicate-coordination: Monthly visit") for line in lines), told.stdout
    leads = [line.partition(": ")[2] for line in lines if line.startswith("on 2")]
    assert ["nobody", "PractitionerRole/t-pat", "PractitionerRole/t-pat"] == [line.partition(" ")[0] for line in leads]
    assert "Pat Plan (1-718-555-0100) leads since" in told.stdout
    assert "Personal care | CarePlan/t-agreed activity[0]" in told.stdout
    assert "Minutes of walking a day | 20 min by" in told.stdout
    assert any(line.startswith("Organization/t-home: The plan of care of Maria Ruiz has changed.") for line in lines)
