"""Indicators beside the ratio: can members reach their case managers, and is the service plan looked after?

What the limits are for, by Iowa's evaluation: reachability, responsiveness, oversight of the service plan. No document
names a deadline, so there is none here: a window is the asker's, and without one the times themselves are told.
The Measures in profiles/ define each in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.caseload.census import Census
from server.coordination.facts import Followed, Message
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.ledger import Fact, View

MINUTE = 60 * 1_000_000


class Item(NamedTuple):
    """One of a denominator: the evidence, who was responsible, whether it is in the numerator, and its time."""

    evidence: tuple[str, ...]
    person: str | None
    counts: bool
    value: int | None = None  # minutes or days


@dataclass(slots=True)
class Indicator:
    """One Measure's numbers for one organization. `unit` is UCUM's, of the items' values."""

    measure: str
    improvement: str
    value: str
    unit: str
    items: list[Item] = field(default_factory=list)


class Asked(NamedTuple):
    """The time that an indicator is of, as of when, and the asker's windows."""

    program: Program
    at: int
    window: Interval
    answer_minutes: int | None = None
    follow_up_days: int | None = None


class _Person(NamedTuple):
    """A member, who has them when, and every reference that stands for the member."""

    member: Member
    managers: list[tuple[str, list[Interval]]]
    enrolled: list[Interval]

    def manager(self, at: int) -> str | None:
        return next((person for person, times in self.managers if period.holds(times, at)), None)


async def indicators(view: View, counted: Census, asked: Asked) -> list[Indicator]:
    """The indicators of an organization's members, in a handful of queries."""
    people = _people(counted)
    patients = [patient for one in people for patient in one.member.patients]
    communications = await view.facts("communication", patients)
    messages = {
        id(one): [Message.of(fact) for patient in one.member.patients for fact in communications[patient]]
        for one in people
    }
    senders = {link for found in messages.values() for one in found for link in (one.sender, *one.recipients) if link}
    persons = await assignment.practitioners(view, [one for one in senders if one.startswith("PractitionerRole/")])
    persons |= {one: one for one in senders if one.startswith("Practitioner/")}
    contacts = [
        contact for one in people for contact in _contacts(one, messages[id(one)], persons, counted.organization, asked)
    ]
    reviews, plans = await view.facts("review", patients), await view.facts("plan", patients)
    return [
        _answered(contacts, asked),
        _unanswered(contacts, asked),
        _reviewed(people, reviews, plans, asked),
        _followed_up(people, plans, asked),
    ]


def _people(counted: Census) -> list[_Person]:
    managers: dict[int, list[tuple[str, list[Interval]]]] = {}
    for person, served in sorted(counted.managers.items()):
        for each in served:
            managers.setdefault(id(each.member), []).append((person, each.times))
    return [_Person(one.member, managers.get(id(one.member), []), one.enrolled) for one in counted.members]


# Contacts


class _Contact(NamedTuple):
    """What a member asked, when, of whom, and the first answer of a case manager."""

    communication: str
    person: str | None
    at: int
    answer: tuple[int, str] | None  # when, and the Communication


def _contacts(
    one: _Person, messages: list[Message], persons: Mapping[str, str | None], organization: str, asked: Asked
) -> Iterable[_Contact]:
    zone = asked.program.zone
    for message in messages:
        at = period.starts(message.received or message.sent, zone)
        is_asked = at != period.ALWAYS and period.holds([asked.window], at) and at <= asked.at
        if not (
            is_asked
            and period.holds(one.enrolled, at)
            and _is_by_member(one, message)
            and _is_to_manager(one, message, persons, organization, at)
        ):
            continue
        answers = [
            (answered, other.communication)
            for other in messages
            if (answered := period.starts(other.sent or other.received, zone)) >= at
            and answered <= asked.at
            and _is_answer(one, other, message, persons, at, answered)
        ]
        first = min(answers, default=None)
        yield _Contact(message.communication, one.manager(at), at, first)


def _is_by_member(one: _Person, message: Message) -> bool:
    """By the member or somebody who speaks for them, and no answer itself."""
    sender = message.sender or ""
    return (sender in one.member.patients or sender.startswith("RelatedPerson/")) and not message.answers


