"""Asking one resource: a search's parameters against its index rows, without a store."""

from __future__ import annotations

import os

from server.ledger import Resource
from server.outcome import Problem
from server.search import concepts, extract, match, query
from server.search.filter import Filter
from tests.search import naive

BASE = "https://care.example.org/fhir"
MORE = int(os.environ.get("SEARCH_EXAMPLES", "1"))  # times as many random searches as the suite tries by itself
UPDATED = 1_700_000_000_123_456  # 2023-11-14T22:13:20.123456Z


def finds(resource: Resource, *parameters: tuple[str, str]) -> bool:
    """Whether a search of the resource's type by these parameters has the resource among its matches."""
    type = resource["resourceType"]
    filter = told(query.parse(type, parameters, base_url=BASE, lenient=False).filter)
    return match.matches(filter, type, resource.get("id", ""), UPDATED, extract.rows(resource, BASE))


def told(filter: Filter) -> Filter:
    """The filter with the codes that tests/search/naive.py says."""
    asking = concepts.resolved(filter, terminology)
    try:
        asking.send(None)
    except StopIteration as answered:
        found: Filter = answered.value
    return found


async def terminology(relation: str, value: str) -> concepts.Codes:
    return naive.CONCEPTS[relation, value]


def refused(type: str, *parameters: tuple[str, str], lenient: bool = False) -> Problem:
    """The problem that these parameters are refused with."""
    try:
        query.parse(type, parameters, base_url=BASE, lenient=lenient)
    except Problem as problem:
        return problem
    raise AssertionError(f"{parameters} were accepted")


def places(problem: Problem) -> list[tuple[str, str]]:
    """Each issue's code and place."""
    return [(issue.code, issue.expression[0]) for issue in problem.issues]
