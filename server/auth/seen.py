"""Seen: the state at a position, as one caller sees it. What is hidden is, to whoever asks, not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from server.auth.sight import PATIENT, Sight
from server.fhir import body
from server.fhir.reference import local
from server.ledger import Change, Fact, Position, Resource, Version, View
from server.outcome import Problem
from server.search.filter import ALL, And, Equal, Ids
from server.search.holds import Judge, Rows

MOST = 1000  # ids that an engine is asked about at once
FEW = 8  # resources that are rather judged one by one
SEARCHED = 10_000  # matches of a condition that are looked through for those that are seen


class Seen:
    """What of a view is seen, a resource at a time or many at once.

    Where it `lists` nobody sees a Patient whom nobody has; else who knows the id does. Of another time than now, what
    is seen at `present` too.
    """

    def __init__(
        self, view: View, sight: Sight, rows: Rows, *, lists: bool = False, present: Seen | None = None
    ) -> None:
        self.view = view
        self.present = present
        self.sight = sight
        self._clause = sight.clause if lists else sight.known
        self.judge = Judge(view, rows)
        self._known: dict[str, bool] = {}

    async def sees(self, version: Version) -> bool:
        """Whether a version is seen, by what it says itself; a deletion says nothing."""
        if version.body is None:
            return False
        if version.type == "Binary":
            return await self._sees_context(version)
        return await self.judge.version(self._clause(version.type), version)

    async def _sees_context(self, version: Version) -> bool:
        """A Binary is as its securityContext is. https://hl7.org/fhir/R4/binary.html#security"""
        context = body.loads(version.body or b"").get("securityContext", {})
        named = local(context.get("reference", ""))
        found = await self.view.read(named.type, named.id) if named and named.type != "Binary" else None
        return found is not None and await self.sees(found)

    async def of(self, references: Iterable[str]) -> set[str]:
        """Those of these resources that are there, and seen."""
        references = list(references)
        await self._learn([one for one in references if one not in self._known])
        seen = {one for one in references if self._known[one]}
        return seen if self.present is None else await self.present.of(seen)

    async def are_open(self, references: Iterable[str]) -> bool:
        """Whether all of these Patients are the caller's own, with what others keep of them."""
        found = await self.view.read_many(references)
        for one in found.values():
            if one.body is None or not await self.judge.version(self.sight.open, one):
                return False
        return bool(found)

    async def _learn(self, references: Sequence[str]) -> None:
        apart = references if len(references) <= FEW else [one for one in references if one.startswith("Binary/")]
        found = await self.view.read_many(apart) if apart else {}
        self._known |= {one: one in found and await self.sees(found[one]) for one in apart}
        ids: dict[str, list[str]] = {}
        for one in references:
            if one in self._known:
                continue
            self._known[one] = False
            ids.setdefault(one.partition("/")[0], []).append(one.partition("/")[2])
        for type, wanted in ids.items():
            for start in range(0, len(wanted), MOST):
                await self._ask(type, tuple(wanted[start : start + MOST]))

    async def _ask(self, type: str, ids: tuple[str, ...]) -> None:
        found = await self.view.search(type, And((Ids(ids), self._clause(type))), len(ids))
        self._known |= dict.fromkeys((one.reference for one in found), True)


class SeenView:
    """A View of what is seen. `facts` are of what is seen too, but for a decide: rules judge over everything."""

    def __init__(self, view: View, seen: Seen, *, decides: bool, own: Collection[str] = ()) -> None:
        self._view = view
        self._seen = seen
        self._decides = decides
        self._own = own  # what the caller writes itself

    @property
    def position(self) -> Position:
        return self._view.position

    async def read(self, type: str, id: str) -> Version | None:
        return (await self.read_many([f"{type}/{id}"])).get(f"{type}/{id}")

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        found = await self._view.read_many(references)
        standing = [one.reference for one in found.values() if one.body is not None and one.reference not in self._own]
        kept = (await self._seen.of(standing)).union(self._own)
        return {reference: one for reference, one in found.items() if one.reference in kept}

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        found = await self._view.vread(type, id, position)
        return found if found is not None and await self.read(type, id) and await self._seen.sees(found) else None

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        sight = self._seen.sight
        asked, clause = sight.guarded(filter), sight.clause(type)
        if clause == ALL:
            return await self._view.search(type, asked, limit)
        if self._decides:
            return await self._found(type, asked, limit)
        found = await self._view.search(type, And((asked, clause)), limit)
        if self._seen.present is None:
            return found
        seen = await self._seen.present.of(one.reference for one in found)
        return [one for one in found if one.reference in seen]

    async def _found(self, type: str, filter: Any, limit: int) -> list[Version]:
        """What a condition finds, looked through for what is seen: it finds few, or is too wide to be one."""
        looked = limit + FEW
        while True:
            found = await self._view.search(type, filter, looked)
            seen = await self._seen.of(one.reference for one in found)
            kept = [one for one in found if one.reference in seen or one.reference in self._own]
            if len(found) < looked or len(kept) >= limit:
                return kept[:limit]
            if looked >= SEARCHED:
                raise Problem.of("too_costly", f"The condition finds more than {SEARCHED} {type}s: narrow it")
            looked = min(looked * 8, SEARCHED)

    async def enrolled(self, identifier: Equal, episodes: Sequence[Resource]) -> list[Version]:
        """The Patients with an identifier, hidden ones too, whom the caller may enrol by all of these EpisodeOfCares.

        Enrolling waits for nobody, and who sends the member's number has no id. A condition that says anything else
        finds what is seen alone.
        """
        judge, enrolments = self._seen.judge, [written for written, _ in self._seen.sight.enrolments()]
        for one in episodes:
            change = Change("POST", "EpisodeOfCare", "", one, rows=judge.rows(one))
            if not any([await judge.change(written, change) for written in enrolments]):
                return []
        return await self._view.search(PATIENT, identifier, 2)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        found = await self._view.facts(kind, keys)
        if self._decides:
            return found
        sources = {fact.source for facts in found.values() for fact in facts}
        seen = await self._seen.of(sorted(sources))
        return {key: [fact for fact in facts if fact.source in seen] for key, facts in found.items()}

    def with_(self, changes: Sequence[Change]) -> View:
        own = {*self._own, *(change.reference for change in changes)}
        return SeenView(self._view.with_(changes), self._seen, decides=self._decides, own=own)
