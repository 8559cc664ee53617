"""Request: the Task that asks for a transfer, as $handoff writes it. What it lacks the judgement of openings adds."""

from __future__ import annotations

from dataclasses import dataclass

from server.coordination import facts
from server.coordination.handoff.transfer import concept, put
from server.ledger import Change, Resource


@dataclass(frozen=True, slots=True)
class Wanted:
    """What $handoff is asked for; references are local, `effective` as the client wrote it."""

    patient: str
    program: str
    receiver: str
    reason: Resource
    considerations: tuple[Resource, ...] = ()
    effective: str | None = None
    requester: str | None = None


def requested(wanted: Wanted, id: str) -> Change:
    """The transfer's Task."""
    given: list[Resource] = []
    if wanted.effective:
        member = "valueDate" if len(wanted.effective) <= 10 else "valueDateTime"
        given.append({"type": concept(f"{facts.TRANSFER_INPUT}|effective"), member: wanted.effective})
    given += [consideration(one) for one in wanted.considerations]
    return put(
        {
            "resourceType": "Task",
            "id": id,
            "instantiatesCanonical": wanted.program,
            "status": "requested",
            "intent": "order",
            "code": concept(facts.TRANSFER),
            "for": {"reference": wanted.patient},
            **({"requester": {"reference": wanted.requester}} if wanted.requester else {}),
            "owner": {"reference": wanted.receiver},
            "reasonCode": wanted.reason,
            **({"input": given} if given else {}),
        }
    )


def consideration(weighed: Resource) -> Resource:
    """A consideration as Task.input: its type is what it is."""
    return {"type": weighed, "valueCodeableConcept": weighed}
