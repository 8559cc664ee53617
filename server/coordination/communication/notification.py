"""Notification: the other organization is told of a change to what two share of a member: plan, needs, services.

https://hl7.org/fhir/R4/communication.html

In the commit that makes the change, and once for each commit, member and recipient, whatever it changes. Told is of
what others do: never who acts, and nothing of what the local system writes, which acts for nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.actor import organizations
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment, directory
from server.coordination.assignment.assignment import Member
from server.coordination.communication import demographics, template
from server.coordination.communication.letter import CATEGORY, MODE, post
from server.coordination.facts import literal
from server.coordination.lead.terms import Pair, Terms, every, pair_at
from server.coordination.program.program import Rule
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.fhir import body
from server.ledger import Change, Context, Resource, Version, View, instant, micros

KIND = "notification"
SUBJECT = ("subject", "patient", "for", "individual")  # where a resource says whom it is about


class Told(NamedTuple):
    """A change of which somebody is to be told: what was there, what is there; None for what is not."""

    reference: str
    was: Resource | None
    now: Resource | None

    @property
    def text(self) -> str:
        """ "CarePlan/1 is changed (active): Plan of care"."""
        what = self.now or self.was or {}
        done = "is changed" if self.now and self.was else "is new" if self.now else "is deleted"
        status = what.get("status") or what.get("lifecycleStatus") or ""
        said = what.get("title") or _coded(what.get("code") or what.get("description") or "")
        return f"{self.reference} {done}{f' ({status})' if status and self.now else ''}{f': {said}' if said else ''}"


def _coded(given: Resource | str) -> str:
    if isinstance(given, str):
        return given
    displays = (one.get("display") for one in given.get("coding", ()))
    return str(given.get("text") or next(filter(None, displays), ""))


async def told(context: Context, before: View, changes: Sequence[Change], after: View) -> list[Change]:
    """The Communications that these changes take and that are not among them."""
    if context.actor is None or context.override is AS_RECORDED:
        return []
    programs, now = await active(after), micros(context.now)
    if KIND not in programs.kinds:
        return []
    ruled = [(terms, rules) for terms in every(programs, now) if (rules := _rules(terms, now))]
    watched = {type for _, rules in ruled for rule in rules for type in rule.triggers}
    found = await _changed(before, [change for change in changes if change.type in watched]) if watched else []
    about = {one.reference: _patients(one, context.base_url) for one in found}
    if not any(about.values()):
        return []
    members = await assignment.members(after, {patient for patients in about.values() for patient in patients})
    there = {change.reference for change in changes}
    made: list[Change] = []
    for member in {id(one): one for one in members.values()}.values():
        for terms, rules in ruled:
            if pair := pair_at(member, terms, now):
                own = [one for one in found if not about[one.reference].isdisjoint(member.patients)]
                made += await _notices(context, after, terms, member, pair, _due(rules, own))
    return [change for change in made if change.reference not in there]


def _rules(terms: Terms, now: int) -> list[Rule]:
    return [rule for rule in terms.program.of_kind(KIND) if period.holds([rule.period], now)]


async def _changed(before: View, changes: Sequence[Change]) -> list[Told]:
    """What the changes change: one that writes what is there already is none."""
    stored = await before.read_many([change.reference for change in changes])
    return [
        Told(change.reference, _body(version), change.resource)
        for change in changes
        for version in (stored.get(change.reference),)
        if _is_change(change, version)
    ]


def _is_change(change: Change, version: Version | None) -> bool:
    if version is None or version.body is None:
        return change.resource is not None
    return change.resource is None or change.stamped(version.position, version.at) != version.body


def _body(version: Version | None) -> Resource | None:
    return dict(body.parse(version.body).resource) if version and version.body else None


def _patients(one: Told, base_url: str) -> set[str]:
    """Whom it is about, and was."""
    sides = [side for side in (one.was, one.now) if side]
    links = (literal(side.get(name), base_url, ("Patient",)) for side in sides for name in SUBJECT)
    return {link for link in links if link}


def _due(rules: Sequence[Rule], own: Sequence[Told]) -> list[tuple[Rule, Told]]:
    """What is told of a member, each change by the first rule that it triggers."""
    first = ((next((rule for rule in rules if _triggers(rule, one)), None), one) for one in own)
    return [(rule, one) for rule, one in first if rule]


def _triggers(rule: Rule, one: Told) -> bool:
    """True of what the rule looks at, as it is or as it was."""
    type, id = one.reference.split("/")
    sides = [side for side in (one.was, one.now) if side]
    return type in rule.triggers and any(rule.is_triggered([Change("PUT", type, id, side)]) for side in sides)


async def _notices(
    context: Context, after: View, terms: Terms, member: Member, pair: Pair, due: Sequence[tuple[Rule, Told]]
) -> list[Change]:
    """One for each recipient."""
    if not due:
        return []
    recipients = await _recipients(context, after, terms, pair)
    if not recipients:
        return []
    called = demographics.name((await directory.read(after, member.patient)).get("name"), micros(context.now), "UTC")
    texts = list(dict.fromkeys(text for rule, _ in due for text in rule.parameters["notice-text"]))
    lines = [*template.filled(texts, {"member": called or "the member"}), *(one.text for _, one in due)]
    return [_notice(context, member, recipient, [one.reference for _, one in due], lines) for recipient in recipients]


def _notice(context: Context, member: Member, recipient: str, about: Sequence[str], lines: Sequence[str]) -> Change:
    return post(
        {
            "resourceType": "Communication",
            "id": context.derive(f"notice to {recipient} of changes for {member.patient}"),
            "status": "completed",
            "category": [{"coding": [{"system": CATEGORY, "code": "notification"}]}],
            "medium": [{"coding": [{"system": MODE, "code": "ELECTRONIC"}]}],
            "subject": {"reference": member.patient},
            "about": [{"reference": one} for one in about],
            "sent": instant(micros(context.now)),
            "recipient": [{"reference": recipient}],
            "sender": {"reference": context.actor},
            "payload": [{"contentString": line} for line in lines],
        }
    )


async def _recipients(context: Context, after: View, terms: Terms, pair: Pair) -> list[str]:
    """The two organizations that share a member under an agreement now, but for whom somebody acts."""
    if not await _is_shared(after, terms, pair, micros(context.now)):
        return []
    own = await organizations(after, str(context.actor), micros(context.now))
    return [one for one in pair.organizations if one not in own]


async def _is_shared(after: View, terms: Terms, pair: Pair, now: int) -> bool:
    if not period.holds([terms.agreement.period], now):
        return True
    return await agreement.in_force(after, terms.program, pair.organizations, now) is not None
