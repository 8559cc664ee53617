"""Stamp: what the server says of who acts in what they write: who wrote it, and what an enrollment lets them see.

https://hl7.org/fhir/R4/resource.html#Meta

Both are extensions of `meta`. Of them a client that acts may say nothing, and what it leaves out stays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import orjson

from server.auth.seen import Seen
from server.auth.sight import patients
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Resource
from server.search.keeper import OWN_ONLY, SAID, WRITER

Extension = dict[str, Any]


async def stamped(seen: Seen, changes: Sequence[Change], untold: Collection[str]) -> list[Change]:
    """The changes as they are to be written; their rows are filled. `untold` are Patients whom nobody told of."""
    wanting = [change for change in changes if _is_stamped(seen, change)]
    asked = [change.reference for change in wanting if change.method != "POST"]
    there = await seen.view.read_many(asked) if asked else {}
    found: dict[str, Change] = {}
    for change in wanting:
        version = there.get(change.reference)
        before = body.loads(version.body) if version and version.body else None
        said = await (_of_episode if change.type == "EpisodeOfCare" else _of_care)(seen, change, before, untold)
        found[change.reference] = _saying(seen, change, said)
    return [found.get(change.reference, change) for change in changes]


def _is_stamped(seen: Seen, change: Change) -> bool:
    is_told = change.type == "EpisodeOfCare" or seen.sight.tells_writer(change.type)
    return change.resource is not None and is_told and bool(patients(change))


async def _of_care(seen: Seen, change: Change, before: Resource | None, untold: Collection[str]) -> list[Extension]:
    """Who wrote it first."""
    if before is not None:
        return _said(before)
    return [{"url": WRITER, "valueReference": {"reference": one}} for one in seen.sight.organizations]


async def _of_episode(seen: Seen, change: Change, before: Resource | None, untold: Collection[str]) -> list[Extension]:
    """That its organization let itself in, until somebody who sees all of the member takes that away."""
    named = patients(change)
    if not set(named).isdisjoint(untold):
        return [{"url": OWN_ONLY, "valueBoolean": True}]
    standing = _said(before or {})
    is_taken_away = standing and not _said(change.resource or {})
    return [] if is_taken_away and await seen.are_open(named) else standing


def _said(resource: Resource) -> list[Extension]:
    return [one for one in _extensions(resource) if one.get("url") in SAID]


def _extensions(resource: Resource) -> list[Extension]:
    found: list[Extension] = resource.get("meta", {}).get("extension", [])
    return found


def _saying(seen: Seen, change: Change, said: list[Extension]) -> Change:
    """The change with what the server says in its bytes and its rows, and nothing that a client says in its place."""
    resource = change.resource or {}
    if _said(resource) == said:
        return change
    others = [one for one in _extensions(resource) if one.get("url") not in SAID]
    meta = {name: value for name, value in resource.get("meta", {}).items() if name != "extension"}
    whole = {**resource, "meta": {**meta, "extension": [*others, *said]} if others or said else meta}
    head, tail = change.text
    text = Body.of(whole).text(change.id) if _extensions(resource) else (head, _member("extension", said) + tail)
    return replace(change, resource=whole, text=text, rows=seen.judge.rows(whole))


def _member(name: str, value: Any) -> bytes:
    """A further member of `meta`, after the version stamp."""
    return b"," + orjson.dumps(name) + b":" + orjson.dumps(value)
