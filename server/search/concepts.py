"""Concepts: the codes that :in, :not-in, :above and :below stand for, put in their place.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace

from server.outcome import Problem
from server.search.filter import And, Chain, Concepts, Equal, Filter, Has, Ids, Not, Or, Range

MAX_CODES = 8192
Codes = Collection[tuple[str, str]]  # (system, code)
# ("in", a value set's URL), ("below" or "above", "system|code") -> the codes; Problem where that is not known
Terminology = Callable[[str, str], Awaitable[Codes]]


async def resolved(filter: Filter, terminology: Terminology) -> Filter:
    """The filter with the codes that the terminology tells; each question is asked once."""
    told: dict[tuple[str, str], Codes] = {}
    for found in _concepts(filter):
        question = (found.relation, found.value)
        if question not in told:
            told[question] = await terminology(*question)
    if sum(map(len, told.values())) > MAX_CODES:
        raise Problem.of("too_costly", f"More than {MAX_CODES} codes would be searched for at once; name fewer")
    return _replaced(filter, told)


def asks(filter: Filter) -> bool:
    """Whether anything is to be resolved."""
    return not isinstance(filter, _PLAIN) and next(_concepts(filter), None) is not None


_PLAIN = (Equal, Range, Ids)  # what most searches are of


async def no_terminology(relation: str, value: str) -> Codes:
    """Of a server that knows no value sets and code systems."""
    raise Problem.invalid(f"No value sets and code systems are known here, so that nothing is {relation} {value!r}")


def _concepts(filter: Filter) -> Iterator[Concepts]:
    match filter:
        case Concepts():
            yield filter
        case And(filters) | Or(filters):
            for part in filters:
                yield from _concepts(part)
        case Not(inner) | Chain(filter=inner) | Has(filter=inner):
            yield from _concepts(inner)


def _replaced(filter: Filter, told: Mapping[tuple[str, str], Codes]) -> Filter:
    match filter:
        case Concepts():
            return filter.filter(told[filter.relation, filter.value])
        case And(filters) | Or(filters):
            return type(filter)(tuple(_replaced(part, told) for part in filters))
        case Not(inner) | Chain(filter=inner) | Has(filter=inner):
            return replace(filter, filter=_replaced(inner, told))
    return filter
