"""Conflict: where the plans of two organizations for one member contradict each other, told and never chosen between.

https://hl7.org/fhir/R4/goal.html, https://hl7.org/fhir/R4/careplan-definitions.html#CarePlan.activity

Compared is what is of one kind, by its codes or else its words: goals of the same measure with another value or date,
services in another scope or frequency, by others or not to be done at all, and needs that are met with other services.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from server.coordination.facts import literal, tokens
from server.coordination.facts.item import kinds
from server.coordination.plan.words import concept, quantity, timing, value
from server.coordination.program.program import Program, Rule
from server.coordination.responsibility.finding import Finding
from server.coordination.responsibility.item import PARTIES, Item
from server.ledger import Resource

CONTRADICTION = "contradiction"
GIVEN_UP = frozenset({"cancelled", "entered-in-error", "rejected"})  # Goal.lifecycleStatus
NOT = "not to be done"
UCUM = "http://unitsofmeasure.org"
SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "wk": 604_800}


class Statement(NamedTuple):
    """What one item says of something that both speak of."""

    item: Item
    says: str  # as a person reads it
    same: str  # what is compared


class Conflict(NamedTuple):
    """Statements of both, of which some differ."""

    about: str
    statements: tuple[Statement, ...]

    def of(self, party: str) -> str:
        return "; ".join(dict.fromkeys(one.says for one in self.statements if one.item.party == party))

    def finding(self, program: Program, rule: Rule) -> Finding:
        """As a coordination check tells it: both have to agree on it."""
        text = f"{self.about}: the two say different things: {' | '.join(map(self.of, PARTIES))}."
        items = tuple(dict.fromkeys(one.item for one in self.statements))
        return Finding(CONTRADICTION, self.about, text, (rule,), f"{program.canonical}#{rule.id}", items, None)


def conflicts(
    services: Sequence[Item], sources: Mapping[str, Resource], goals: Iterable[tuple[Item, Resource]]
) -> list[Conflict]:
    """Of services (with the resources that they are in) and goals (an item of each party that has it)."""
    done = [one for one in services if not detail_of(one, sources[one.reference]).get("doNotPerform")]
    return [
        *_differing(_services(services, sources)),
        *_differing(_goals(goals)),
        *_differing(_needs(done, sources)),
    ]


def refusals(resources: Iterable[Resource]) -> list[Resource]:
    """These CarePlans and ServiceRequests with nothing but what is not to be done, as if it were."""
    return [
        {**one, "activity": [_refused(each) for each in one.get("activity", ())]} | {"doNotPerform": False}
        for one in resources
        if one["resourceType"] == "CarePlan" or one.get("doNotPerform")
    ]


def _refused(activity: Resource) -> Resource:
    detail = activity.get("detail", {})
    return {"detail": {**detail, "doNotPerform": False}} if detail.get("doNotPerform") else {}


def _differing(found: Iterable[tuple[str, str, Statement]]) -> Iterator[Conflict]:
    """What both speak of and do not say the same of. `found` is (key, what a person calls it, statement)."""
    groups: dict[str, list[Statement]] = {}
    called: dict[str, str] = {}
    for key, name, statement in found:
        groups.setdefault(key, []).append(statement)
        called.setdefault(key, name)
    for key, group in groups.items():
        said = {party: {one.same for one in group if one.item.party == party} for party in PARTIES}
        if all(said.values()) and said["plan"] != said["partner"]:
            yield Conflict(called[key], tuple(one for one in group if one.item.party in PARTIES))


# Services


def _services(services: Iterable[Item], sources: Mapping[str, Resource]) -> Iterator[tuple[str, str, Statement]]:
    for item in services:
        told = _told(item, sources)
        says = ", ".join(told.values()) or "nothing more"
        for code in sorted(item.codes or item.categories):
            yield code, item.text, Statement(item, says, json.dumps(told, sort_keys=True))


def _told(item: Item, sources: Mapping[str, Resource]) -> dict[str, str]:
    if detail_of(item, sources[item.reference]).get("doNotPerform"):
        return {"doNotPerform": NOT}
    parts = described(item, sources)
    return {name: parts[name] for name in ("frequency", "amount", "provider") if parts.get(name)}


def described(item: Item, sources: Mapping[str, Resource]) -> dict[str, str]:
    """A service's frequency, amount, provider and time, in words."""
    detail = detail_of(item, sources[item.reference])
    when = detail.get("scheduledPeriod") or detail.get("occurrencePeriod") or {}
    return {
        "frequency": detail.get("scheduledString")
        or timing(detail.get("scheduledTiming") or detail.get("occurrenceTiming") or {}),
        "amount": quantity(detail.get("quantity") or detail.get("dailyAmount") or detail.get("quantityQuantity") or {}),
        "provider": ", ".join(
            filter(None, (one.get("display") or literal(one) for one in detail.get("performer", ())))
        ),
        "period": " to ".join(filter(None, (when.get("start"), when.get("end")))),
    }


