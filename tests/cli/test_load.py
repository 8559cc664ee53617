"""The command `careplan load`, as an operator runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples.population import population
from server.fhir.body import dumps
from tests.process import STARTED, head

CAREPLAN = [sys.executable, "-m", "server.cli"]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"CAREPLAN_STORE": f"sqlite:///{tmp_path}/careplan.db"}


def careplan(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*CAREPLAN, *map(str, arguments)]
    return subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=STARTED)


def wait_for(store: Path, commits: int, load: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    while head(store) < commits and load.poll() is None:
        time.sleep(0.01)


def ndjson(path: Path, loads: list[int]) -> Path:
    path.write_bytes(b"".join(dumps(resource) + b"\n" for resource in population(loads)))
    return path


def test_all_taken_is_0(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "a.ndjson", [3])
    done = careplan(tmp_path, "load", path)
    total = len(path.read_bytes().splitlines())
    assert (0, f"{total} resources taken, {total} of them written; 0 refused\n") == (done.returncode, done.stdout)


def test_something_refused_is_1_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"resourceType":"Patient","id":"good"}\n{"resourceType":"Patient","gender":"unheard-of"}\n')
    done = careplan(tmp_path, "load", path, "--report", tmp_path / "report.ndjson")
    assert 1 == done.returncode
    assert f"refused {path}:2\n  code-invalid Patient.gender: " in done.stdout
    (refusal,) = map(json.loads, (tmp_path / "report.ndjson").read_text().splitlines())
    assert (f"{path}:2", "OperationOutcome") == (refusal["place"], refusal["outcome"]["resourceType"])


def test_report_that_cannot_be_written_is_2_before_anything_is_loaded(tmp_path: Path) -> None:
    done = careplan(tmp_path, "load", ndjson(tmp_path / "a.ndjson", [1]), "--report", tmp_path / "absent" / "report")
    assert (2, "") == (done.returncode, done.stdout)
    assert f"{tmp_path}/absent/report: No such file or directory\n" == done.stderr
    assert not (tmp_path / "careplan.db").exists()


def test_path_that_no_load_reads_is_2(tmp_path: Path) -> None:
    assert 2 == careplan(tmp_path, "load", tmp_path / "absent.ndjson").returncode


def test_as_recorded_takes_what_breaks_a_cap(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "a.ndjson", [52])
    assert 1 == careplan(tmp_path, "load", path).returncode
    assert 0 == careplan(tmp_path, "load", path, "--as-recorded").returncode


def heeding() -> None:
    """Heed Ctrl-C, which a shell makes its background jobs ignore, and all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_breaks_off_in_peace(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "a.ndjson", [40] * 60)
    load = subprocess.Popen(
        [*CAREPLAN, "load", str(path)],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding,
    )
    wait_for(tmp_path / "careplan.db", 2, load)
    os.killpg(load.pid, signal.SIGINT)
    _, told = load.communicate(timeout=STARTED)
    assert 130 == load.returncode
    assert "Traceback" not in told


@pytest.mark.parametrize("commits", [1, 2, 4])
def test_killed_load_leaves_whole_commits_and_goes_on(tmp_path: Path, commits: int) -> None:
    path = ndjson(tmp_path / "a.ndjson", [40] * 8)
    command = [*CAREPLAN, "load", str(path)]
    load = subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "careplan.db", commits, load)
    load.send_signal(signal.SIGKILL)
    load.wait()
    assert 0 == careplan(tmp_path, "verify").returncode
    done = careplan(tmp_path, "load", path)
    total = len(path.read_bytes().splitlines())
    assert (0, f"{total:,}") == (done.returncode, done.stdout.split()[0])
    assert 0 == careplan(tmp_path, "verify").returncode
