"""batch: requests in one Bundle, each of which succeeds or fails alone.

https://hl7.org/fhir/R4/http.html#brules
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set

from server.fhir import body, bundle
from server.interactions import entry
from server.interactions.entry import Entry
from server.interactions.exchange import Request, Response, Server
from server.outcome import Problem

CHANGING = ("PUT", "PATCH", "DELETE")
TOGETHER = 64  # entries in work at once, so that their commits share one write to disk


async def batch(server: Server, request: Request, entries: Sequence[body.Entry]) -> Response:
    """Do each entry, in the order that a transaction has, and answer in the order of the request."""
    answers = [b""] * len(entries)
    names = {str(one.members.get("fullUrl")) for one in entries if one.resource is not None}

    async def answer(index: int) -> None:
        try:
            found = entry.read(request, index, entries[index].members, entries[index].resource)
            _check_alone(found, names)
            response = await entry.perform(server, found)
        except Problem as problem:
            response = Response.refused(problem)
        answers[index] = entry.written(request.base_url, response)

    async def in_turn(indexes: Sequence[int]) -> None:
        for index in indexes:
            await answer(index)

    ranked: dict[int, list[int]] = {}
    for index, asked in enumerate(entries):
        ranked.setdefault(_rank(asked), []).append(index)
    for _, indexes in sorted(ranked.items()):
        for start in range(0, len(indexes), TOGETHER):
            alike: dict[object, list[int]] = {}
            for index in indexes[start : start + TOGETHER]:
                alike.setdefault(_written(index, entries[index]), []).append(index)
            await asyncio.gather(*map(in_turn, alike.values()))
    return Response(200, bundle.assembled("batch-response", answers))


def _check_alone(asked: Entry, names: Set[str]) -> None:
    """Problem invalid (400) where a resource links to another entry: in a batch none knows of the others."""
    resource = asked.request.parsed
    if resource is not None and "urn:" in resource.source and (found := bundle.urns_in(resource.resource) & names):
        text = f"{min(found)[:200]!r} is another entry's fullUrl, which only a transaction resolves"
        raise entry.placed(Problem.invalid(text, resource.type), asked.index)


def _rank(asked: body.Entry) -> int:
    method = _request(asked).get("method")
    return bundle.ORDER.get(method, 0) if isinstance(method, str) else 0


def _written(index: int, asked: body.Entry) -> object:
    """What an entry writes: those that name the same are done one after the other. What is new is like no other."""
    request = _request(asked)
    method, url, criteria = (request.get(name) for name in ("method", "url", "ifNoneExist"))
    if method == "POST" and isinstance(criteria, str):
        return f"{url}?{criteria}"
    return url if method in CHANGING and isinstance(url, str) else index


def _request(asked: body.Entry) -> dict[str, object]:
    request = asked.members.get("request")
    return request if isinstance(request, dict) else {}
