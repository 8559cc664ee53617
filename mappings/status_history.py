"""EpisodeOfCare.statusHistory: the statuses that an episode had, kept as rows change its status and its period.

https://hl7.org/fhir/R4/episodeofcare-definitions.html#EpisodeOfCare.statusHistory
"""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

_WITHDRAWN = {"entered-in-error", "cancelled"}  # what never was has had no status


def kept(before: Resource, after: Resource, today: str) -> list[Resource]:
    """The history after a change. `today` is a date: an end that is to come belongs to no past status yet."""
    history = [_moved(past, before, after) for past in before.get("statusHistory", ())]
    history = [past for past in history if past]
    if _ends(before, after, today, bool(history)):
        history.append(_past(before, after, history))
    return history


def _moved(past: Resource, before: Resource, after: Resource) -> Resource:
    """A past status that ended, or began, with the episode moves with it; {} where the episode goes on instead."""
    old, new, period = before.get("period", {}), after.get("period", {}), dict(past.get("period", {}))
    for bound in ("start", "end"):
        if bound in period and period[bound] == old.get(bound) != new.get(bound):
            if bound not in new:
                return {}
            period[bound] = new[bound]
    return past | {"period": period}


def _ends(before: Resource, after: Resource, today: str, has_history: bool) -> bool:
    """Whether the status before is past now. One that was planned was held, where nothing else is told."""
    if after["status"] != "finished" or before["status"] in {"finished", *_WITHDRAWN}:
        return False
    return has_history or (before["status"] != "planned" and after.get("period", {}).get("end", "9999") <= today)


def _past(before: Resource, after: Resource, history: list[Resource]) -> Resource:
    last = max((past["period"].get("end", "") for past in history), default="")
    period = after.get("period", {})
    bounds = {"start": last or period.get("start"), "end": period.get("end")}
    return {"status": before["status"], "period": {name: value for name, value in bounds.items() if value}}
