"""The hash chain: each commit's hash covers the one before it, so that a changed or missing commit shows.

It runs over digests of the bodies, not over the bodies, so that bytes can be erased by order and the chain still holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def genesis(partition: str) -> bytes:
    """The hash before the first commit."""
    return hashlib.sha256(b"careplan ledger\0" + partition.encode()).digest()


def digest(body: bytes | None) -> bytes:
    """Of one version's body; empty for a deletion."""
    return b"" if body is None else hashlib.sha256(body).digest()


def link(
    previous: bytes,
    position: int,
    id: str,
    at: int,
    actor: str | None,
    changes: Iterable[tuple[str, str, str, bytes]],
) -> bytes:
    """A commit's hash; `changes` are (method, type, id, digest) in order. Each part is length-prefixed."""
    hash = hashlib.sha256(previous)
    parts = [b"%d" % position, id.encode(), b"%d" % at, (actor or "").encode()]
    for method, type, resource_id, body_digest in changes:
        parts += (method.encode(), type.encode(), resource_id.encode(), body_digest)
    hash.update(b"".join(b"%d:%b" % (len(part), part) for part in parts))
    return hash.digest()
