"""Conformance: the definitions that are loaded, found by canonical URL and version when somebody asks for them.

https://hl7.org/fhir/R4/conformance-module.html

Definitions are resources like all others: the store has them, and keeps one fact of each under its url. What is read
from one is kept under the digest of its content, so that a changed one counts at once and all workers agree.

Who asks is a plain function of `Definitions`; what it asks for and is not at hand is noted, fetched, all at once, and
the function is called again. Once it is known what a question needs, it is fetched before and asked once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from server.fhir import body, canonical, published
from server.fhir.canonical import Canonical, version_key
from server.ledger import Fact, FactRow, Resource, View
from server.outcome import Problem

T = TypeVar("T")

FACT = "canonical"
PACKAGE = "package"
MAP = "concept-map"
TYPES = frozenset({"StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap"})
VERSIONED = TYPES | {"ImplementationGuide"}  # of which several versions are kept at once
MOST_WAVES = 64  # times that a question may lead to further definitions
MOST_REMEMBERED = 256  # definitions that are fetched ahead for one kind of question
KEPT = 4096  # definitions read, over all versions

Asked = tuple[str, str]  # a resource type and a canonical
Read = Callable[[Resource], Any]


class Known(NamedTuple):
    """A definition that is there: its fact, and what was read from it."""

    source: str  # "StructureDefinition/us-core-careplan"; "" where it is R4's own
    url: str
    version: str
    digest: str
    read: Any


def facts(resource: Resource) -> list[FactRow]:
    """One row for a definition under its url, and one for a package under its id."""
    kind = resource["resourceType"]
    if kind not in VERSIONED or "url" not in resource:
        return []
    version = resource.get("version", "")
    rows: list[FactRow] = [(FACT, resource["url"], [kind, version, resource.get("status", ""), digest(resource)])]
    if "packageId" in resource:
        rows.append((PACKAGE, resource["packageId"], version))
    if kind == "ConceptMap":
        name = f"{resource['url']}|{version}" if version else resource["url"]
        rows += [(MAP, system, name) for system in sorted(_systems(resource))]
    return rows


def _systems(concept_map: Resource) -> set[str]:
    groups = concept_map.get("group", ())
    return {group[end] for group in groups for end in ("source", "target") if end in group}


async def maps_of(view: View, systems: Sequence[str]) -> list[str]:
    """The canonicals of the concept maps that map from or to one of the systems."""
    found = await view.facts(MAP, systems)
    return sorted({str(fact.data) for facts in found.values() for fact in facts})


async def held(view: View, wanted: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], tuple[bool, str]]:
    """Of each (reference, url, version): whether another version has that reference, and where this one stands."""
    found = await view.facts(FACT, sorted({url for _, url, _ in wanted}))
    told = {}
    for reference, url, version in wanted:
        facts = [fact for fact in found[url] if fact.data[0] == reference.partition("/")[0]]
        taken = any(fact.source == reference and fact.data[1] != version for fact in facts)
        told[reference, url, version] = taken, next((one.source for one in facts if one.data[1] == version), "")
    return told


def digest(resource: Resource) -> str:
    """What tells one content from another; id and meta, which the server sets, are no part of it."""
    content = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    return hashlib.blake2b(body.dumps(content), digest_size=16).hexdigest()


class Definitions:
    """What is loaded, as far as it was fetched. `find` notes what it lacks."""

    def __init__(self) -> None:
        self._known: dict[Asked, Known | None] = {}
        self._reads: dict[Asked, Read] = {}
        self._lacking: dict[Asked, Read] = {}

    def find(self, type: str, name: str, read: Read) -> Known | None:
        """The definition under a canonical, read by `read`; None where it is not loaded, or not fetched yet."""
        key = (type, name)
        if key not in self._known:
            self._lacking[key] = read
            return None
        return self._known[key]

    def remembered(self, kept: dict[str, Made], key: str, make: Callable[[Definitions], T]) -> T:
        """What is made from definitions, made again only where one of those that it was made from is another now."""
        found = kept.get(key)
        if found is not None and all(self._mark(*asked, read) == mark for asked, (read, mark) in found.of.items()):
            return cast(T, found.made)
        recorder = _Recorder(self)
        made = make(recorder)
        if self.whole:
            if len(kept) >= KEPT:
                kept.clear()
            kept[key] = Made(recorder.of, made)
        return made

    def _mark(self, type: str, name: str, read: Read) -> str | None:
        known = self.find(type, name, read)
        return known.digest if known else None

    @property
    def whole(self) -> bool:
        """Whether all that was asked for had been fetched."""
        return not self._lacking

    @property
    def asked(self) -> Mapping[Asked, Read]:
        """All that was asked for: what the same question will need again."""
        return self._reads

    async def fetch(self, view: View, wanted: Mapping[Asked, Read] | None = None) -> None:
        """Fetch what was found lacking, or what is named, by one question for facts."""
        wanted, self._lacking = wanted or self._lacking, {}
        self._reads.update(wanted)
        found = await view.facts(FACT, sorted({canonical.parse(name).url for _, name in wanted}))
        chosen = {key: _chosen(key[0], canonical.parse(key[1]), found[canonical.parse(key[1]).url]) for key in wanted}
        contents = await _contents(view, {_mark(fact): (fact, wanted[key]) for key, fact in chosen.items() if fact})
        for (type, name), fact in chosen.items():
            asked = canonical.parse(name)
            if fact is None:
                self._known[type, name] = _published(type, asked, wanted[type, name])
            else:
                made = contents[_mark(fact)]
                self._known[type, name] = Known(fact.source, asked.url, fact.data[1], fact.data[3], made)


class Made(NamedTuple):
    """Something made from definitions: which, as they were, and what."""

    of: dict[Asked, tuple[Read, str | None]]
    made: Any


class _Recorder(Definitions):
    """Definitions that remember what was asked of them."""

    def __init__(self, inner: Definitions) -> None:
        self.inner = inner
        self.of: dict[Asked, tuple[Read, str | None]] = {}

    @property
    def whole(self) -> bool:
        return self.inner.whole

    def find(self, type: str, name: str, read: Read) -> Known | None:
        known = self.inner.find(type, name, read)
        self.of[type, name] = read, known.digest if known else None
        return known


_READ: dict[tuple[str, str], Any] = {}  # (type, digest) -> what was read; by several threads


async def _contents(view: View, wanted: Mapping[tuple[str, str], tuple[Fact, Read]]) -> dict[tuple[str, str], Any]:
    """What is read of each stored definition, at one question for all that were not read before."""
    found = {mark: read for mark in wanted if (read := _READ.get(mark)) is not None}
    unread = {mark: asked for mark, asked in wanted.items() if mark not in found}
    stored = await view.read_many([fact.source for fact, _ in unread.values()]) if unread else {}
    for mark, (fact, read) in unread.items():
        content = stored[fact.source].body
        assert content, "a fact is of a resource that is there"
        found[mark] = _kept(*mark, read, body.parse(content).resource)
    return found


def _published(type: str, asked: Canonical, read: Read) -> Known | None:
    """A definition that comes with the server."""
    resource = published.find(type, *asked)
    if resource is None:
        return None
    return Known("", asked.url, resource.get("version", ""), asked.url, _kept(type, asked.url, read, resource))


def _mark(fact: Fact) -> tuple[str, str]:
    """A definition's type, and what tells its content from others."""
    return fact.data[0], fact.data[3]


