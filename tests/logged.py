"""What is logged meanwhile, of every severity, whatever level a server of another test has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict


@contextmanager
def logged() -> Iterator[list[EventDict]]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        with capture_logs() as log:
            yield log
    finally:
        structlog.configure(**before)
