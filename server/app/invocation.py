"""Invocation: an operation that is asked for, from the request to the answer.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from server.fhir import body
from server.interactions import exchange, write
from server.interactions.exchange import Server
from server.interactions.headers import CSV
from server.ledger import Resource
from server.operations.call import LARGE, Call
from server.operations.parameters import Inputs
from server.operations.registry import Operation


@dataclass(frozen=True, slots=True)
class Invoked:
    """An operation, as the interactions call it: they and the operations' room do not know one another."""

    operation: Operation

    @property
    def definition(self) -> Mapping[str, Any]:
        return self.operation.definition

    @property
    def gets(self) -> bool:
        return self.operation.gets

    async def __call__(self, server: Server, request: exchange.Request) -> exchange.Response:
        is_large = len(request.content) >= LARGE
        inputs = await asyncio.to_thread(self._inputs, request) if is_large else self._inputs(request)
        if request.place.id and not self.operation.judges:
            await server.repository.check_seen(request.caller, request.place.type, request.place.id)
        call = Call(
            server.repository,
            request.caller,
            request.place.type,
            request.place.id,
            inputs,
            csv=request.media_type == CSV,
            writes=request.method == "POST",
            key=write.key_of(request),
            fingerprint=write.fingerprint(request),
            base_url=request.base_url,
            gone=request.gone,
            size=len(request.parsed.source) if request.parsed else 0,
            tell=request.tell,
            perform=partial(_perform, server, request),
        )
        answer = await self.operation.function(call)
        if answer.table is not None:
            return exchange.Response(answer.status, answer.table.encode(), media_type=CSV)
        if answer.text is not None:
            return exchange.Response(answer.status, answer.text)
        if answer.version is not None:
            location = write.location_of(answer.version)
            return exchange.Response(answer.status, answer.version.body or b"", answer.version, location)
        return exchange.Response.of(answer.status, self.operation.resource(answer))

    def _inputs(self, request: exchange.Request) -> Inputs:
        sent = request.body() if request.parsed is not None or request.content else None
        return self.operation.inputs(sent, request.parameters, request.base_url)


async def _perform(server: Server, request: exchange.Request, bundle: Resource, key: str | None) -> Resource:
    """What the base answers to a Bundle by whoever made a request."""
    headers = {name: request.headers[name] for name in (b"x-provenance",) if name in request.headers}
    if key:
        headers[b"idempotency-key"] = key.encode("latin-1")
    headers[b"prefer"] = b"return=minimal"
    content = await asyncio.to_thread(body.dumps, bundle)
    asked = exchange.Request("POST", exchange.locate(""), request.base_url, (), headers, request.caller, content)
    found: Resource = body.loads((await server.perform(asked)).body)
    return found
