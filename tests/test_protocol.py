"""HTTP/1.1 on the wire: connections on which a request's head does not come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.protocol import BoundedProtocol


class Impatient(BoundedProtocol):
    patience = 0.1


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where a server listens that waits a tenth of a second for a head, or as long as the test says."""
    monkeypatch.setattr(Impatient, "patience", getattr(request, "param", Impatient.patience))
    config = uvicorn.Config(app, http=Impatient, ws="none", lifespan="off", log_config=None, timeout_keep_alive=300)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Impatient(config, state, {}), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def conversation(port: int, *parts: bytes) -> bytes:
    """All that comes back until the server closes, the parts being sent with a pause between.

    The first is there before the server has the connection, so that it comes in time however slow the machine is.
    """
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"".join(parts[:1]))
    reader, writer = await asyncio.open_connection(sock=connection)
    for part in parts[1:]:
        await asyncio.sleep(0.02)
        writer.write(part)
    found = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    return found


async def test_connection_on_which_nothing_comes_is_closed(port: int) -> None:
    assert b"" == await conversation(port)


async def test_head_that_is_not_finished_is_answered(port: int) -> None:
    assert (await conversation(port, b"GET / HTTP/1.1\r\nHost: x\r\n")).startswith(b"HTTP/1.1 408 ")


async def test_head_that_drips_has_no_more_time(port: int) -> None:
    drops = [b"GET / HTTP/1.1\r\n", *(b"x-%d: y\r\n" % number for number in range(20))]
    with pytest.raises((AssertionError, ConnectionError)):
        assert b"200" in await conversation(port, *drops, b"\r\n")


async def test_second_head_that_is_not_finished_is_answered(port: int) -> None:
    found = await conversation(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert (True, True) == (found.startswith(b"HTTP/1.1 200 "), b"HTTP/1.1 408 " in found)


@pytest.mark.parametrize("port", [60.0], indirect=True)
async def test_head_in_pieces_is_read(port: int) -> None:
    request = [b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"Connection: close\r\n\r\n"]
    assert (await conversation(port, *request)).startswith(b"HTTP/1.1 200 ")
