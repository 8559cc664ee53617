"""HTTP/1.1 as uvicorn speaks it, with bounds on the head of a request, for which uvicorn's parser has none.

https://www.rfc-editor.org/rfc/rfc6585#section-5, https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes of request line and headers, beyond those that came in one piece
_CLOSE = b"connection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _CLOSE
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _CLOSE


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed where a head goes on and on, in bytes or in time."""

    patience: ClassVar[float] = 30  # seconds from the connection, or a head's first byte, until the head is there

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._head = 0
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        going_on = self._in_head
        super().data_received(data)
        if not self._in_head:
            return
        if self._waiting is None:
            self._wait()
        if going_on:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(_TOO_LARGE)

    def _unsupported_upgrade_warning(self) -> None:
        """A request to speak another protocol may be passed over: nobody needs to be warned."""

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.patience, self._late)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        """A head that is begun is answered; a connection on which nothing comes is just closed."""
        self._waiting = None
        self._refuse(_TOO_SLOW if self._in_head else b"")

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
