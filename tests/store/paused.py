"""A process that writes one commit and stops itself (SIGSTOP) at a step of it: `python -m tests.store.paused URI STEP`.

Once it is let go on (SIGCONT) it finishes, and prints what its commit answered and where.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from server.store.mongodb import MongodbStore
from server.store.mongodb.append import Appender
from server.store.mongodb.turnstile import Turnstile
from tests.store.contract import PROJECTIONS, context, create_once

# Before the ledger; after it, before the projection; in the midst of that; before the next one is let in
STEPS = {
    "decided": (Appender, "append"),
    "appended": (Appender, "project"),
    "projecting": (Appender, "_projected"),
    "leaving": (Turnstile, "leave"),
}


def stopping(of: type, name: str) -> None:
    """Have the process stop before it does this for the first time."""
    once: list[Callable[..., Any]] = [getattr(of, name)]

    def stopped(*arguments: Any, **named: Any) -> Any:
        setattr(of, name, once[0])
        os.kill(os.getpid(), signal.SIGSTOP)
        return once[0](*arguments, **named)

    setattr(of, name, stopped)


async def main(uri: str, step: str) -> None:
    store = MongodbStore(uri, PROJECTIONS, follows=False)
    await store.open()
    store.writer._has_met = True  # so that it has a turn that others wait for
    stopping(*STEPS[step])
    commit = await store.commit(create_once("one", "late"), context())
    print(json.dumps([commit.output, commit.position]), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
