"""Item: what is done for a member: services that are ordered or planned, and contacts that took place.

https://hl7.org/fhir/R4/servicerequest.html, https://hl7.org/fhir/R4/careplan.html,
https://hl7.org/fhir/R4/encounter.html, https://hl7.org/fhir/R4/communication.html

What lasts is under the member; contacts and short services, of which there are many and a few weeks count, under the
member and the month, or both of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from server.coordination.facts.element import bounds, literals, token, tokens
from server.coordination.facts.vocabulary import BASE
from server.ledger import Fact, FactRow, Resource

BILLING = f"{BASE}/CodeSystem/ny-billing-party"
PARTY = {f"{BILLING}|plan": "plan", f"{BILLING}|health-home": "partner"}
OVER = frozenset({"cancelled", "stopped", "entered-in-error", "revoked", "draft"})
ONLY_MEANT = frozenset({"proposal", "option"})  # ServiceRequest.intent: nothing is ordered
TOOK_PLACE = frozenset({"finished", "in-progress", "onleave"})
COARSE = "http://terminology.hl7.org/CodeSystem/communication-category"  # a notice, an alert: no kind of contact


class Told(NamedTuple):
    """An item as its resource tells it; dates are FHIR's own."""

    source: str
    is_contact: bool
    billed: str | None  # "plan" or "partner", where a tag says who bills
    keepers: list[str]  # whose it is, where `by` does not say
    place: str  # within the resource: "" or "activity[2]"
    codes: list[str]  # tokens
    categories: list[str]
    text: str
    by: list[str]  # who performs it
    to: list[str]  # whom it was told, where that is no contact with the member
    start: str | None
    end: str | None


def of(fact: Fact) -> Iterator[Told]:
    is_contact, billed, keepers, entries = fact.data
    return (Told(fact.source, is_contact, billed, keepers, *entry) for entry in entries)


def _told(
    member: str, start: str | None, end: str | None, is_contact: bool, billed: str | None, *data: Any
) -> Iterator[FactRow]:
    """An item under the months of its start and its end, where these are not far from one another."""
    keys = [member]
    if start and end and len(end) > 4:  # a year's end is in its last month
        first, last = _month(start), _month(end)
        if 0 <= _number(last) - _number(first) <= 1:
            keys = [f"{member} {month}" for month in dict.fromkeys((first, last))]
    for key in keys:
        yield "item", key, [is_contact, billed, *data]


def _month(date: str) -> str:
    return date[:7] if len(date) > 4 else f"{date}-01"


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:7])


def service_request(request: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    if request.get("status") in OVER or request.get("intent") in ONLY_MEANT or request.get("doNotPerform"):
        return
    when = request.get("occurrencePeriod") or bounds(request.get("occurrenceTiming"))
    start = when.get("start") or request.get("occurrenceDateTime") or request.get("authoredOn")
    end = when.get("end") or request.get("occurrenceDateTime")
    if request.get("status") == "completed" and not end:
        return
    concepts, categories = [request.get("code", {})], request.get("category", [])
    text = _text([*concepts, *categories], "a service")
    by, keepers = literals(request.get("performer", ()), base_url), _present(base_url, request.get("requester"))
    entry = _entry("", kinds(concepts), kinds(categories), text, by, (start, end))
    yield from _told(member, start, end, False, _billed(request), keepers, [entry])


def care_plan(plan: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    if plan.get("status") in OVER:
        return
    entries = [
        entry
        for index, activity in enumerate(plan.get("activity", ()))
        if (entry := _activity(plan, index, activity.get("detail", {}), base_url))
    ]
    if entries:
        keepers = _present(base_url, plan.get("author"), *plan.get("contributor", ()))
        yield "item", member, [False, _billed(plan), keepers, entries]


def _activity(plan: Resource, index: int, detail: Resource, base_url: str) -> list[Any] | None:
    when = detail.get("scheduledPeriod") or bounds(detail.get("scheduledTiming")) or plan.get("period", {})
    is_over = "completed" in (detail.get("status"), plan.get("status")) and "end" not in when
    if not detail or detail.get("status") in OVER or detail.get("doNotPerform") or is_over:
        return None
    concepts = [detail.get("code", {})]
    text = _text(concepts, detail.get("description") or "an activity")
    by = literals(detail.get("performer", ()), base_url)
    return _entry(f"activity[{index}]", kinds(concepts), [], text, by, (when.get("start"), when.get("end")))


def encounter(encounter: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    when = encounter.get("period", {})
    start = when.get("start") or when.get("end")
    if encounter.get("status") not in TOOK_PLACE or not start:
        return
    concepts = [*encounter.get("type", ()), encounter.get("serviceType", {}), *encounter.get("reasonCode", ())]
    if not kinds(concepts):
        concepts = [{"coding": [encounter.get("class", {})]}]
    people = _present(base_url, *(one.get("individual") for one in encounter.get("participant", ())))
    by = _present(base_url, encounter.get("serviceProvider"))
    entry = _entry("", kinds(concepts), [], _text(concepts, "a visit"), by, (start, start))
    yield from _told(member, start, start, True, _billed(encounter), people, [entry])


def communication(communication: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    sent = communication.get("sent") or communication.get("received")
    if communication.get("status") != "completed" or not sent:
        return
    concepts = [communication.get("topic", {}), *communication.get("reasonCode", ())]
    topics = [token for token in kinds(communication.get("category", ())) if not token.startswith(f"{COARSE}|")]
    text = _text([*concepts, *communication.get("category", ())], "a contact")
    to = _present(base_url, *communication.get("recipient", ()))
    is_elsewhere = len(to) < len(communication.get("recipient", ())) or any(map(_is_of_member, to))
    entry = _entry("", [*kinds(concepts), *topics], [], text, [], (sent, sent), [] if is_elsewhere else to)
    sender = _present(base_url, communication.get("sender"))
    yield from _told(member, sent, sent, True, _billed(communication), sender, [entry])


def _is_of_member(recipient: str) -> bool:
    return recipient.startswith(("Patient/", "RelatedPerson/", "Group/"))


def _entry(
    place: str,
    codes: list[str],
    categories: list[str],
    text: str,
    by: list[str],
    when: tuple[str | None, str | None],
    to: Iterable[str] = (),
) -> list[Any]:
    return [place, codes, categories, text, by, list(to), *when]


def _present(base_url: str, *links: Resource | None) -> list[str]:
    return literals([link for link in links if link], base_url)


def _billed(resource: Resource) -> str | None:
    tags = (token(tag) for tag in resource.get("meta", {}).get("tag", ()) if "code" in tag)
    return next((PARTY[tag] for tag in tags if tag in PARTY), None)


def kinds(concepts: Iterable[Resource]) -> list[str]:
    """What makes two things of one kind: the codes, or, of what has none, the words, however they are written."""
    return [kind for concept in concepts for kind in tokens([concept]) or _worded(concept)]


def _worded(concept: Resource) -> list[str]:
    words = " ".join(concept.get("text", "").casefold().split())
    return [f"text|{words}"] if words else []


def _text(concepts: Iterable[Resource], otherwise: str) -> str:
    given = list(concepts)
    codings = [coding for concept in given for coding in concept.get("coding", ())]
    for text in (
        *(text for concept in given for text in _called(concept)),
        *(coding.get("code") for coding in codings),
    ):
        if text:
            return str(text)
    return otherwise


def _called(concept: Resource) -> list[str | None]:
    return [concept.get("text"), *(coding.get("display") for coding in concept.get("coding", ()))]
