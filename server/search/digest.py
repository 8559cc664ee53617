"""Digests: what stands in index keys for texts that are only ever compared whole (codes, systems, URLs)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b


def digest(text: str | bytes, size: int) -> bytes:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return blake2b(data, digest_size=size).digest()


SHORT = 128  # longer texts seldom come twice, and would fill the caches' memory


def digest8(text: str) -> bytes:
    return _digest8(text) if len(text) <= SHORT else digest(text, 8)


def digest6(text: str) -> bytes:
    return _digest6(text) if len(text) <= SHORT else digest(text, 6)


@lru_cache(maxsize=16384)
def _digest8(text: str) -> bytes:
    return digest(text, 8)


@lru_cache(maxsize=16384)
def _digest6(text: str) -> bytes:
    return digest(text, 6)
