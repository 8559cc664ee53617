"""The log: one JSON object a line, with nobody's words but ours and uvicorn's."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from server import log


def recorded(name: str, message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    told = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord(name, logging.WARNING, __file__, 7, message, arguments, told, "spoke")


@pytest.mark.parametrize(
    ("record", "event"),
    [
        (recorded("uvicorn.error", "Invalid HTTP request received."), "Invalid HTTP request received."),
        (recorded("uvicorn.error", "Of %s", "Jane Doe"), "Of %s"),
        (recorded("asyncio", "Task of Jane Doe failed"), "library"),
        (
            recorded("uvicorn.error", "Exception in ASGI application\n", error=KeyError("Jane Doe")),
            "Exception in ASGI application",
        ),
    ],
)
def test_log_of_libraries_is_ours(record: logging.LogRecord, event: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr("info")
    log.Lines().emit(record)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (event, "warning", record.name) == (told["event"], told["level"], told["logger"])
    assert record.exc_info is None or told["error"] == "KeyError"
    assert "Doe" not in line


def test_log_below_its_level_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr("error")
    log.Lines().emit(recorded("uvicorn.error", "Invalid HTTP request received."))
    assert "" == capsys.readouterr().err
    assert sys.stderr is not None
