"""A TCP proxy that cuts its connections at a chosen message of the client: before it is sent on, or after it.

Messages are MongoDB's: each begins with its length, 4 bytes, little-endian.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_HEARTBEATS = (b"hello\x00", b"isMaster\x00", b"ismaster\x00", b"endSessions\x00")


class Proxy:
    """`cut_at` counts the messages that are no heartbeats, from 1; `is_sent_on` is whether that one still goes out."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.count = 0
        self.cut_at: int | None = None
        self.is_sent_on = False
        self._open: set[asyncio.StreamWriter] = set()

    def arm(self, cut_at: int, is_sent_on: bool) -> None:
        self.count, self.cut_at, self.is_sent_on = 0, cut_at, is_sent_on

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            self._open |= {writer, far_writer}
            back = asyncio.create_task(self._back(far_reader, writer))
            try:
                while True:
                    await self._message(reader, far_writer)
            finally:
                for each in (far_writer, writer):
                    each.close()
                self._open -= {writer, far_writer}
                await back

    async def _message(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(4)
        message = head + await reader.readexactly(int.from_bytes(head, "little") - 4)
        if not any(name in message[:64] for name in _HEARTBEATS):
            self.count += 1
            if self.count == self.cut_at:
                self.cut_at = None
                if self.is_sent_on:
                    far.write(message)
                    await far.drain()
                    await asyncio.sleep(0.05)  # it is worked on, and its answer is lost
                raise ConnectionResetError
        far.write(message)
        await far.drain()

    async def _back(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await far.read(1 << 16):
                if self.cut_at is None or self.count != self.cut_at:
                    writer.write(data)
                    await writer.drain()


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy to a server, and its port."""
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(proxy._open):
            writer.close()
        await asyncio.sleep(0)
