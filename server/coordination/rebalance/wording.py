"""Wording: each move in words: why this member, why there, what it costs, and what would be next best."""

from __future__ import annotations

from server.coordination.rebalance.reading import Reading
from server.coordination.rebalance.situation import NOBODY, Move, Shortage
from server.coordination.rebalance.terms import LIMITLESS

PARTS = {
    "move": "the move itself",
    "tenure": "the relationship that ends",
    "continuity": "the continuity that the member needs",
    "distance": "the miles to the new case manager",
    "distance-now": "less for the miles to the present one",
    "provider-distance": "the miles from the providers to the new case manager",
    "provider-distance-now": "less for those to the present one",
    "new-manager": "a case manager who is new",
    "at-least": "what a move costs at least",
}


def move(reading: Reading, one: Move) -> str:
    """A move, in sentences that a supervisor can check."""
    return " ".join(filter(None, (_why(reading, one), _where(reading, one), _cost(one), _next_best(reading, one))))


def _why(reading: Reading, one: Move) -> str:
    managers, patient = reading.situation.managers, reading.situation.members.patients[one.member]
    if one.sender == NOBODY:
        return f"{patient} has no case manager."
    sender = managers[one.sender]
    held = reading.held[one.sender]
    if sender.leaves:
        return f"{sender.name} leaves, and has {_many(held, 'member')}."
    above = held + sender.others - reading.terms.limit
    if above > 0:
        reserved = f", and {_many(sender.others, 'place')} reserved" if sender.others else ""
        return f"{sender.name} has {_many(held, 'member')}{reserved}; the limit is {reading.terms.limit}."
    if reading.situation.weighted and held <= sender.keeps:
        return (
            f"{sender.name} has more weighted workload than the limit allows, or the average takes more case managers."
        )
    return f"The average of {reading.terms.average} takes more case managers with members; {sender.name} has {held}."


def _where(reading: Reading, one: Move) -> str:
    receiver = reading.situation.managers[one.receiver]
    found = [f"{receiver.name} has {_many(reading.held[one.receiver], 'member')} and room for {receiver.room}"]
    if one.miles is not None:
        now = f" (now {one.miles_now})" if one.miles_now is not None else ""
        found.append(f"is {one.miles} miles from the member{now}")
    if one.provider_miles is not None:
        now = f" (now {one.provider_miles_now})" if one.provider_miles_now is not None else ""
        found.append(f"{one.provider_miles} miles from the member's providers on average{now}")
    if one.miles is None and one.provider_miles is None:
        found.append("how far away is not known")
    return ", ".join(found) + "."


def _cost(one: Move) -> str:
    parts = ", ".join(f"{PARTS[name]} {part}" for name, part in one.parts.items())
    months = f" They have been together for {_many(one.months, 'month')}." if one.sender != NOBODY else ""
    return f"Cost {one.cost}: {parts or 'nothing'}.{months}"


def _next_best(reading: Reading, one: Move) -> str:
    found = ""
    if one.alternative is not None:
        name = reading.situation.managers[one.alternative].name
        found = f"Next best with a place left is {name}, for {one.extra or 'no'} more."
    if one.kept is not None:
        more = f"at least {one.kept} more" if one.kept else "another way may cost the same"
        found += f" Were the member to stay: {more}."
    elif one.sender != NOBODY and not reading.situation.managers[one.sender].leaves:
        found += " The member cannot stay: no other could go instead."
    return found.strip()


def shortage(reading: Reading, one: Shortage) -> str:
    """What is lacking, and under which limit."""
    area = f" in {one.area}" if one.area else ""
    if one.limit == "continuity" and one.at is not None:
        manager = reading.situation.managers[one.at]
        return (
            f"{manager.name} stays {one.members} above the limit: members who need continuity, who are in transfer or "
            "whose assignment ends on a date are kept. Release some of the first (release), or raise the limit."
        )
    limit = {
        "manager": f"at most {_many(reading.terms.limit, 'member')} for each"
        if reading.terms.limit < LIMITLESS
        else "no limit",
        "average": f"at most {reading.terms.average} on average",
        "workload": f"at most {reading.situation.full_load} of weighted workload for each",
    }[one.limit]
    needed = "case manager is" if one.managers == 1 else "case managers are"
    return f"{one.managers} more {needed} needed{area}: {limit}, and {_many(one.members, 'member')} there."


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
