"""A guide is loaded while the server runs: what it defines holds at once, in every worker, for who claims it."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx

from tests import us_core
from tests.process import STARTED, serving

Json = dict[str, Any]
PROFILE = "StructureDefinition/us-core-careplan"


def answers(base: str, *resources: Json) -> list[int]:
    """Each is sent by a connection of its own, so that each worker gets some."""
    found = []
    for resource in resources:
        with httpx.Client(base_url=base, timeout=STARTED) as client:
            found.append(client.post(f"{base}/{resource['resourceType']}", json=resource).status_code)
    return found


def load(store: str, path: Path) -> str:
    command = [sys.executable, "-m", "server.cli", "load", "--no-examples", str(path)]
    environment = os.environ | {"CAREPLAN_STORE": store}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * STARTED)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stderr


def test_guide_that_is_loaded_holds_at_once_in_every_worker(tmp_path: Path) -> None:
    plan = deepcopy(us_core.examples()["CarePlan-colonoscopy"])
    claim = {name: value for name, value in plan.items() if name != "id"}
    false_claim = {name: value for name, value in claim.items() if name != "category"}
    plain = {name: value for name, value in false_claim.items() if name != "meta"}
    store = f"sqlite:///{tmp_path}/careplan.db"
    with serving(store=store, demo=False, workers=2) as base:
        assert [201] * 8 == answers(base, *[false_claim] * 8)  # a profile that is not loaded says nothing
        assert "hl7.terminology.r4 5.0.0" in load(store, us_core.PACKAGE)
        assert [422] * 8 == answers(base, *[false_claim] * 8)
        assert [201] * 4 == answers(base, *[claim] * 2, *[plain] * 2)
        with httpx.Client(timeout=STARTED) as client:
            stored = client.get(f"{base}/{PROFILE}").json()
            lax = {name: value for name, value in stored.items() if name != "snapshot"}
            lax["differential"] = {"element": stored["differential"]["element"][:1]}
            assert 200 == client.put(f"{base}/{PROFILE}", json=lax).status_code
        assert [201] * 8 == answers(base, *[false_claim] * 8)
