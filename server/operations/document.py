"""Composition/[id]/$document: the document that a Composition heads, with all that it, or a graph, leads to.

https://hl7.org/fhir/R4/composition-operation-document.html, https://hl7.org/fhir/R4/documents.html
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from server.coordination.member_file.member_file import references
from server.fhir import body, bundle
from server.fhir.body import Body
from server.fhir.reference import local
from server.ledger import Change, Plan, Resource, View, instant, micros
from server.operations.call import Answer, Call
from server.operations.graph import led_to
from server.operations.parameters import place
from server.outcome import Issue, Problem
from server.repository import new_id
from server.search.filter import Ids

MOST = 2000  # resources of one document


async def document(call: Call) -> Answer:
    """A Bundle of type document, read at one position; stored where `persist` says so (201).

    Problem unprocessable names each reference of the Composition that leads nowhere: a document is whole. What a
    `graph` leads to is its author's to make whole.
    """
    persist = call.inputs.one("persist")
    if persist and not call.writes:
        raise Problem.invalid("What is to be stored is asked for by POST", place("persist"))
    call = _on_one(call)
    now = datetime.now(UTC)
    view, _ = await call.view()
    version = await call.here(view)
    composition = body.loads(version.body or b"")
    if "graph" in call.inputs.given:
        _, *led = await led_to(call, view, version)
        found = [body.loads(one.body or b"") for one in led]
    else:
        found = await _referred(view, composition, call)
    made = bundle.document(call.base_url, str(uuid.uuid4()), instant(micros(now)), [composition, *found])
    if not persist:
        return Answer([("return", made)])
    return await _stored(call, made, now)


def _on_one(call: Call) -> Call:
    """The call on the Composition that `id` names, where it is not in the URL."""
    given = call.inputs.one("id")
    if call.id:
        if given is not None:
            raise Problem.invalid(
                "The URL has the Composition's id; the parameter is for [base]/Composition", place("id")
            )
        return call
    if given is None:
        raise Problem.of("required", "id says which Composition is meant", place("id"))
    link = local(given, call.base_url) or local(f"Composition/{given}", call.base_url)
    if link is None or link.type != "Composition":
        raise Problem.of("unprocessable", f"{given[:200]!r} is no Composition of this server", place("id"))
    return replace(call, id=link.id)


async def _referred(view: View, composition: Resource, call: Call) -> list[Resource]:
    """What the Composition refers to, a query for each type."""
    named = list(dict.fromkeys(one for one in references(composition, call.base_url) if one != call.reference))
    if len(named) > MOST:
        raise Problem.of("too_costly", f"The Composition refers to more than {MOST} resources")
    found: dict[str, Resource] = {}
    for type in dict.fromkeys(one.partition("/")[0] for one in named):
        ids = tuple(one.partition("/")[2] for one in named if one.startswith(f"{type}/"))
        for version in await view.search(type, Ids(ids), len(ids)):
            found[version.reference] = body.loads(version.body or b"")
    if missing := [one for one in named if one not in found]:
        raise Problem.with_issues("unprocessable", map(_missing, missing))
    return [found[one] for one in named]


def _missing(reference: str) -> Issue:
    text = f"The Composition refers to {reference}, which is not there; a document holds all that it refers to"
    return Issue("not-found", text, ("Composition",))


async def _stored(call: Call, made: Resource, now: datetime) -> Answer:
    id = new_id()
    sent = Body.of({**made, "id": id})
    change = Change("POST", "Bundle", id, sent.resource, sent.text(id))

    async def decide(view: View) -> Plan:
        return Plan([change])

    commit = await call.commit(decide, now)
    return Answer(status=201, version=commit.versions[0])
