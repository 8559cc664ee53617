"""Content coding: bodies that are sent compressed, both ways, by gzip and by Brotli.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4, https://www.rfc-editor.org/rfc/rfc7932

What a small body unpacks to is bounded: no more than the limit is ever made.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from functools import lru_cache

import brotli

from server.interactions.headers import ranges
from server.outcome import Problem

CODINGS = (b"br", b"gzip")  # what a client that takes several alike is sent first
ACCEPTED = "br, gzip"
SMALL = 1400  # bytes from which an answer is compressed: less than that fits one packet anyway
LARGE = 256 * 1024  # bytes from which it is done on a thread
QUALITY = 3  # of Brotli: as fast as gzip's level 1, and smaller


@lru_cache(256)
def chosen(accept: bytes | None) -> bytes:
    """The coding that Accept-Encoding likes best of ours; b"" where it names none."""
    liked = {"gzip" if coding == "x-gzip" else coding: quality for coding, quality in ranges(accept)}
    best, found = 0.0, b""
    for coding in CODINGS:
        quality = liked.get(coding.decode(), liked.get("*", 0.0))
        if quality > best:
            best, found = quality, coding
    return found


def compressed(content: bytes, coding: bytes) -> bytes:
    return brotli.compress(content, quality=QUALITY) if coding == b"br" else gzip.compress(content, 1, mtime=0)


async def decoded(content: bytes, header: bytes, limit: int) -> bytes:
    """A body without its Content-Encoding. Problem unsupported_media (415), malformed (400), too_costly (413)."""
    coding = header.strip().lower()
    if coding in {b"", b"identity"}:
        return content
    if coding not in {b"gzip", b"x-gzip", b"br"}:
        raise Problem.of(
            "unsupported_media",
            "A body may be compressed once, by gzip or br",
            "http.Content-Encoding",
            headers={"Accept-Encoding": ACCEPTED},
        )
    unpack = _unbrotli if coding == b"br" else _gunzip
    found = await asyncio.to_thread(unpack, content, limit)
    if len(found) > limit:
        raise too_large(limit)
    return found


def too_large(limit: int) -> Problem:
    return Problem.of(
        "too_costly", f"A body may have {limit} bytes; send less at once", headers={"Connection": "close"}
    )


def _gunzip(content: bytes, limit: int) -> bytes:
    """The content, or its first bytes where it has more than the limit."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        found = decompressor.decompress(content, limit + 1)
    except zlib.error:
        raise _none("gzip") from None
    if len(found) <= limit and (not decompressor.eof or decompressor.unused_data):
        raise _none("gzip")
    return found


def _unbrotli(content: bytes, limit: int) -> bytes:
    """The content, or its first bytes where it has more than the limit."""
    decompressor = brotli.Decompressor()
    found = bytearray()
    try:
        part = decompressor.process(content, output_buffer_limit=limit + 1)
        found += part
        while part and len(found) <= limit and not decompressor.is_finished():
            part = decompressor.process(b"", output_buffer_limit=limit + 1)
            found += part
    except brotli.error:
        raise _none("br") from None
    if len(found) <= limit and not decompressor.is_finished():
        raise _none("br")
    return bytes(found)


def _none(coding: str) -> Problem:
    text = f"The body is declared as {coding}, and is none, or cut off, or more follows it"
    return Problem.malformed(text, "http.Content-Encoding")
