"""Evidence: what an Observation, a Condition or an answer says about a member, by a code of ours: what a rule asks for.

https://hl7.org/fhir/R4/observation.html, https://hl7.org/fhir/R4/condition.html,
https://hl7.org/fhir/R4/questionnaireresponse.html

Only what has a code of this server's own code systems, or answers one of its questionnaires, is evidence: every other
Observation would cost the store a row that nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from server.coordination.facts.element import literal, tokens
from server.coordination.facts.vocabulary import BASE
from server.ledger import Fact, FactRow, Resource

DAY = "d"
UCUM = "http://unitsofmeasure.org"
WORDS = {"day": DAY, "week": "wk", "month": "mo", "year": "a"}
FINAL = frozenset({"final", "amended", "corrected", "completed"})  # of Observations and QuestionnaireResponses


class Evidence(NamedTuple):
    """What is said about a member by one of `codes`: tokens, or "questionnaire#linkId".

    `value` is a boolean, or a number as text with its UCUM `unit` ("" for another one) and `comparator`; None where it
    is neither. What does not `count` is preliminary, or was taken back.
    """

    source: str
    codes: list[str]
    counts: bool
    value: str | bool | None
    unit: str
    comparator: str
    when: str | None

    @classmethod
    def of(cls, fact: Fact) -> Evidence:
        return cls(fact.source, *fact.data[1:])

    @property
    def said(self) -> str:
        """The value, as a person reads it."""
        return f"{self.comparator}{self.value} {self.unit}".strip()


def observation(found: Resource, base_url: str) -> Iterator[FactRow]:
    """The evidence in an Observation."""
    codes = _own([found["code"]])
    member = literal(found.get("subject"), base_url, ("Patient",)) if codes else None
    if member:
        when = found.get("effectiveDateTime") or found.get("effectiveInstant")
        when = when or found.get("effectivePeriod", {}).get("start") or found.get("issued")
        yield from _rows(found, member, codes, found.get("status") in FINAL, _value(found), when)


def condition(found: Resource, base_url: str) -> Iterator[FactRow]:
    """The evidence in a Condition: true while it is active."""
    codes = _own([found["code"]]) if "code" in found else []
    member = literal(found.get("subject"), base_url, ("Patient",)) if codes else None
    if member:
        verified, clinical = (
            {coding.get("code") for coding in found.get(name, {}).get("coding", ())}
            for name in ("verificationStatus", "clinicalStatus")
        )
        counts = not verified or "confirmed" in verified
        is_active = clinical.isdisjoint({"inactive", "remission", "resolved"})
        when = found.get("onsetDateTime") or found.get("recordedDate")
        yield from _rows(found, member, codes, counts, (is_active, "", ""), when)


def answers(found: Resource, base_url: str) -> Iterator[FactRow]:
    """The evidence in a QuestionnaireResponse to a questionnaire of this server's own: a row for each answer."""
    questionnaire = found.get("questionnaire", "").partition("|")[0]
    if not questionnaire.startswith(f"{BASE}/"):
        return
    member = literal(found.get("subject"), base_url, ("Patient",))
    if member:
        for place, answer in _answers(found.get("item", ())):
            value = _value(answer)
            if value[0] is not None:
                counts = found.get("status") in FINAL
                yield from _rows(found, member, [f"{questionnaire}#{place}"], counts, value, found.get("authored"))


def _answers(items: Iterable[Resource]) -> Iterator[tuple[str, Resource]]:
    for item in items:
        for answer in item.get("answer", ()):
            yield item["linkId"], answer
            yield from _answers(answer.get("item", ()))
        yield from _answers(item.get("item", ()))


def _own(concepts: list[Resource]) -> list[str]:
    return [token for token in tokens(concepts) if token.startswith(f"{BASE}/")]


def _value(found: Resource) -> tuple[str | bool | None, str, str]:
    """(value, unit, comparator): a number without a unit is one of days."""
    if "valueBoolean" in found:
        return bool(found["valueBoolean"]), "", ""
    for name in ("valueInteger", "valueDecimal"):
        if name in found:
            return str(found[name]), DAY, ""
    quantity = found.get("valueQuantity", {})
    if "value" not in quantity:
        return None, "", ""
    return str(quantity["value"]), _unit(quantity), quantity.get("comparator", "")


def _unit(quantity: Resource) -> str:
    """The UCUM code; of a Quantity without any code, that of its unit in words."""
    if "code" in quantity:
        return str(quantity["code"]) if quantity.get("system") == UCUM else ""
    return WORDS.get(quantity.get("unit", "").strip().lower().removesuffix("s"), "")


def _rows(
    found: Resource, member: str, codes: list[str], counts: bool, value: tuple[Any, str, str], when: str | None
) -> Iterator[FactRow]:
    own = f"{found['resourceType']}/{found['id']}"
    for key in (member, own):
        yield "evidence", key, [member, codes, counts, *value, when]
