"""ValueSet/$expand, ValueSet/[id]/$expand: the codes of a value set, a page of them.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server.ledger import Resource, instant, micros
from server.operations.call import Answer, Call
from server.operations.parameters import Inputs, place
from server.operations.terminology import answer, named, not_loaded
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import value_set
from server.validation.terminology.value_set import Lacking, Member, ValueSet

MOST = 10_000  # codes that are answered without being paged


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which codes, and what of each."""

    filter: str
    offset: int
    count: int | None
    active_only: bool
    designations: bool
    language: str | None

    @classmethod
    def of(cls, inputs: Inputs) -> Wanted:
        offset, count = inputs.one("offset") or 0, inputs.one("count")
        if offset < 0 or (count is not None and count < 0):
            raise Problem.invalid("offset and count are 0 or more", place("offset" if offset < 0 else "count"))
        return cls(
            inputs.one("filter") or "",
            offset,
            count,
            bool(inputs.one("activeOnly")),
            bool(inputs.one("includeDesignations")),
            inputs.one("displayLanguage"),
        )


async def expand(call: Call) -> Answer:
    """A ValueSet with its expansion. Problem too_costly (413) for more than is answered at once."""
    given, name = await named(call, value_set.read, "valueSet", "valueSetVersion")
    wanted = Wanted.of(call.inputs)
    found, members = await answer(call, lambda definitions: _members(definitions, given, name))
    members = [member for member in members if _fits(member, wanted)]
    if wanted.count is None and len(members) - wanted.offset > MOST:
        raise Problem.of("too_costly", f"There are {len(members):,} codes: page them by count and offset")
    end = None if wanted.count is None else wanted.offset + wanted.count
    return Answer([("return", _expanded(found, members[wanted.offset : end], len(members), wanted))])


def _members(definitions: Definitions, given: ValueSet | None, name: str) -> tuple[ValueSet, list[Member]]:
    found = given or value_set.find(definitions, name)
    if found is None:
        not_loaded(definitions, f"The value set {name} is not loaded")
        return ValueSet("", "", "", (), ()), []
    lacking = Lacking()
    members = value_set.members(definitions, found, lacking)
    if lacking.names:
        what = f"{found.url or 'The value set'} rests on what is not loaded: {', '.join(sorted(lacking.names))}"
        not_loaded(definitions, what, "unprocessable")
    return found, members


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
    resource: Resource = {"resourceType": "ValueSet", "status": "active", "expansion": expansion}
    named = {name: value for name, value in (("url", found.url), ("version", found.version)) if value}
    return {**resource, **named}


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
    spoken = (one["value"] for one in designations if wanted.language and one.get("language") == wanted.language)
    if display := next(spoken, member.display):
        yield "display", display
    if designations and wanted.designations:
        yield "designation", list(designations)
