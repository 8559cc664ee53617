"""`careplan load --table`, `convert` and `export`, as an operator runs them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mappings.table import tables
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.fhir.body import dumps
from server.settings import Settings
from tests.cli.test_load import careplan

BASE = "https://careplan-server.org/fhir"
NAMES = ",".join(tables()["ny-roster"].names)
ROWS = 130


async def stored_in(tmp_path: Path, type: str, id: str) -> dict[str, Any]:
    async with opened(Settings(store=f"sqlite:///{tmp_path / 'careplan.db'}")) as server:
        version = await server.repository.read(SYSTEM, type, id)
        return dict(json.loads(version.body or b""))


def organization(path: Path) -> Path:
    numbered = {"system": f"{BASE}/sid/ny-organization", "value": "P1"}
    path.write_bytes(dumps({"resourceType": "Organization", "id": "plan", "name": "Plan", "identifier": [numbered]}))
    return path


def roster(path: Path, *wrong: int) -> Path:
    """Rows of members, some of whom are of a plan that is not there."""
    rows = (f"E{n},{'P9' if n in wrong else 'P1'},C{n},Lee,Ann,,F,map,2026-01-01," for n in range(ROWS))
    path.write_bytes("\r\n".join([NAMES, *rows, ""]).encode("utf-8-sig"))
    return path


@pytest.mark.requirement("ADJ-06")
def test_rows_are_taken_but_for_those_that_are_refused_and_come_out_again(tmp_path: Path) -> None:
    assert 0 == careplan(tmp_path, "load", organization(tmp_path / "plan.json")).returncode
    file, report, out = roster(tmp_path / "roster.csv", 3, 77), tmp_path / "rejected.csv", tmp_path / "out.csv"
    done = careplan(tmp_path, "load", "--table", "ny-roster", "--report", report, file)
    assert (1, f"{ROWS - 2} rows taken, {ROWS - 2} of them written; 2 rejected\n") == (done.returncode, done.stdout)
    assert ["enrollment", "E3", "E77"] == [line.partition(",")[0] for line in report.read_text().splitlines()]
    corrected = report.read_text().replace(",P9,", ",P1,")
    report.write_text(corrected)
    assert 0 == careplan(tmp_path, "load", "--table", "ny-roster", report).returncode
    again = careplan(tmp_path, "load", "--table", "ny-roster", roster(tmp_path / "again.csv"))
    assert (0, f"{ROWS} rows taken, 0 of them written; 0 rejected\n") == (again.returncode, again.stdout)
    assert 0 == careplan(tmp_path, "export", "--table", "ny-roster", "--out", out).returncode
    assert sorted(out.read_text().splitlines()) == sorted(file.read_text("utf-8-sig").replace("P9", "P1").splitlines())


@pytest.mark.requirement("ADJ-06")
def test_row_applied_again_keeps_what_others_have_put_there(tmp_path: Path) -> None:
    member, stored = tmp_path / "member.json", {"system": f"{BASE}/sid/ny-cin", "value": "C1"}
    member.write_bytes(dumps({"resourceType": "Patient", "id": "m1", "identifier": [stored]}))
    there = {
        "resourceType": "EpisodeOfCare",
        "id": "e1",
        "identifier": [{"system": f"{BASE}/sid/ny-enrollment", "value": "E1"}],
        "status": "onhold",
        "patient": {"reference": "Patient/m1", "display": "Ann"},
        "team": [{"display": "The team"}],
    }
    beside = tmp_path / "episode.json"
    beside.write_bytes(dumps(there))
    assert 0 == careplan(tmp_path, "load", organization(tmp_path / "plan.json"), member, beside).returncode
    file = tmp_path / "roster.csv"
    file.write_text(f"{NAMES}\nE1,P1,C1,Lee,Ann,,F,map,2026-01-01,\n")
    for expected in ("1 rows taken, 1 of them written; 0 rejected\n", "1 rows taken, 0 of them written; 0 rejected\n"):
        assert expected == careplan(tmp_path, "load", "--table", "ny-roster", file).stdout
    found = asyncio.run(stored_in(tmp_path, "EpisodeOfCare", "e1"))
    assert there == {name: found[name] for name in there}
    assert {"start": "2026-01-01"} == found["period"]


@pytest.mark.requirement("ADJ-06")
def test_file_that_is_no_table_leaves_nothing_behind(tmp_path: Path) -> None:
    good, bad = roster(tmp_path / "good.csv"), tmp_path / "bad.csv"
    bad.write_text(good.read_text("utf-8-sig") + '"E')
    done = careplan(tmp_path, "load", "--table", "ny-roster", good, bad)
    assert (2, True) == (done.returncode, "line 132" in done.stderr)
    assert NAMES == careplan(tmp_path, "export", "--table", "ny-roster").stdout.strip()
    unknown = careplan(tmp_path, "load", "--table", "roster", good)
    assert (2, True) == (unknown.returncode, "ny-assignment, ny-roster, ny-tracking" in unknown.stderr)


def test_converted_is_one_transaction_a_line(tmp_path: Path) -> None:
    done = careplan(tmp_path, "convert", "--table", "ny-roster", roster(tmp_path / "roster.csv"))
    bundles = [json.loads(line) for line in done.stdout.splitlines()]
    assert (0, [("transaction", 3 * ROWS)]) == (
        done.returncode,
        [(bundle["type"], len(bundle["entry"])) for bundle in bundles],
    )
    assert not (tmp_path / "careplan.db").exists()
