"""Form: the questionnaire on which two organizations write down who leads, on which needs of the member.

https://hl7.org/fhir/R4/questionnaireresponse.html

It answers what the decision is, and whatever else its Questionnaire requires, where that is stored here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.coordination.facts import Designation, literal, token
from server.coordination.lead.terms import FORM, Terms
from server.coordination.stored import read
from server.coordination.write import Place, refusal
from server.fhir import canonical
from server.ledger import Resource, View
from server.outcome import Issue

DONE = frozenset({"completed", "amended"})


def refused(terms: Terms, why: str, place: Place) -> Issue:
    """Refused by what the program's rule about leads says of the form."""
    return refusal(terms.program, terms.rule, why, place, part=terms.demand(FORM))


async def wrong(
    after: View,
    form: Resource | None,
    found: Designation,
    terms: Terms,
    patients: Sequence[str],
    person: str | None,
    base_url: str,
) -> list[tuple[str, str]]:
    """Why a form is not the one of this designation: (place, why). It may name the lead's `person`, a Practitioner."""
    if form is None:
        return [("QuestionnaireResponse", f"There is no {found.form or 'form'}, on which the decision would stand.")]
    judged = {terms.rule.parameters["form-lead"], terms.rule.parameters["form-need"]}
    required = unanswered(await _items_of(after, form), form.get("item", ())) if form.get("status") in DONE else ()
    return [
        *_otherwise(form, found, terms, patients, person, base_url),
        *((_place(link), f"The form requires an answer to {link}.") for link in required if link not in judged),
    ]


def _otherwise(
    form: Resource, found: Designation, terms: Terms, patients: Sequence[str], person: str | None, base_url: str
) -> Iterator[tuple[str, str]]:
    """Where a form says otherwise than the designation, or not at all."""
    wanted = terms.rule.parameters
    if canonical.parse(form.get("questionnaire", "")).url != canonical.parse(wanted["form"]).url:
        yield "QuestionnaireResponse.questionnaire", f"The decision stands on the form {wanted['form']}."
    if form.get("status") not in DONE:
        yield "QuestionnaireResponse.status", "The form is not completed."
    if literal(form.get("subject"), base_url) not in patients:
        yield "QuestionnaireResponse.subject", f"The form is about the member, {found.patient}."
    named = [literal(one, base_url) for one in _answers(form, wanted["form-lead"], "valueReference")]
    if len(named) != 1 or named[0] is None or named[0] not in (found.lead, person):
        who = " and ".join(str(one) for one in named) or "nobody"
        yield _place(wanted["form-lead"]), f"The form names {who} as the lead, and the designation {found.lead}."
    needs = {token(one) for one in _answers(form, wanted["form-need"], "valueCoding") if "code" in one}
    coded = set(found.needs) & set(wanted["need"])
    if coded and not coded <= needs <= set(found.needs):
        told = ", ".join(sorted(needs)) or "no coded need"
        why = f"The form rests on {told}, and the designation on {', '.join(sorted(coded))}."
        yield _place(wanted["form-need"]), why


def _place(link: str) -> str:
    return f"QuestionnaireResponse.item.where(linkId='{link}')"


def _answers(form: Resource, link: str, member: str) -> list[Any]:
    """The values that are answered to an item, wherever it stands."""
    given = (answer for item in _items(form) if item.get("linkId") == link for answer in item.get("answer", ()))
    return [answer[member] for answer in given if member in answer]


def _items(element: Resource) -> Iterator[Resource]:
    for item in element.get("item", ()):
        yield item
        yield from _items(item)
        for answer in item.get("answer", ()):
            yield from _items(answer)


# What the Questionnaire requires


async def _items_of(after: View, form: Resource) -> list[Resource]:
    """The items of the Questionnaire that a form is of: the version it names, else the last active one."""
    url, version = canonical.parse(form.get("questionnaire", ""))
    rows = (await after.facts("questionnaire", [url]))[url] if url else []
    meant = [row for row in rows if (row.data[0] == version if version else row.data[1] == "active")]
    best = max(meant, key=lambda row: (canonical.version_key(row.data[0]), row.source), default=None)
    stored = await read(after, best.source) if best else None
    return list((stored or {}).get("item", ()))


def unanswered(items: Sequence[Resource], given: Sequence[Resource]) -> Iterator[str]:
    """The linkIds of required items that have no answer, below what is answered; not of those that depend on others."""
    for item in items:
        own = [one for one in given if one.get("linkId") == item.get("linkId")]
        if item.get("required") and "enableWhen" not in item and not any(map(_is_answered, own)):
            yield str(item.get("linkId"))
        for one in own:
            inside = [
                *one.get("item", ()),
                *(more for found in one.get("answer", ()) for more in found.get("item", ())),
            ]
            yield from unanswered(item.get("item", ()), inside)


def _is_answered(item: Resource) -> bool:
    """A question has a value, a group an answer inside."""
    values = (name for answer in item.get("answer", ()) for name in answer)
    return any(name.startswith("value") for name in values) or any(map(_is_answered, item.get("item", ())))
