"""Provenance: on what grounds a rule was overridden, and by whom, in the commit that it is of.

https://hl7.org/fhir/R4/provenance.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server.fhir.body import Body
from server.ledger import Change, Resource, instant
from server.operations.call import Call


def provenance(call: Call, changes: Iterable[Change], reason: dict[str, Any], now: int, id: str) -> Change:
    """That these were written for a coded reason, by who acts."""
    who = {"reference": call.caller.actor} if call.caller.actor else {"display": "The local system"}
    made: Resource = {
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": change.reference} for change in changes],
        "recorded": instant(now),
        "reason": [reason],
        "agent": [{"who": who}],
    }
    return Change("POST", "Provenance", id, made, Body.of(made).text(id))