def _kept(type: str, mark: str, read: Read, resource: Resource) -> Any:
    found = _READ.get((type, mark))
    if found is None:
        if len(_READ) >= KEPT:
            _READ.clear()
        found = _READ[type, mark] = read(resource)
    return found


def _chosen(type: str, asked: Canonical, facts: Iterable[Fact]) -> Fact | None:
    """The version asked for; where none is, the latest of those in use."""
    fitting = [fact for fact in facts if fact.data[0] == type and asked.version in ("", fact.data[1])]
    return max(fitting, key=_rank, default=None)


def _rank(fact: Fact) -> tuple[bool, list[tuple[int, int, str]], str]:
    _, version, status, _ = fact.data
    return status != "retired", version_key(version), fact.source


async def answered(view: View, ask: Callable[[Definitions], T], memory: dict[Asked, Read] | None = None) -> T:
    """The answer of a function of what is loaded. `memory` is what an earlier question of the kind needed.

    Problem too_costly where definitions lead from one to the next without an end.
    """
    definitions = Definitions()
    if memory:
        await definitions.fetch(view, memory)
    for _ in range(MOST_WAVES):
        answer = ask(definitions)
        if definitions.whole:
            if memory is not None and len(memory) < MOST_REMEMBERED:
                memory.update(definitions.asked)
            return answer
        await definitions.fetch(view)
    raise Problem.of("too_costly", f"Definitions lead to further ones more than {MOST_WAVES} times")
