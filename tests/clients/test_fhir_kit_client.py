"""The JavaScript client fhir-kit-client: https://github.com/Vermonster/fhir-kit-client"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.process import STARTED

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "conversation.mjs")


@pytest.fixture
def conversation() -> Path:
    """The script beside the client that package-lock.json names, installed under .cache."""
    if not shutil.which("npm") and not os.environ.get("CI"):
        pytest.skip("Node and npm are not on this machine; under CI that would be a failure")
    folder = HERE.parent.parent / ".cache" / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "node_modules" / ".package-lock.json"
    installed = lock.exists() and lock.stat().st_mtime > (HERE / "package-lock.json").stat().st_mtime
    for name in FILES:
        shutil.copyfile(HERE / name, folder / name)
    if not installed:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return folder / "conversation.mjs"


def test_conversation(base: str, conversation: Path) -> None:
    expected = {
        "fhirVersion": "4.0.1",
        "read": True,
        "updated": "female",
        "first": None,
        "history": 2,
        "transaction": ["201", "201", "201", "201"],
        "pages": [2, 1],
        "gone": 410,
    }
    said = subprocess.run(["node", conversation, base], check=True, capture_output=True, text=True, timeout=STARTED)
    assert expected == json.loads(said.stdout)
