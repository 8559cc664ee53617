"""Form: the questionnaire on which two organizations write down who leads, on which needs of the member.

https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.coordination.facts import Designation, literal, token
from server.coordination.lead.terms import FORM, Terms
from server.coordination.write import Place, refusal
from server.fhir import canonical
from server.ledger import Resource
from server.outcome import Issue

DONE = frozenset({"completed", "amended"})


def refused(terms: Terms, why: str, place: Place) -> Issue:
    """Refused by what the program's rule about leads says of the form."""
    return refusal(terms.program, terms.rule, why, place, part=terms.demand(FORM))


def wrong(
    form: Resource | None,
    found: Designation,
    terms: Terms,
    patients: Sequence[str],
    person: str | None,
    base_url: str,
) -> Iterator[tuple[str, str]]:
    """Why a form is not the one of this designation: (place, why). It may name the lead's `person`, a Practitioner."""
    if form is None:
        yield "QuestionnaireResponse", f"There is no {found.form or 'form'}, on which the decision would stand."
        return
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
    needs = sorted(token(one) for one in _answers(form, wanted["form-need"], "valueCoding") if "code" in one)
    coded = sorted(set(found.needs) & set(wanted["need"]))
    if needs and coded and needs != coded:
        yield (
            _place(wanted["form-need"]),
            f"The form rests on {', '.join(needs) or 'no coded need'}, and the designation on {', '.join(coded)}.",
        )


def _place(link: str) -> str:
    return f"QuestionnaireResponse.item.where(linkId='{link}')"


def _answers(form: Resource, link: str, member: str) -> list[Any]:
    """The values that are answered to an item, wherever it stands."""
    given = (answer for item in _items(form) if item["linkId"] == link for answer in item.get("answer", ()))
    return [answer[member] for answer in given if member in answer]


def _items(element: Resource) -> Iterator[Resource]:
    for item in element.get("item", ()):
        yield item
        yield from _items(item)
        for answer in item.get("answer", ()):
            yield from _items(answer)
