"""ValueSet/$expand, ValueSet/[id]/$expand: the codes of a value set, a page of them.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from server.ledger import Resource, instant, micros
from server.operations.call import Answer, Call
from server.operations.parameters import Inputs, place
from server.operations.terminology import answer, named, not_loaded, spoken
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import code_system, value_set
from server.validation.terminology.value_set import Lacking, Member, ValueSet
from server.validation.terminology.version import Versions

MOST = 10_000  # codes that are answered without being paged


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which codes, and what of each. `designations`: which are told; empty: all; None: none."""

    filter: str
    offset: int
    count: int | None
    active_only: bool
    designations: frozenset[str] | None
    language: str | None
    is_defined: bool  # the definition is told too
    without: frozenset[str]  # code systems
    versions: Callable[[Definitions], Definitions]

    @classmethod
    def of(cls, inputs: Inputs) -> Wanted:
        offset, count = inputs.one("offset") or 0, inputs.one("count")
        if offset < 0 or (count is not None and count < 0):
            raise Problem.invalid("offset and count are 0 or more", place("offset" if offset < 0 else "count"))
        designations = frozenset(inputs.all("designation"))
        return cls(
            inputs.one("filter") or "",
            offset,
            count,
            bool(inputs.one("activeOnly")),
            designations if designations or inputs.one("includeDesignations") else None,
            inputs.one("displayLanguage"),
            bool(inputs.one("includeDefinition")),
            frozenset(inputs.all("exclude-system")),
            _versions(inputs),
        )


def _versions(inputs: Inputs) -> Callable[[Definitions], Definitions]:
    default, checked, forced = (
        dict(_version(one, name) for one in inputs.all(name))
        for name in ("system-version", "check-system-version", "force-system-version")
    )
    return partial(Versions, default=default, checked=checked, forced=forced)


def _version(text: str, name: str) -> tuple[str, str]:
    url, bar, version = text.partition("|")
    if not bar or not version:
        raise Problem.invalid(f"{text[:200]!r} names no version; system|version does", place(name))
    return url, version


async def expand(call: Call) -> Answer:
    """A ValueSet with its expansion. Problem too_costly (413) for more than is answered at once."""
    given, name = await named(call, value_set.read, "valueSet", "valueSetVersion")
    wanted = Wanted.of(call.inputs)
    found, members = await answer(call, lambda definitions: _members(wanted.versions(definitions), given, name, wanted))
    members = [member for member in members if _fits(member, wanted)]
    if wanted.count is None and len(members) - wanted.offset > MOST:
        raise Problem.of("too_costly", f"There are {len(members):,} codes: page them by count and offset")
    end = None if wanted.count is None else wanted.offset + wanted.count
    return Answer([("return", _expanded(found, members[wanted.offset : end], len(members), wanted))])


def _members(
    definitions: Definitions, given: ValueSet | None, name: str, wanted: Wanted
) -> tuple[ValueSet, list[Member]]:
    found = given or value_set.find(definitions, name)
    if found is None:
        not_loaded(definitions, f"The value set {name} is not loaded")
        return ValueSet("", "", "", (), ()), []
    lacking = Lacking()
    members = value_set.members(definitions, found, lacking)
    if lacking.names:
        what = f"{found.url or 'The value set'} rests on what is not loaded: {', '.join(sorted(lacking.names))}"
        not_loaded(definitions, what, "unprocessable")
    without = _without(definitions, wanted)
    return found, [member for member in members if member.system not in without]


def _without(definitions: Definitions, wanted: Wanted) -> set[str]:
    """The URLs of the code systems that are left out: of those with a version, where it is the one that counts."""
    found = set()
    for url, _, version in (name.partition("|") for name in wanted.without):
        system = code_system.find(definitions, url) if version else None
        if system is None or system.version == version:
            found.add(url)
    return found


def _fits(member: Member, wanted: Wanted) -> bool:
    if wanted.active_only and member.concept is not None and member.concept.is_inactive:
        return False
    text = f"{member.code} {member.display or ''}".casefold()
    return all(word in text for word in wanted.filter.casefold().split())


def _expanded(found: ValueSet, members: list[Member], total: int, wanted: Wanted) -> Resource:
    parameters = [
        {"name": "filter", "valueString": wanted.filter} if wanted.filter else None,
        {"name": "offset", "valueInteger": wanted.offset} if wanted.offset or wanted.count is not None else None,
        {"name": "count", "valueInteger": wanted.count} if wanted.count is not None else None,
        {"name": "activeOnly", "valueBoolean": True} if wanted.active_only else None,
    ]
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{uuid.uuid4()}",
        "timestamp": instant(micros(datetime.now(UTC))),
        "total": total,
        "offset": wanted.offset,
    }
    if any(parameters):
        expansion["parameter"] = [one for one in parameters if one]
    if members:
        expansion["contains"] = [dict(_told(member, wanted)) for member in members]
    left_out = _APART if wanted.is_defined else {*_APART, "compose", "text", "contained"}
    definition = {name: value for name, value in found.resource.items() if name.lstrip("_") not in left_out}
    return {"resourceType": "ValueSet", "status": "active", **definition, "expansion": expansion}


_APART = {"id", "meta", "expansion"}  # what is of a stored resource, or is made here


def _told(member: Member, wanted: Wanted) -> Iterator[tuple[str, Any]]:
    concept = member.concept
    if member.system:
        yield "system", member.system
    if concept is not None and concept.is_abstract:
        yield "abstract", True
    if concept is not None and concept.is_inactive:
        yield "inactive", True
    yield "code", member.code
    designations = concept.designation if concept is not None else ()
    if display := next(iter(spoken(designations, wanted.language)), member.display):
        yield "display", display
    if told := [one for one in designations if _is_told(one, wanted.designations)]:
        yield "designation", told


def _is_told(designation: Resource, wanted: frozenset[str] | None) -> bool:
    """By its language or its use, as a code or as system|code."""
    if not wanted:
        return wanted is not None
    language, use = designation.get("language"), designation.get("use", {})
    names = {language, f"{_LANGUAGES}|{language}", use.get("code"), f"{use.get('system', '')}|{use.get('code')}"}
    return not wanted.isdisjoint(names)


_LANGUAGES = "urn:ietf:bcp:47"
