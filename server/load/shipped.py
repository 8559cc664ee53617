"""Shipped: what comes with the server: the programs with the codes and operations they need, and an example population.

What an operator may change (a program, its codes, its measure) is put into a store once, and not again where its id or
its canonical url and version are there in any state. What describes the server's own contract follows the release.
"""

from __future__ import annotations

from pathlib import Path

from server.auth.access import SYSTEM
from server.interactions.exchange import Server
from server.ledger import Change, Plan, View
from server.load.chunk import Chunk, prepare
from server.load.load import load
from server.load.report import Report
from server.load.source import files, pieces
from server.search.filter import ALL
from server.search.query import parse

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "profiles"
DEMO = ROOT / "examples" / "demo.ndjson"

CONTRACT = {"OperationDefinition", "SearchParameter", "StructureDefinition"}


async def programs(server: Server) -> None:
    """Put the shipped programs, and all that they name, into the store."""
    found = tuple(piece for path in files([PROFILES]) for piece in pieces(path))
    prepared = prepare(Chunk("profiles", found, 0), server.repository.projections)
    if prepared.refused:
        raise RuntimeError(f"{prepared.refused[0].place} is not valid: {prepared.refused[0].issues}")
    changes = [placed.change for placed in prepared.changes]

    async def decide(view: View) -> Plan:
        known = await view.read_many([change.reference for change in changes])
        new = [change for change in changes if change.type in CONTRACT or change.reference not in known]
        return Plan([change for change in new if change.type in CONTRACT or await _is_new(view, change)])

    await server.repository.commit(SYSTEM, decide)


async def _is_new(view: View, change: Change) -> bool:
    """Whether no resource has the canonical URL and version, whatever its id."""
    resource = change.resource or {}
    canonical = [(name, resource[name]) for name in ("url", "version") if name in resource]
    if not canonical:
        return True
    query = parse(change.type, canonical, base_url="", lenient=False)
    return not await view.search(change.type, query.filter, 1)


async def demo(server: Server) -> Report | None:
    """Load the example population, where the store has no member yet."""
    view = await server.repository.view(SYSTEM)
    if await view.search("Patient", ALL, 1):
        return None
    return await load(server, [DEMO])
