"""[type]/[id]/$graph: a resource, and all that a GraphDefinition leads to from it.

https://hl7.org/fhir/R4/resource-operation-graph.html, https://hl7.org/fhir/R4/graphdefinition.html

Each link is a search for all of its sources at once. What a definition demands and the walk does not hold to (profiles,
compartments) is refused, never left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from server.fhir import body, canonical, path, tree
from server.fhir.reference import local
from server.ledger import Resource, Version, View
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.outcome import Issue, Problem
from server.search import query
from server.search.escaping import escape
from server.search.filter import Ids
from server.search.query import CONTROLS

MOST = 1000  # resources of a graph
SEARCHES = 200  # of one walk
VERSIONS = 100  # of a definition

Json = dict[str, Any]


async def graph(call: Call) -> Answer:
    """A Bundle of type collection, read at one position, the resource itself first."""
    view = await call.repository.view(call.caller)
    found = await led_to(call, view, await call.here(view))
    entries = [
        {"fullUrl": f"{call.base_url}/{version.reference}", "resource": body.loads(version.body or b"")}
        for version in found
    ]
    return Answer([("result", {"resourceType": "Bundle", "type": "collection", "entry": entries})])


async def led_to(call: Call, view: View, focus: Version) -> list[Version]:
    """A resource, and what the GraphDefinition of the parameter `graph` leads to from it.

    Problem not_found for a definition that is not stored, unprocessable (422) for one that is for another type or that
    cannot be followed, too_costly (413) for a graph that is too large: none is cut short.
    """
    definition = await _definition(call, view)
    if definition["start"] != call.type:
        raise _unfit(f"It starts from a {definition['start']}, and not from a {call.type}", "GraphDefinition.start")
    walk = _Walk(call, view, {focus.reference: focus})
    await walk.follow(definition.get("link", ()), [focus], "GraphDefinition.link")
    return list(walk.found.values())


async def _definition(call: Call, view: View) -> Resource:
    """The GraphDefinition of the parameter `graph`, by its place here or its canonical.

    Of a canonical without a version, the latest that is not retired.
    """
    name = call.inputs.one("graph")
    link = local(name, call.base_url)
    if link is not None and link.type == "GraphDefinition":
        named = await view.read(link.type, link.id)
        if named is not None and named.body is not None:
            stored: Resource = body.loads(named.body)
            return stored
    asked = canonical.parse(name)
    filter = query.parse("GraphDefinition", [("url", escape(asked.url))], base_url="", lenient=False).filter
    known = await view.search("GraphDefinition", filter, VERSIONS)
    read = [body.loads(version.body or b"") for version in known]
    fitting: list[Resource] = [one for one in read if asked.version in ("", one.get("version", ""))]
    if not fitting:
        raise Problem.not_found(f"There is no GraphDefinition {name}", place("graph"))
    return max(fitting, key=lambda one: (one["status"] != "retired", canonical.version_key(one.get("version", ""))))


@dataclass(slots=True)
class _Walk:
    """One walk along a definition; `found` is what it came by, in its order."""

    call: Call
    view: View
    found: dict[str, Version]
    searches: int = field(default=0)

    async def follow(self, links: Sequence[Json], sources: Sequence[Version], where: str) -> None:
        """Go from these resources along these links, which stand at `where` in the definition."""
        for link in links if sources else ():
            named = await asyncio.to_thread(self._named, link["path"], sources, where) if "path" in link else None
            for target in link.get("target", ()):
                if "profile" in target or "compartment" in target:
                    raise _unfit("Profiles and compartments of targets are not held to here", f"{where}.target")
                if named is None:
                    led = await self._referring(target, sources, f"{where}.target")
                else:
                    led = await self._searched(target["type"], Ids(_ids(named, target["type"])))
                await self.follow(target.get("link", ()), led, f"{where}.target.link")

    def _named(self, text: str, sources: Iterable[Version], where: str) -> list[str]:
        """What the elements at a path refer to, of all sources."""
        try:
            expression = path.parse(text)
        except ValueError as error:
            raise _unfit(f"{text[:200]!r} cannot be followed: {error}", f"{where}.path") from None
        found: dict[str, None] = {}
        for version in sources:
            for node in path.Walk(tree.of(body.loads(version.body or b""))).nodes(expression):
                link = local(str(tree.members(node).get("reference", "")), self.call.base_url)
                if link is not None:
                    found[f"{link.type}/{link.id}"] = None
        return list(found)

    async def _referring(self, target: Json, sources: Sequence[Version], where: str) -> list[Version]:
        """What a search finds that has the sources in the place of {ref}."""
        references = ",".join(version.reference for version in sources)
        asked = parse_qsl(target.get("params", ""), keep_blank_values=True)
        if not any("{ref}" in value for _, value in asked) or any(
            name.partition(":")[0] in CONTROLS for name, _ in asked
        ):
            raise _unfit("A link has a path, or its targets have params: a search with {ref} in it", where)
        criteria = [(name, value.replace("{ref}", references)) for name, value in asked]
        try:
            found = await self.call.repository.parsed(
                target["type"], criteria, base_url=self.call.base_url, lenient=False
            )
        except Problem as problem:
            raise _unfit(f"{target['params'][:200]!r} is no search: {problem}", f"{where}.params") from None
        return await self._searched(target["type"], found.filter)

    async def _searched(self, type: str, filter: Any) -> list[Version]:
        self.searches += 1
        led = await self.view.search(type, filter, MOST + 1)
        self.found |= {version.reference: version for version in led if version.reference not in self.found}
        if len(self.found) > MOST or self.searches > SEARCHES:
            raise Problem.of("too_costly", f"The graph has more than {MOST} resources, or {SEARCHES} links to follow")
        return led


def _ids(references: Iterable[str], type: str) -> tuple[str, ...]:
    return tuple(one.partition("/")[2] for one in references if one.startswith(f"{type}/"))


def _unfit(text: str, expression: str) -> Problem:
    return Problem.with_issues("unprocessable", [Issue("not-supported", text, (expression,))])
