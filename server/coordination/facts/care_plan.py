"""CarePlan: whose it is, when its open activities were followed up, and the services among them.

https://hl7.org/fhir/R4/careplan.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts import item
from server.coordination.facts.element import bounds, literal, literals, period
from server.coordination.facts.service_request import service
from server.ledger import Fact, FactRow, Resource


class Followed(NamedTuple):
    """An active CarePlan, and for each open activity that it describes itself, when it was followed up.

    `keepers` are its author and contributors, `wholes` the plans that it is part of.
    """

    plan: str
    start: str | None
    end: str | None
    activities: list[tuple[int, list[str]]]  # CarePlan.activity[place], and its progress's times
    keepers: list[str]
    wholes: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Followed:
        return cls(fact.source, *fact.data)


def rows(plan: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one CarePlan."""
    member = literal(plan.get("subject"), base_url, ("Patient",))
    if member is None:
        return
    if plan.get("status") == "active":
        yield from _active(plan, member, base_url)
    yield from item.care_plan(plan, member, base_url)


def _active(plan: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    followed: list[tuple[int, list[str]]] = []  # each open activity that the plan itself describes, and when it was
    services: list[FactRow] = []
    for place, activity in enumerate(plan.get("activity", ())):
        detail = activity.get("detail")
        if detail is None or (status := detail.get("status")) not in _OPEN_ACTIVITY:
            continue
        progress = activity.get("progress", ())
        followed.append((place, [note["time"] for note in progress if "time" in note]))
        if status in _UNDER_WAY and "performer" in detail and not detail.get("doNotPerform"):
            scheduled = detail.get("scheduledPeriod") or bounds(detail.get("scheduledTiming"))
            services += service(member, detail["performer"], scheduled.get("end"), base_url)
    keepers = literals([plan[name] for name in ("author",) if name in plan] + plan.get("contributor", []), base_url)
    wholes = literals(plan.get("partOf", ()), base_url, ("CarePlan",))
    yield "plan", member, [*period(plan), followed, keepers, wholes]
    yield from services


_OPEN_ACTIVITY = frozenset({"not-started", "scheduled", "in-progress", "on-hold"})
_UNDER_WAY = frozenset({"scheduled", "in-progress"})
