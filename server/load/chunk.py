"""Chunk: some hundred resources that one commit takes, made ready in a process beside the one that writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from server.fhir import body
from server.fhir.body import Body, Entry
from server.fhir.bundle import Links, relinked
from server.fhir.reference import is_id
from server.ledger import Change
from server.load.source import Piece, pieces
from server.outcome import Issue, Problem
from server.store.engine import Projections
from server.validation import conformance
from server.validation.element import validate

SIZE = 500  # resources
BYTES = 4 << 20

UNPACKED = {"collection", "searchset"}  # each entry is a resource of its own
PERFORMED = {"transaction", "batch"}  # each entry is an interaction
NAMESPACE = uuid.UUID("0d1f6c3c-6f1e-5b0a-8f5e-5f2b7c0c9a11")  # of the ids that resources without one get


class Chunk(NamedTuple):
    """Pieces of one file. `key` names them in this content of the file, so that they are committed once."""

    key: str
    pieces: tuple[Piece, ...]
    read: int  # bytes of the file


class Refusal(NamedTuple):
    """What was not taken, where it stands, and why."""

    place: str
    issues: list[Issue]


class Placed(NamedTuple):
    """A change, and where its resource stands.

    A packaged definition has a second id, with its version in it, for where another version has the first.
    """

    place: str
    change: Change
    versioned: Change | None = None


@dataclass(slots=True)
class Prepared:
    """A chunk, parsed, checked and indexed: what to write, which Bundles to perform, what is refused already."""

    changes: list[Placed] = field(default_factory=list)
    bundles: list[Piece] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def chunks(path: Path, digest: str, *, examples: bool = True) -> Iterator[Chunk]:
    """The file's pieces, some hundred at a time."""
    start = 0
    of = digest if examples else f"{digest}/definitions"
    for number, gathered in enumerate(_gathered(pieces(path, examples=examples))):
        yield Chunk(f"load/{of}/{SIZE}/{number}", tuple(gathered), gathered[-1].end - start)
        start = gathered[-1].end


def _gathered(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        some.append(piece)
        size += len(piece.data)
        if len(some) >= SIZE or size >= BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def prepare(chunk: Chunk, projections: Projections) -> Prepared:
    """Everything about a chunk that does not need the store."""
    prepared = Prepared()
    for index, piece in enumerate(chunk.pieces):
        try:
            if piece.loose:
                _loose(piece, chunk.key, prepared, projections)
            else:
                _take(piece.place, body.parse(piece.data), f"{chunk.key}/{index}", prepared, projections)
                if piece.packaged:
                    _version(prepared, piece, projections)
        except Problem as problem:
            prepared.refused.append(Refusal(piece.place, problem.issues))
    return prepared


def _version(prepared: Prepared, piece: Piece, projections: Projections) -> None:
    """Give the definition that was taken last its second id."""
    placed = prepared.changes[-1] if prepared.changes else None
    if placed is None or placed.place != piece.place:
        return
    resource = placed.change.resource or {}
    if placed.change.type not in conformance.VERSIONED or not {"url", "version"} <= resource.keys():
        return
    own = body.parse(piece.data)
    versioned = _change(own, versioned_id(placed.change.id, resource["version"]))
    projections.fill(versioned)
    prepared.changes[-1] = placed._replace(versioned=versioned)


def versioned_id(id: str, version: str) -> str:
    """An id for one version of a definition: "us-core-careplan-6.1.0", or, where that is none, one made from it."""
    named = f"{id}-{version}"
    return named if is_id(named) else str(uuid.uuid5(NAMESPACE, named))


def _loose(piece: Piece, key: str, prepared: Prepared, projections: Projections) -> None:
    """A file of one resource: a Bundle of resources or of interactions is what it holds."""
    bundle, entries = body.parse_bundle(piece.data)
    kind = bundle.get("type") if bundle.get("resourceType") == "Bundle" else None
    if kind in PERFORMED:
        prepared.bundles.append(piece)
    elif kind in UNPACKED:
        _unpack(piece.place, entries, key, prepared, projections)
    else:
        _take(piece.place, body.parse(piece.data), key, prepared, projections)


def _unpack(place: str, entries: list[Entry], key: str, prepared: Prepared, projections: Projections) -> None:
    """Each entry's resource; what an entry's fullUrl names is that resource wherever another refers to it."""
    links = Links()
    found: list[tuple[int, str, Body, str]] = []
    for index, entry in enumerate(entries):
        if entry.resource is None or entry.resource.type == "OperationOutcome":
            continue
        id = entry.resource.id or _new_id(f"{key}/{index}")
        full_url = str(entry.members.get("fullUrl", ""))
        links.add(full_url, f"{entry.resource.type}/{id}")
        found.append((index, id, entry.resource, full_url))
    for index, id, resource, full_url in found:
        at = f"{place} Bundle.entry[{index}]"
        try:
            change = _change(resource, id)
            own = links.of(full_url)
            change.resource, change.text = relinked(resource.resource | {"id": id}, change.text, id, own)
            _check(change, prepared, at, projections)
        except Problem as problem:
            prepared.refused.append(Refusal(at, problem.issues))


def _take(place: str, resource: Body, key: str, prepared: Prepared, projections: Projections) -> None:
    _check(_change(resource, resource.id or _new_id(key)), prepared, place, projections)


def _change(resource: Body, id: str) -> Change:
    if not isinstance(id, str) or not is_id(id):
        raise Problem.invalid(f"{str(id)[:80]!r} is no id: 1 to 64 of A-Z, a-z, 0-9, '-' and '.'", "Resource.id")
    return Change("PUT", resource.type, id, resource.resource | {"id": id}, resource.text(id))


def _check(change: Change, prepared: Prepared, place: str, projections: Projections) -> None:
    assert change.resource is not None
    errors = [issue for issue in validate(change.resource) if issue.severity in ("error", "fatal")]
    if errors:
        prepared.refused.append(Refusal(place, errors))
        return
    projections.fill(change)
    prepared.changes.append(Placed(place, change))


def _new_id(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))
