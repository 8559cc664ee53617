"""Refusal: what a store answers where it cannot do what is asked of it, whatever the engine."""

from __future__ import annotations

from server.outcome import Problem
from server.search.filter import MARK
from server.store.engine import WORDS


def check_queue(waiting: int, limit: int) -> None:
    """Problem throttled where as many writes wait as may."""
    if waiting >= limit:
        raise Problem.of(
            "throttled", "Too many writes are waiting; send this one again later", headers={"Retry-After": "1"}
        )


def check_open(is_open: bool) -> None:
    """Problem unavailable for a write that comes after the end."""
    if not is_open:
        raise Problem.of("unavailable", "The server is stopping; send this again to the one that comes after it")


COPYING = "copying "  # before the name of the definitions of a store that others are copied into


def check_definitions(stored: str | None, own: str) -> None:
    """Problem unavailable where the projections were made by other definitions than these."""
    if stored is not None and stored.startswith(COPYING):
        raise Problem.of(
            "unavailable",
            "A ledger is being copied into the store, or was until that was broken off: the same `careplan copy` again "
            "finishes it. (`careplan rebuild` takes what has come so far as all there is)",
        )
    if stored != own:
        raise Problem.of(
            "unavailable", "The store was indexed by other definitions; run `careplan rebuild`, which keeps the ledger"
        )


def check_receiving(stored: str | None, own: str) -> None:
    """Problem unavailable where a store that is to be copied into was indexed by other definitions than these."""
    if stored is not None:
        check_definitions(stored.removeprefix(COPYING), own)


def check_key(stored: bytes | None, own: bytes | None) -> None:
    """Problem unprocessable where an idempotency key stands for another request, by their fingerprints."""
    if stored != own:
        raise Problem.of(
            "unprocessable",
            "This Idempotency-Key was used for another request; a key stands for one request",
            "http.Idempotency-Key",
        )


def not_ready(name: str, done: float) -> Problem:
    """What to say to a search that would wait too long for an index that is made late."""
    what = "The words of what was written" if name == WORDS else f"{name.partition(MARK)[0]}, a stored SearchParameter,"
    return Problem.of(
        "throttled",
        f"{what} is being indexed: {done:.1%} is done. Search again later",
        headers={"Retry-After": "5"},
    )
