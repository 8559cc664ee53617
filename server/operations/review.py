"""Review: bring the Tasks about leads who are there no more up to date, by the background look.

Commits see to their own members: this is for roles that end with time, for leads of more members than one commit sees
to, and for what a load took over. Looked at are those who have left and who have died, and not everybody who has a
lead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime

from server.auth.access import Caller
from server.coordination.facts import literal
from server.coordination.lead.review import REVIEW, due, led_by, staff
from server.coordination.lead.terms import TOGETHER, every
from server.coordination.program.programs import Programs, active
from server.coordination.stored import read_many
from server.ledger import Change, View, instant, micros
from server.operations.escalation import OPEN, pages, written
from server.repository import Repository

FEW = 50  # members whose Tasks are written in one commit


async def look(repository: Repository, caller: Caller, now: datetime) -> int:
    """How many Tasks were written; nothing is asked of the ledger where nothing is due."""
    programs = await active(await repository.view(caller))
    if not programs.leads:
        return 0

    async def called_for(view: View, patients: Sequence[str]) -> list[Change]:
        return await due(view, patients, await active(view), micros(now))

    count = 0
    async for patients in _concerned(repository, caller, programs, now):
        for start in range(0, len(patients), FEW):
            count += await written(repository, caller, patients[start : start + FEW], called_for)
    return count


async def _concerned(
    repository: Repository, caller: Caller, programs: Programs, now: datetime
) -> AsyncIterator[list[str]]:
    """The members whose lead has left, who have died, and about whom a Task waits: a page of each at a time."""
    for criteria in ([("active", "false")], [("date", f"eb{instant(micros(now))}")]):
        async for found in pages(repository, caller, "PractitionerRole", criteria):
            yield sorted(await led_by(await repository.view(caller), found, (), programs))
    async for found in pages(repository, caller, "Practitioner", [("active", "false")]):
        yield sorted(await led_by(await repository.view(caller), (), found, programs))
    for type, criteria in _over(now):
        async for found in pages(repository, caller, type, criteria):
            view = await repository.view(caller)
            agencies = found if type == "Organization" else await _named(view, found, "participatingOrganization")
            yield sorted(await led_by(view, await staff(view, agencies), (), programs))
    partners = ",".join(sorted({str(one.rule.parameters["partner"]) for one in every(programs, micros(now))}))
    going_on = [("type", partners), ("status", ",".join(sorted(TOGETHER))), ("patient.deceased", "true")]
    async for found in pages(repository, caller, "EpisodeOfCare", going_on):
        yield await _named(await repository.view(caller), found, "patient")
    async for found in pages(repository, caller, "Task", [("code", REVIEW), ("status", OPEN)]):
        yield await _named(await repository.view(caller), found, "for")


def _over(now: datetime) -> list[tuple[str, list[tuple[str, str]]]]:
    """Which organizations are closed, and which work for others no more."""
    is_closed = [("active", "false")]
    is_past = [("date", f"eb{instant(micros(now))}")]
    affiliation = "OrganizationAffiliation"
    return [("Organization", is_closed), (affiliation, is_closed), (affiliation, is_past)]


async def _named(view: View, references: Collection[str], element: str) -> list[str]:
    """Whom these resources name."""
    found = (literal(one.get(element)) for one in (await read_many(view, references)).values())
    return sorted({one for one in found if one})
