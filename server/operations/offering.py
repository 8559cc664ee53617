"""Offering: what is to be offered and was not, by the background look: writes see to their own members.

This is for what comes with time, such as an enrollment's end, and for members who were eligible before their program
had the rule.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from server.auth.access import Caller
from server.coordination.enrolment.judgement import offered
from server.coordination.facts import literal
from server.coordination.program.programs import Programs, active
from server.fhir import body
from server.ledger import Context, Plan, Resource, View, micros
from server.repository import Repository

PAGE = "500"  # resources that say that somebody is eligible
TYPES = ("Observation", "Condition")


async def look(repository: Repository, caller: Caller, now: datetime) -> int:
    """How many Tasks were written; nothing is asked of the ledger where nothing is due."""
    programs, written = await active(await repository.view(caller)), 0
    for type in TYPES if (codes := _codes(programs, micros(now))) else ():
        async for patients in _eligible(repository, caller, type, codes):
            written += await _offered(repository, caller, patients, now)
    return written


def _codes(programs: Programs, now: int) -> list[str]:
    """The codes by which programs know who is eligible."""
    rules = (rule for url in programs for rule in programs.near(url, now).of_kind("offer"))
    return sorted({str(code) for rule in rules for code in rule.parameters["code"]})


async def _eligible(
    repository: Repository, caller: Caller, type: str, codes: Iterable[str]
) -> AsyncIterator[frozenset[str]]:
    """The members whom resources with these codes are about, a page of them at a time."""
    asked = [("code", ",".join(codes)), ("_count", PAGE)]
    query = await repository.parsed(type, asked, base_url="", lenient=False)
    token = None
    while True:
        page = await repository.search(caller, query, token)
        found: list[Resource] = [body.loads(version.body) for version in page.matches if version.body]
        yield frozenset(link for one in found if (link := literal(one.get("subject"), types=("Patient",))))
        if (token := page.next) is None:
            return


async def _offered(repository: Repository, caller: Caller, patients: frozenset[str], now: datetime) -> int:
    context = Context("", now)

    async def decide(view: View) -> Plan:
        return Plan(await offered(context, view, await active(view), patients))

    if not (await decide(await repository.view(caller))).changes:
        return 0
    return len((await repository.commit(caller, decide)).versions)
