"""$everything of a Patient, of an Encounter, or of all of them: a compartment and what it refers to, page by page.

https://hl7.org/fhir/R4/patient-operation-everything.html, https://hl7.org/fhir/R4/encounter-operation-everything.html

Every page is of the ledger position that the first one was taken at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from server.coordination.member_file.member_file import is_of_another, references
from server.fhir import body, bundle
from server.ledger import Resource, Version
from server.operations.call import Answer, Call
from server.operations.member_file import BESIDE, OF_MANY
from server.operations.parameters import place
from server.outcome import Problem, outcome
from server.repository import MAX_COUNT
from server.search import compartment, query
from server.search.filter import And, Equal, Filter, Not, Or, Present
from server.search.include import ANY, Include
from server.search.parameter import parameters
from server.search.query import Query
from server.store.engine import Page

# When care was given, by the first of these parameters that a type has
DATES = (
    "date",
    "period",
    "occurrence",
    "onset-date",
    "start-date",
    "effective-time",
    "authored-on",
    "authoredon",
    "authored",
    "sent",
    "created",
    "issued",
    "recorded",
)


async def everything(call: Call) -> Answer:
    """A Bundle of type searchset: a page of it, with links to the others. Problem not_found, gone or invalid."""
    if call.id:
        await call.here(await call.repository.view(call.caller))
    types = _types(call)
    page = await call.repository.search(call.caller, _query(call, types), call.inputs.one("_page"))
    return Answer(text=await asyncio.to_thread(_searchset, call, frozenset(types), page))


def _types(call: Call) -> Sequence[str]:
    """What is asked for, the compartment's own resource first; nothing that lists others beside the patient."""
    beside = BESIDE.keys() if call.type == "Patient" else set()
    taken = (compartment.types(call.type) | beside) - OF_MANY | {call.type}
    named = [type for given in call.inputs.all("_type") for type in given.split(",") if type]
    if unknown := [type for type in named if type not in taken]:
        raise Problem.invalid(
            f"{', '.join(unknown)[:200]} is nothing that belongs to a {call.type}; {', '.join(sorted(taken))} are",
            place("_type"),
        )
    return sorted(set(named) or taken, key=lambda type: (type != call.type, type))


def _query(call: Call, types: Sequence[str]) -> Query:
    since = call.inputs.one("_since")
    asked = [("_lastUpdated", f"ge{since}")] if since else []
    found = query.parse(types, asked, base_url=call.base_url, lenient=False)
    (_, found.filter), *others = [
        (type, And((_belongs(call, type), *_dated(call, type), filter)))
        for type, filter in ((found.type, found.filter), *found.others)
    ]
    found.others = tuple(others)
    found.include = tuple(Include(type, ANY) for type in types)
    found.count = _count(call)
    return found


def _count(call: Call) -> int:
    asked: int = MAX_COUNT if (given := call.inputs.one("_count")) is None else given
    if asked < 1:
        raise Problem.invalid(f"_count is how many a page: 1 or more, not {asked}", place("_count"))
    return min(asked, MAX_COUNT)


def _belongs(call: Call, type: str) -> Filter:
    beside = [] if type in compartment.types(call.type) else [BESIDE[type]]
    if not call.id:
        return compartment.of_any(call.type, type, beside)
    if beside:
        return Equal(parameters(type)[beside[0]].index, (call.reference,))
    return compartment.filter(call.reference, type)


def _dated(call: Call, type: str) -> Iterator[Filter]:
    """Care of the time that is asked for, and what has no date."""
    code = next((code for code in DATES if code in parameters(type)), None)
    bounds = [
        f"{prefix}{value}" for prefix, name in (("ge", "start"), ("le", "end")) if (value := call.inputs.one(name))
    ]
    if code is None or type == call.type or not bounds:
        return
    within = query.parse(type, [(code, bound) for bound in bounds], base_url=call.base_url, lenient=False)
    yield Or((within.filter, Not(Present(parameters(type)[code].index))))


def _searchset(call: Call, types: frozenset[str], page: Page) -> bytes:
    tokens = {"first": page.first, "previous": page.previous, "next": page.next}
    links = [("self", _url(call, call.inputs.one("_page")))]
    links += [(relation, _url(call, token)) for relation, token in tokens.items() if token is not None]
    return bundle.assembled("searchset", _entries(call, types, page), links=links)


def _entries(call: Call, types: frozenset[str], page: Page) -> Iterator[bytes]:
    """The matches, the resource itself first where it is among them, and what those that are shown refer to."""
    base = call.base_url.encode()
    named: set[str] = set()
    for version in sorted(page.matches, key=lambda version: version.reference != call.reference):
        resource = body.loads(version.body or b"null")
        if resource and _is_shown(call, resource):
            named.update(references(resource, call.base_url))
            yield _entry(base, version, b"match")
    for version in page.included:
        wanted = version.reference in named and (version.type in types or not call.inputs.all("_type"))
        if wanted and _is_shown(call, body.loads(version.body or b"null")):
            yield _entry(base, version, b"include")
    if page.issues:
        yield b'{"resource":%b,"search":{"mode":"outcome"}}' % body.dumps(outcome(page.issues))


def _is_shown(call: Call, resource: Resource | None) -> bool:
    """False for another patient, and for what is about another one, where one is asked about."""
    if resource is None or call.type != "Patient" or not call.id:
        return resource is not None
    if resource["resourceType"] == "Patient":
        return bool(resource["id"] == call.id)
    return not is_of_another(resource, (call.reference,), call.base_url)


def _entry(base: bytes, version: Version, mode: bytes) -> bytes:
    return b'{"fullUrl":"%b/%b","resource":%b,"search":{"mode":"%b"}}' % (
        base,
        version.reference.encode(),
        version.body or b"",
        mode,
    )


def _url(call: Call, token: str | None) -> str:
    """This page's URL: the inputs are few and simple, however they came."""
    given = [
        (name, str(value)) for name in ("start", "end", "_since", "_type", "_count") for value in call.inputs.all(name)
    ]
    asked = urlencode([*given, *([("_page", token)] if token else [])], safe=":,|.")
    place = call.reference if call.id else call.type
    return f"{call.base_url}/{place}/$everything" + (f"?{asked}" if asked else "")
