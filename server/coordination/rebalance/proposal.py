"""Proposal: the moves as Tasks that are only proposed, with what each costs and why.

https://hl7.org/fhir/R4/task.html

Each is a draft of the transfer that applying it opens, in the same terms and with the id that its Task will have. Its
`identifier` is the move's id: whom, from whom and to whom, so that it can be judged at any later position, whatever was
proposed beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

from server.coordination import facts
from server.coordination.facts import BASE
from server.coordination.handoff.protocol import of
from server.coordination.handoff.request import consideration
from server.coordination.handoff.transfer import concept
from server.coordination.rebalance import wording
from server.coordination.rebalance.reading import Reading
from server.coordination.rebalance.situation import NOBODY, Move, Solution
from server.ledger import Resource

MOVE = f"{BASE}/sid/rebalance-move"
CODES = f"{BASE}/CodeSystem/rebalance"
NAMESPACE = uuid.UUID("3f1f7c57-6e0c-5d4e-8a77-2a0a5d1b9c3e")  # of the ids of proposed transfers


class Chosen(NamedTuple):
    """A move, as its id says it."""

    patient: str
    sender: str
    receiver: str

    @property
    def id(self) -> str:
        return " ".join(self)

    def task(self, organization: str, program: str, position: int) -> str:
        """The id of the transfer's Task: it follows from the proposal and the move, so that it is opened once."""
        url = program.partition("|")[0]
        return str(uuid.uuid5(NAMESPACE, f"{organization} {url} {position} {self.id}"))

    @classmethod
    def of(cls, id: str) -> Chosen | None:
        """The move of an id; None where it is none."""
        parts = id.split(" ")
        types = ("Patient", "PractitionerRole", "PractitionerRole")
        if len(parts) != 3 or any(
            facts.literal({"reference": part}, "", (type,)) != part for part, type in zip(parts, types, strict=True)
        ):
            return None
        return cls(*parts)


def chosen(reading: Reading, move: Move) -> Chosen:
    """What a move does."""
    managers = reading.situation.managers
    return Chosen(
        reading.situation.members.patients[move.member], reading.roles[move.member], managers[move.receiver].reference
    )


def transfers(solution: Solution) -> list[Move]:
    """The moves that are transfers; the others are placements."""
    return [move for move in solution.moves if move.sender != NOBODY]


def placements(solution: Solution) -> list[Move]:
    """Who has nobody, and where there is a place for them."""
    return [move for move in solution.moves if move.sender == NOBODY]


def bundle(reading: Reading, solution: Solution, reason: Resource, position: int) -> Resource:
    """The proposed Tasks, of a proposal that was read at a position."""
    tasks = [_task(reading, move, reason, position) for move in transfers(solution)]
    entries = [{"fullUrl": f"urn:uuid:{task['id']}", "resource": task} for task in tasks]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def weighed(reading: Reading, move: Move) -> list[Resource]:
    """The program's considerations that have a part in the move."""
    protocol = of(reading.terms.program)
    known = {token.rpartition("|")[2]: token for token in protocol.considerations} if protocol else {}
    having = {
        "member-need-continuity": bool(reading.situation.members.continuity[move.member]),
        "cm-location": move.miles is not None,
        "long-term-relationship": move.sender != NOBODY,
        "provider-location": move.provider_miles is not None,
    }
    return [concept(known[code]) for code, has in having.items() if has and code in known]


def _task(reading: Reading, move: Move, reason: Resource, position: int) -> Resource:
    one = chosen(reading, move)
    team = reading.teams[move.member]
    return {
        "resourceType": "Task",
        "id": one.task(reading.terms.asked.organization, reading.terms.program.url, position),
        "identifier": [{"system": MOVE, "value": one.id}],
        "instantiatesCanonical": reading.terms.program.canonical,
        "status": "draft",
        "intent": "proposal",
        "code": concept(facts.TRANSFER),
        "description": wording.move(reading, move),
        **({"focus": {"reference": team}} if team else {}),
        "for": {"reference": one.patient},
        "owner": _link(reading, move.receiver),
        "reasonCode": reason,
        "input": list(_inputs(reading, move, one)),
    }


def _link(reading: Reading, manager: int) -> Resource:
    """A manager; one who is only supposed is named and not referred to."""
    one = reading.situation.managers[manager]
    return {"reference": one.reference, "display": one.name} if "/" in one.reference else {"display": one.name}


def _inputs(reading: Reading, move: Move, one: Chosen) -> Iterator[Resource]:
    yield _term("from", {"reference": one.sender, "display": reading.situation.managers[move.sender].name})
    yield _term("to", _link(reading, move.receiver))
    yield _term("organization", {"reference": reading.terms.asked.organization})
    yield from map(consideration, weighed(reading, move))
    yield _said("cost", "valueInteger", move.cost)
    for name, part in move.parts.items():
        yield _said(name, "valueInteger", part)
    if move.alternative is not None:
        yield _said("alternative", "valueReference", _link(reading, move.alternative))
        yield _said("alternative-cost", "valueInteger", move.extra)
    if move.kept is not None:
        yield _said("stay-cost", "valueInteger", move.kept)


def _term(name: str, value: Resource) -> Resource:
    return {"type": concept(f"{facts.TRANSFER_INPUT}|{name}"), "valueReference": value}


def _said(code: str, member: str, value: object) -> Resource:
    return {"type": concept(f"{CODES}|{code}"), member: value}
