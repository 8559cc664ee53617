"""Log: one JSON object a line on stderr. No query string, no body and no error's own words are ever in it.

An error's words, and those of libraries, may quote what a client sent. So of an error its type and place are kept, and
of other loggers than uvicorn's only who spoke, and where.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog

OWN_WORDS = ("uvicorn.",)  # loggers whose messages quote nobody


def to_stderr(level: str) -> None:
    """Set up this process's log; `level` is the least severe that is told."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[Lines()], level=max(number, logging.WARNING))


class Lines(logging.Handler):
    """What libraries log, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name.startswith(OWN_WORDS)
        told = {"logger": record.name, "at": [f"{record.pathname}:{record.lineno} {record.funcName}"]}
        if record.exc_info and (error := record.exc_info[1]) is not None:
            frames = traceback.extract_tb(error.__traceback__)
            told["error"] = type(error).__name__
            told["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        structlog.get_logger().log(record.levelno, str(record.msg).strip() if own else "library", **told)
