"""lastn: the most recent observations of each code.

https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from server.fhir.reference import local
from server.ledger import Resource
from server.search import extract
from server.search.parameter import parameters


def lastn(observations: Sequence[Resource], most: int, base_url: str) -> list[int]:
    """The indexes of the `most` recent observations of each subject and code, newest first, undated ones last.

    Codes are equal where they share a coding, or both share one with a third; those without codings where their texts
    are equal. Who is as recent as the last of its group is in too.
    """
    groups = _grouped([set(_names(one, base_url)) for one in observations])
    taken: dict[int, int] = {}
    last: dict[int, bytes] = {}
    found = []
    for when, index in sorted(((_when(one), -index) for index, one in enumerate(observations)), reverse=True):
        group = groups[-index]
        if taken.get(group, 0) < most or when == last[group]:
            taken[group] = taken.get(group, 0) + 1
            last[group] = when
            found.append(-index)
    return found


def _when(observation: Resource) -> bytes:
    """What `_sort=-date` goes by."""
    return extract.sort_key(observation, parameters("Observation")["date"], descending=True) or b""


def _names(observation: Resource, base_url: str) -> Iterator[Hashable]:
    """What the subject's observation is of: each coding, or else the text."""
    subject = _subject(observation.get("subject", {}), base_url)
    code = observation.get("code", {})
    codings = [(one.get("system"), one["code"]) for one in code.get("coding", ()) if "code" in one]
    for name in codings or [code.get("text")]:
        yield subject, name


def _subject(reference: Mapping[str, Any], base_url: str) -> Hashable:
    text = str(reference.get("reference", ""))
    link = local(text, base_url)
    return (link.type, link.id) if link else (text, str(reference.get("identifier")))


def _grouped(names: Sequence[set[Hashable]]) -> list[int]:
    """The group of each set of names: equal for those that are joined by what they share."""
    parents = list(range(len(names)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = index = parents[parents[index]]
        return index

    first: dict[Hashable, int] = {}
    for index, own in enumerate(names):
        for name in own:
            parents[root(index)] = root(first.setdefault(name, index))
    return [root(index) for index in range(len(names))]
