"""TCP proxies that cut their connections at chosen messages of the client: before they are sent on, or after it.

Messages are MongoDB's: each begins with its length, 4 bytes, little-endian.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

_HEARTBEATS = (b"hello\x00", b"isMaster\x00", b"ismaster\x00", b"endSessions\x00")
MANY = 100  # messages: more than are sent while an attempt to open a store fails


class Proxy:
    """`cut_at` counts the messages that are no heartbeats, from 1; `is_sent_on` is whether that one still goes out."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.count = 0
        self.cut_at: int | None = None
        self.is_sent_on = False
        self._open: set[asyncio.StreamWriter] = set()
        self._mute: set[asyncio.StreamWriter] = set()  # to which no answer is sent any more

    def arm(self, cut_at: int, is_sent_on: bool) -> None:
        self.count, self.cut_at, self.is_sent_on = 0, cut_at, is_sent_on

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            self._open |= {writer, far_writer}
            back = asyncio.create_task(self._back(far_reader, writer))
            try:
                while True:
                    await self._message(reader, writer, far_writer)
            finally:
                for each in (far_writer, writer):
                    each.close()
                self._open -= {writer, far_writer}
                await back
                self._mute.discard(writer)

    async def _message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        head = await reader.readexactly(4)
        message = head + await reader.readexactly(int.from_bytes(head, "little") - 4)
        if not any(name in message[:64] for name in _HEARTBEATS) and self.cuts(reader, message):
            if self.is_sent_on:
                self._mute.add(writer)
                far.write(message)
                await far.drain()
                await asyncio.sleep(0.05)  # it is worked on, and its answer is lost
            raise ConnectionResetError
        far.write(message)
        await far.drain()

    def cuts(self, connection: asyncio.StreamReader, message: bytes) -> bool:
        """Whether a connection is cut at this message of its client's."""
        self.count += 1
        if self.count != self.cut_at:
            return False
        self.cut_at = None
        return True

    async def _back(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await far.read(1 << 16):
                if writer not in self._mute:
                    writer.write(data)
                    await writer.drain()


class Stepwise(Proxy):
    """Loses the database for whoever opens a store one message later at each attempt, up to the message `last`.

    From there on it is away for everybody, until the next attempt begins; at last it is back, should there be none.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.last = 0
        self.attempts = 0
        self._away = 0  # messages that are still to be cut
        self._opens: asyncio.StreamReader | None = None

    def lose(self, last: int) -> None:
        self.last, self.attempts = last, 0

    def mend(self) -> None:
        self.last = self._away = 0

    def cuts(self, connection: asyncio.StreamReader, message: bytes) -> bool:
        if b"ping\x00" in message[:64]:  # with which an attempt begins
            self._opens, self.count, self._away = connection, 0, 0
            self.attempts += 1
        if connection is self._opens:
            self.count += 1
            if self.count == self.attempts <= self.last:
                self._away = MANY
        self._away = max(0, self._away - 1)
        return self._away > 0


class WithoutDatabase(Proxy):
    """Cuts whatever is about the database `named`, and nothing else."""

    named: str | None = None

    def cuts(self, connection: asyncio.StreamReader, message: bytes) -> bool:
        return self.named is not None and f"{self.named}\0".encode() in message


P = TypeVar("P", bound=Proxy)


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy to a server, and its port."""
    async with serving(Proxy(host, port)) as found:
        yield found


@asynccontextmanager
async def serving(proxy: P) -> AsyncIterator[tuple[P, int]]:
    """A proxy, and its port."""
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(proxy._open):
            writer.close()
        while proxy._open:  # noqa: ASYNC110 - each ends on its own
            await asyncio.sleep(0.01)
