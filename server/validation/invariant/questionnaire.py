"""Invariants of Questionnaire: https://hl7.org/fhir/R4/questionnaire.html"""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import Invariant, Json, below, distinct, excludes, has, lacks, where

_LENGTHS = frozenset({"boolean", "decimal", "integer", "string", "text", "url", "open-choice"})
_OPTIONS = frozenset({"choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity"})


def _grouped(it: Json) -> bool:
    return {"group": "item" in it, "display": "item" not in it}.get(it.get("type", ""), True)


_ITEM = (
    Invariant("que-1", _grouped, "a group has items, and a display has none"),
    Invariant("que-3", where("type", ["display"], lacks("code")), "a display has no code"),
    Invariant("que-4", excludes("answerOption", "answerValueSet"), "answers are listed or of a value set, not both"),
    Invariant(
        "que-5",
        lambda it: it.get("type") in _OPTIONS or lacks("answerOption", "answerValueSet")(it),
        "only an item that is chosen from, a number, a date, a time, a string or a quantity has possible answers",
    ),
    Invariant(
        "que-6", where("type", ["display"], lacks("required", "repeats")), "a display is neither asked nor repeated"
    ),
    Invariant(
        "que-8", where("type", ["group", "display"], lacks("initial")), "a group and a display have no initial value"
    ),
    Invariant("que-9", where("type", ["display"], lacks("readOnly")), "a display is not marked as read-only"),
    Invariant(
        "que-10", lambda it: it.get("type") in _LENGTHS or not has(it, "maxLength"), "maxLength is of a simple answer"
    ),
    Invariant("que-11", excludes("answerOption", "initial"), "initial answers are marked in answerOption, where it is"),
    Invariant(
        "que-12",
        lambda it: len(it.get("enableWhen", ())) <= 2 or has(it, "enableBehavior"),
        "several enableWhen need an enableBehavior",
    ),
    Invariant(
        "que-13",
        lambda it: it.get("repeats") is True or len(it.get("initial", ())) <= 1,
        "only an item that repeats has several initial values",
    ),
)


def _is_boolean(it: Json) -> bool:
    return has(it, "answerBoolean")


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Questionnaire": (
        Invariant("que-2", lambda it: distinct(one.get("linkId") for one in below(it, "item")), "a linkId stands once"),
    ),
    "Questionnaire.item": _ITEM,
    "Questionnaire.item.enableWhen": (
        Invariant("que-7", where("operator", ["exists"], _is_boolean), "the operator exists compares with a boolean"),
    ),
}
