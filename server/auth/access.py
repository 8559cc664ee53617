"""Who is calling, and for whom. Every call of the repository is made as one caller.

A caller acts for organizations: itself, that of a PractitionerRole, or those at which a Practitioner has a role now.
What it may see follows from that (`auth.sight`); what it may do, the rules say. https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from server.coordination import period
from server.coordination.actor import held
from server.coordination.agreement.agreement import partners
from server.coordination.facts import Role
from server.coordination.lead.terms import every
from server.coordination.program.programs import active
from server.ledger import View, instant

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: a reference such as "PractitionerRole/7", or None for the local system caller, who may do all."""

    actor: str | None = None


SYSTEM = Caller()


class Gate(NamedTuple):
    """Where members are shared under an agreement: who has a member enrolled by one of `types`, and somebody else by
    one of `others`, sees what that one keeps if they have an agreement in force: if it is among `partners`.
    """

    types: frozenset[str]  # EpisodeOfCare.type, as tokens
    others: frozenset[str]
    partners: frozenset[str]


class Acting(NamedTuple):
    """For whom a caller acts: references, all that its own sight depends on."""

    actor: str
    persons: tuple[str, ...]  # the actor, where it is a person, with that person's other names
    organizations: tuple[str, ...]
    gates: tuple[Gate, ...] = ()
    day: str = ""  # what ended before it is over, in whatever time zone


async def acting(view: View, actor: str, now: int) -> Acting:
    """For whom an actor acts, and under which agreements, at an instant in microseconds since the epoch."""
    if actor.startswith("Organization/"):
        return Acting(actor, (), (actor,), await _gates(view, (actor,), now), _day(now))
    if not actor.startswith(("PractitionerRole/", "Practitioner/")):
        return Acting(actor, (actor,), ())
    known = [Role.of(row) for row in (await view.facts("role", [actor]))[actor]]
    roles = await held(view, known, now)
    if known and not roles:
        return Acting(actor, (), ())  # nobody's role any more, or a person who is there no more
    organizations = tuple(sorted({one.organization for one in roles if one.organization}))
    persons = tuple(sorted({actor, *_names(roles)}))
    return Acting(actor, persons, organizations, await _gates(view, organizations, now), _day(now))


def _day(now: int) -> str:
    """Yesterday in UTC."""
    return instant(now - DAY)[:10]


def _names(roles: Iterable[Role]) -> set[str]:
    return {name for role in roles for name in (role.reference, role.practitioner) if name}


async def _gates(view: View, organizations: tuple[str, ...], now: int) -> tuple[Gate, ...]:
    """Those of the programs whose members two organizations have under an agreement."""
    found: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}
    for terms in every(await active(view), now):
        if period.holds([terms.agreement.period], now):
            with_us = await partners(view, terms.program, organizations, now)
            of = frozenset({terms.rule.parameters["partner"]}), with_us
            found[of] = found.get(of, frozenset()) | terms.program.types
    both = [Gate(types, partner, with_us) for (partner, with_us), types in found.items()]
    return (*both, *(Gate(one.others, one.types, one.partners) for one in both))
