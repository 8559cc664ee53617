"""The codes that a search by :in, :below or :above stands for.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from server.fhir import body
from server.fhir.reference import local
from server.ledger import View
from server.outcome import Issue, Problem
from server.validation.conformance import Definitions, answered
from server.validation.terminology import code_system, value_set
from server.validation.terminology.value_set import Lacking, ValueSet

Codes = list[tuple[str, str]]


async def codes(view: View, relation: str, value: str) -> Codes:
    """("in", a value set's URL or "ValueSet/1"), ("below" or "above", "system|code") -> (system, code), itself too.

    Problem invalid (400) where what is named, or what it rests on, is not loaded.
    """
    if relation != "in":
        return await answered(view, lambda definitions: _hierarchy(definitions, relation, value))
    stored = await _stored(view, value)
    return await answered(view, lambda definitions: _members(definitions, value, stored))


async def _stored(view: View, value: str) -> ValueSet | None:
    """A value set that is named by where it is stored."""
    link = local(value)
    if link is None or link.type != "ValueSet":
        return None
    version = await view.read(link.type, link.id)
    return value_set.read(body.parse(version.body).resource) if version and version.body else None


def _members(definitions: Definitions, name: str, stored: ValueSet | None) -> Codes:
    found = stored or value_set.find(definitions, name)
    if found is None:
        if definitions.whole:
            raise _not_loaded(f"The value set {name[:200]} is not loaded")
        return []
    lacking = Lacking()
    members = value_set.members(definitions, found, lacking)
    if lacking.names and definitions.whole:
        raise _not_loaded(f"{name[:200]} rests on what is not loaded: {', '.join(sorted(lacking.names))}")
    return [(member.system, member.code) for member in members]


def _hierarchy(definitions: Definitions, relation: str, value: str) -> Codes:
    system, bar, code = value.rpartition("|")
    if not bar or not system:
        raise Problem.invalid(f"{value[:200]!r} names no code and its system, as system|code")
    found = code_system.find(definitions, system)
    concept = found.find(code) if found else None
    if found is None or concept is None:
        if definitions.whole:
            raise _not_loaded(f"{value[:200]}: no such code is loaded")
        return []
    others = found.descendants(concept.code) if relation == "below" else found.ancestors(concept.code)
    return [(system, one) for one in (concept.code, *others)]


def _not_loaded(why: str) -> Problem:
    return Problem.with_issues("invalid", [Issue("not-found", why)])