def _is_to_manager(
    one: _Person, message: Message, persons: Mapping[str, str | None], organization: str, at: int
) -> bool:
    """To nobody by name, to the organization, or to who has the member then."""
    manager = one.manager(at)
    return not message.recipients or any(
        link == organization or (link is not None and manager is not None and persons.get(link) == manager)
        for link in message.recipients
    )


def _is_answer(
    one: _Person, other: Message, message: Message, persons: Mapping[str, str | None], at: int, answered: int
) -> bool:
    """By whose member it is when asked or answered; in response to it, or to the member, not saying to what."""
    sender = persons.get(other.sender or "")
    if sender is None or sender not in {one.manager(at), one.manager(answered)}:
        return False
    if other.answers:
        return message.communication in other.answers
    return any(link in one.member.patients or link == message.sender for link in other.recipients)


def _answered(contacts: Iterable[_Contact], asked: Asked) -> Indicator:
    made = Indicator("contact-answer", "increase", "time-to-answer", "min")
    for one in contacts:
        minutes = (one.answer[0] - one.at) // MINUTE if one.answer else None
        within = minutes is not None and (asked.answer_minutes is None or minutes <= asked.answer_minutes)
        evidence = (one.communication, one.answer[1]) if one.answer else (one.communication,)
        made.items.append(Item(evidence, one.person, within, minutes))
    return made


def _unanswered(contacts: Iterable[_Contact], asked: Asked) -> Indicator:
    made = Indicator("contact-unanswered", "decrease", "time-waiting", "min")
    for one in contacts:
        waiting = None if one.answer else (asked.at - one.at) // MINUTE
        is_late = waiting is not None and (asked.answer_minutes is None or waiting > asked.answer_minutes)
        made.items.append(Item((one.communication,), one.person, is_late, waiting))
    return made


# The service plan


def _reviewed(
    people: Iterable[_Person], reviews: Mapping[str, list[Fact]], plans: Mapping[str, list[Fact]], asked: Asked
) -> Indicator:
    made = Indicator("plan-review", "increase", "since-review", "d")
    zone = asked.program.zone
    for one in _with_plan(people, plans, asked):
        ends = sorted(
            (ended, fact.source)
            for patient in one.member.patients
            for fact in reviews[patient]
            if (ended := period.starts(fact.data, zone)) <= asked.at
        )
        in_time = [source for ended, source in ends if period.holds([asked.window], ended)]
        days = period.days(ends[-1][0], asked.at, zone) if ends else None
        evidence = (one.member.patient, *in_time)
        made.items.append(Item(evidence, one.manager(asked.at), bool(in_time), days))
    return made


def _with_plan(people: Iterable[_Person], plans: Mapping[str, list[Fact]], asked: Asked) -> Iterable[_Person]:
    for one in people:
        if period.holds(one.enrolled, asked.at) and any(_plans(one, plans, asked)):
            yield one


def _plans(one: _Person, plans: Mapping[str, list[Fact]], asked: Asked) -> Iterable[Followed]:
    """The member's active plans whose period holds then."""
    for patient in one.member.patients:
        for plan in map(Followed.of, plans[patient]):
            if period.holds([period.between(plan.start, plan.end, asked.program.zone)], asked.at):
                yield plan


def _followed_up(people: Iterable[_Person], plans: Mapping[str, list[Fact]], asked: Asked) -> Indicator:
    made = Indicator("plan-follow-up", "decrease", "since-follow-up", "d")
    for one in people:
        if period.holds(one.enrolled, asked.at):
            for plan in _plans(one, plans, asked):
                made.items += [_activity(plan, times, one.manager(asked.at), asked) for _, times in plan.activities]
    return made


def _activity(plan: Followed, times: Iterable[str], person: str | None, asked: Asked) -> Item:
    zone = asked.program.zone
    last = max((at for text in times if (at := period.starts(text, zone)) <= asked.at), default=None)
    days = None if last is None else period.days(last, asked.at, zone)
    is_long = days is None or (asked.follow_up_days is not None and days > asked.follow_up_days)
    return Item((plan.plan,), person, is_long, days)