def detail_of(item: Item, source: Resource) -> Resource:
    """Where the item stands in its source: CarePlan.activity.detail, or the ServiceRequest."""
    if not item.place:
        return source
    detail: Resource = activity_of(item, source)["detail"]
    return detail


def activity_of(item: Item, source: Resource) -> Resource:
    activity: Resource = source["activity"][int(item.place.removeprefix("activity[").removesuffix("]"))]
    return activity


# Goals


def _goals(goals: Iterable[tuple[Item, Resource]]) -> Iterator[tuple[str, str, Statement]]:
    """A goal's targets by their measures; without any, by the goal's description."""
    for item, goal in goals:
        if goal.get("lifecycleStatus") in GIVEN_UP:
            continue
        targets: list[Resource] = goal.get("target") or [{}]
        is_measured = any(tokens([one.get("measure", {})]) for one in targets)
        for target in targets:
            about = target.get("measure", {}) if is_measured else goal["description"]
            told = {name: _plain(said) for name, said in target.items() if name.startswith(("detail", "due"))}
            says = target_text(target) or concept(goal["description"])
            for code in kinds([about]) if told else ():
                yield code, concept(about), Statement(item, says, json.dumps(told, sort_keys=True))


def _plain(said: Any) -> Any:
    """A value as it is compared: 20 is 20.0, an hour 60 minutes, and a unit with a code has whatever name."""
    if isinstance(said, Mapping):
        return _quantity({name: _plain(one) for name, one in said.items()})
    if isinstance(said, (int, float, Decimal)) and not isinstance(said, bool):
        return f"{Decimal(str(said)).normalize():f}"
    return [_plain(one) for one in said] if isinstance(said, list) else said


def _quantity(said: dict[str, Any]) -> dict[str, Any]:
    if said.get("system") != UCUM or "value" not in said:
        return said
    kept = {name: one for name, one in said.items() if name != "unit"}
    if (seconds := SECONDS.get(said.get("code", ""))) is None:
        return kept
    return {**kept, "code": "s", "value": _plain(Decimal(said["value"]) * seconds)}


def target_text(target: Resource) -> str:
    """ "7 % by 2026-06-01"."""
    aim = next((value(said) for name, said in target.items() if name.startswith("detail")), "")
    due = target.get("dueDate") or next((quantity(said) for name, said in target.items() if name == "dueDuration"), "")
    return " ".join(filter(None, (aim, f"by {due}" if due else "")))


# Needs


def _needs(services: Sequence[Item], sources: Mapping[str, Resource]) -> Iterator[tuple[str, str, Statement]]:
    """A need by its code, its resource or its words, with all that each of both does about it."""
    doing: dict[str, dict[str | None, dict[str, Item]]] = {}
    called: dict[str, str] = {}
    for item in services:
        for need, name in needs_of(item, sources[item.reference]):
            service = " ".join(sorted(item.codes or item.categories)) or item.text
            doing.setdefault(need, {}).setdefault(item.party, {})[service] = item
            called.setdefault(need, name)
    for need, of in doing.items():
        for party in PARTIES:
            same = json.dumps(sorted(of.get(party, ())))
            for item in of.get(party, {}).values():
                yield f"need {need}", f"Need {called[need]}", Statement(item, item.text, same)


def needs_of(item: Item, source: Resource) -> Iterator[tuple[str, str]]:
    """(what it is told by, what it is called) of each need that a service is for."""
    detail = detail_of(item, source)
    for coded in detail.get("reasonCode", ()):
        yield from _worded(concept(coded), tokens([coded]))
    for link in (*detail.get("reasonReference", ()), *(source.get("addresses", ()) if item.place else ())):
        found = literal(link)
        yield from _worded(link.get("display") or found or "", [found] if found else [])


def _worded(name: str, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is called so under each of the keys; what has none, under its words."""
    return ((key, name) for key in keys or kinds([{"text": name}]))
