"""Escalation: bring the liaisons' Tasks about leads that are not settled up to date, by the background look."""

from __future__ import annotations

from datetime import datetime

from server.auth.access import Caller
from server.coordination.facts import DESIGNATION
from server.coordination.lead.escalation import DISPUTE, due, settled
from server.coordination.program.programs import active
from server.fhir import body
from server.ledger import Change, Plan, Version, View, micros
from server.repository import Repository
from server.search.query import parse

MOST = 10_000  # Tasks of one look
OPEN = "requested,received"


async def look(repository: Repository, caller: Caller, now: datetime) -> int:
    """How many Tasks were written; nothing is asked of the ledger where nothing is due."""
    if not await _due(await repository.view(caller), now):
        return 0

    async def decide(view: View) -> Plan:
        return Plan(await _due(view, now))

    return len((await repository.commit(caller, decide, by_rule=True)).versions)


async def _due(view: View, now: datetime) -> list[Change]:
    disputes = [body.loads(version.body or b"") for version in await _open(view, DISPUTE)]
    waiting = [version.reference for version in await _open(view, DESIGNATION)]
    return await settled(view, disputes) + await due(view, waiting, await active(view), micros(now))


async def _open(view: View, code: str) -> list[Version]:
    query = parse("Task", [("code", code), ("status", OPEN)], base_url="", lenient=False)
    return await view.search("Task", query.filter, MOST)
