"""The README's conversation, word for word, with a server of its own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.process import STARTED, serving

README = Path(__file__).parent.parent / "README.md"
COMMANDS = re.findall(r"```sh\n(curl .+?)```", README.read_text(), re.DOTALL)


def test_conversation(tmp_path: Path) -> None:
    with serving(store=f"sqlite:///{tmp_path}/careplan.db", demo=True) as base:
        nobody, before, assigned, refused, plans = (say(command, base) for command in COMMANDS)
    assert {"contact"} == {parameter["name"] for parameter in nobody["parameter"]}
    assert {"members": 49, "limit": 50, "remaining": 1} == {
        part["name"]: part["valueInteger"]
        for part in before["parameter"]
        if part["name"] in ("members", "limit", "remaining")
    }
    assert "CareTeam" == assigned["resourceType"]
    assert ["business-rule"] == [issue["code"] for issue in refused["issue"]]
    assert {"CarePlan", "Patient"} == {entry["resource"]["resourceType"] for entry in plans["entry"]}


def say(command: str, base: str) -> dict[str, Any]:
    """Run a command as the README has it, but for the server's port."""
    command = command.replace("http://127.0.0.1:8000/fhir", base)
    answer = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, timeout=STARTED)
    return dict(json.loads(answer.stdout))
