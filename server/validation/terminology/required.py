"""Required bindings: the concept must be one of the value set's.

https://hl7.org/fhir/R4/terminologies.html#required

A value set that rests on a code system which is not HL7's to publish (BCP 13, ISO 4217, UCUM, LOINC) is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

LISTED = 20  # codes that a message lists in full


def is_member(codes: frozenset[str]) -> Callable[[object], bool]:
    """Of an element of type code."""
    return lambda value: type(value) is str and value in codes


def has_member(value_set: Mapping[str, frozenset[str]]) -> Callable[[dict[str, Any]], bool]:
    """Of a CodeableConcept: one coding is of the value set. Text alone does not do; an extension may say why."""

    def holds(concept: dict[str, Any]) -> bool:
        codings = concept.get("coding")
        if codings is None:
            return "extension" in concept
        return any(coding.get("code") in value_set.get(coding.get("system", ""), ()) for coding in codings)

    return holds


def words(url: str, value_set: Mapping[str, frozenset[str]]) -> str:
    """What a binding accepts."""
    codes = sorted(code for codes in value_set.values() for code in codes)
    listed = f"one of {', '.join(codes)}" if len(codes) <= LISTED else f"one of {len(codes)} codes"
    return f"{listed} ({url})"


def closest(word: str, known: Collection[str]) -> str:
    """A question after the likeliest of the known words, or nothing. Only those with its first letter are compared."""
    word = word[:64].casefold()
    names = {name.casefold(): name for name in known if name[:1].casefold() == word[:1]}
    found = get_close_matches(word, names, n=1)
    return f"; did you mean {names[found[0]]}?" if found else ""
