"""Definitions by canonical: which version counts, what is fetched when, and what is made anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from server.fhir import body
from server.ledger import Change, Fact, Version, View
from server.outcome import Problem
from server.validation import policy
from server.validation.conformance import Definitions, answered, digest, facts, held
from server.validation.profile import structure
from server.validation.terminology import value_set
from tests.validation.loaded import BASE, profile
from tests.validation.test_policy import GOAL, NOTED

Json = dict[str, Any]


class Stored:
    """A View of these resources, which counts what it is asked."""

    position = 1

    def __init__(self, *resources: Json) -> None:
        self.resources = {f"{one['resourceType']}/{one['id']}": one for one in resources}
        self.questions = 0
        self.reads = 0

    async def read(self, type: str, id: str) -> Version | None:
        self.reads += 1
        return Version(type, id, 1, 0, "PUT", 0, body.dumps(self.resources[f"{type}/{id}"]))

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        return {one: found for one in references if (found := await self.read(*one.split("/")))}

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        self.questions += 1
        found: dict[str, list[Fact]] = {key: [] for key in keys}
        for source, resource in self.resources.items():
            for of, key, data in facts(resource):
                if of == kind and key in found:
                    found[key].append(Fact(of, key, data, source))
        return found

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        raise NotImplementedError

    def with_(self, changes: Sequence[Change]) -> View:
        raise NotImplementedError


def codes(id: str, version: str, *include: Json, **more: Any) -> Json:
    url = f"{BASE}/ValueSet/{id.partition('-')[0]}"
    compose = {"include": list(include)}
    return {"resourceType": "ValueSet", "id": id, "url": url, "version": version, "compose": compose, **more}


async def version_of(view: Stored, name: str) -> str | None:
    def ask(definitions: Definitions) -> str | None:
        known = definitions.find("ValueSet", name, value_set.read)
        return known.version if known else None

    return await answered(view, ask)


async def test_latest_version_in_use_counts_where_none_is_named() -> None:
    view = Stored(
        codes("a-1", "1.9.0"), codes("a-2", "1.10.0"), codes("a-3", "2.0.0", status="retired"), codes("b-1", "9")
    )
    url = f"{BASE}/ValueSet/a"
    assert "1.10.0" == await version_of(view, url)
    assert "2.0.0" == await version_of(view, f"{url}|2.0.0")
    assert await version_of(view, f"{url}|3") is None
    assert await version_of(view, f"{BASE}/ValueSet/c") is None


async def test_r4s_own_is_known_unless_the_store_has_another() -> None:
    url = "http://hl7.org/fhir/ValueSet/goal-category"
    assert "4.0.1" == await version_of(Stored(), url)
    assert "4.0.1" == await version_of(Stored(), f"{url}|4.0.1")
    assert "7" == await version_of(Stored(codes("g", "7") | {"url": url}), url)


async def test_what_was_needed_before_is_fetched_by_one_question() -> None:
    inner = codes("inner", "1", {"system": "urn:s", "concept": [{"code": "a"}]})
    outer = codes("outer", "1", {"valueSet": [inner["url"]]})
    view, memory = Stored(inner, outer), {}

    def ask(definitions: Definitions) -> bool | None:
        found = value_set.find(definitions, outer["url"])
        return value_set.contains(definitions, found, "urn:s", "a") if found else None

    assert await answered(view, ask, memory) is True
    first, view.questions, view.reads = view.questions, 0, 0
    assert await answered(view, ask, memory) is True
    assert (2, 1, 0) == (first, view.questions, view.reads)


async def test_definitions_without_an_end_are_too_costly() -> None:
    def ask(definitions: Definitions) -> None:
        number = 0
        while definitions.find("ValueSet", f"urn:{number}", value_set.read) or number in asked:
            number += 1
        asked.add(number)

    asked: set[int] = set()
    with pytest.raises(Problem) as refused:
        await answered(Stored(), ask)
    assert "too_costly" == refused.value.kind


async def test_change_is_judged_once_and_again_only_by_another_definition() -> None:
    change = Change("PUT", "Goal", "g", GOAL | {"id": "g", "meta": {"profile": [NOTED["url"]]}})
    strict = Stored(NOTED | {"id": "n"})
    first = await policy.judged(strict, change)
    assert ["required"] == [issue.code for issue in first if issue.severity == "error"]
    assert first is await policy.judged(strict, change)
    lax = Stored(profile("Goal", id="n"))
    assert [] == [issue for issue in await policy.judged(lax, change) if issue.severity == "error"]


async def test_profile_that_rests_on_another_follows_it() -> None:
    derived = profile("Goal", id="d", url=f"{BASE}/derived", baseDefinition=NOTED["url"])

    def change() -> Change:
        return Change("PUT", "Goal", "g", GOAL | {"meta": {"profile": [derived["url"]]}})

    async def errors(base: Json) -> list[str]:
        issues = await policy.judged(Stored(derived, base | {"id": "n"}), change())
        return [issue.code for issue in issues if issue.severity == "error"]

    assert ["required"] == await errors(NOTED)
    assert [] == await errors(profile("Goal"))
    assert ["required"] == await errors(NOTED)


async def test_other_versions_under_an_id_are_told() -> None:
    view = Stored(codes("a-1", "1"), codes("a-2", "2"))
    url = f"{BASE}/ValueSet/a"
    first, second, third = ("ValueSet/a-1", url, "1"), ("ValueSet/a-1", url, "2"), ("ValueSet/a-1", url, "3")
    told = await held(view, [first, second, third])
    assert {first: (False, "ValueSet/a-1"), second: (True, "ValueSet/a-2"), third: (True, "")} == told


def test_digest_is_of_the_content_alone() -> None:
    one = codes("a-1", "1")
    assert digest(one) == digest(one | {"id": "b", "meta": {"versionId": "7"}})
    assert digest(one) != digest(one | {"title": "A"})


def test_structure_keeps_what_a_check_reads() -> None:
    kept = structure.read(profile("Goal", {"id": "Goal.note", "min": 1, "short": "A note", "definition": "Long"}))
    assert ({"id": "Goal.note", "path": "Goal.note", "min": 1},) == kept.differential
