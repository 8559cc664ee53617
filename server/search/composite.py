"""composite: several parameters that must match within one and the same element: `code-value-quantity=8480-6$gt140`.

https://hl7.org/fhir/R4/search.html#composite

Key: 8 bytes that digest what is compared for equality (each code with and without its system, each unit with and
without), then what is compared by order (a number, a date, a text). Of two numbers the second stands in the tail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

from server.ledger import IndexRow
from server.outcome import Problem
from server.search import date, number, quantity, reference, string, token
from server.search.digest import digest
from server.search.escaping import split
from server.search.filter import Equal, Filter, Range, either
from server.search.parameter import Composition, Parameter, Path, Test, Write, not_supported, values
from server.search.prefix import Span

_ORDERED = frozenset({"string", "date", "number", "quantity"})
_FORMS = 16  # of each part: those of its first eight codings. All forms of all parts are joined with one another


class Form(NamedTuple):
    """One way to name a part's value: what is digested, and what is kept for its order."""

    digested: bytes
    ordered: bytes = b""


class Sought(NamedTuple):
    """One way in which a part may match: what is digested, and the spans of what is ordered."""

    digested: bytes
    spans: tuple[Span, ...] = ()


def write(parameter: Parameter, composition: Composition) -> Write:
    """Rows of one kind of element, found from the resource."""
    index, steps = parameter.index, composition.path.steps
    pairs = list(zip(parameter.components, composition.parts, strict=True))
    parts = [_part(component, paths) for component, paths in pairs]
    last = composition.parts[-1] if _two_numbers(parameter) else ()

    def rows_of(resource: Any, rows: list[IndexRow], base_url: str) -> None:
        for element in values(resource, steps):
            found = [part(element, resource, base_url) for part in parts]
            if last:
                found[-2] = [Form(b"", form.ordered[:-8]) for form in found[-2]]
                found[-1] = [Form(b"", number.tail(value)) for path in last for value in values(element, path.steps)]
            rows.extend((index, _key(forms)) for forms in product(*found))

    return rows_of


def _part(component: Parameter, paths: Iterable[Path]) -> Callable[[Any, Any, str], list[Form]]:
    """(element, resource, our base URL) -> the forms of one part's values."""
    kind = component.kind
    writes = [(_WRITES[kind](component, path), path) for path in paths]

    def forms(element: Any, resource: Any, base_url: str) -> list[Form]:
        rows: list[IndexRow] = []
        for write, path in writes:
            for value in values(resource if path.from_resource else element, path.steps):
                write(value, rows, base_url)
        named = (
            form
            for suffix, key in rows
            if key
            for form in _named(kind, suffix, key if isinstance(key, bytes) else key.encode())
        )
        return list(dict.fromkeys(named))[:_FORMS]

    return forms


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier:
        raise not_supported(parameter, modifier)
    names = "$".join(component.code for component in parameter.components)
    two_numbers = _two_numbers(parameter)

    def matched(value: str, base_url: str) -> Filter:
        parts = split(value, "$")
        if len(parts) != len(parameter.components) or not all(parts):
            raise Problem.invalid(f"{value!r} has {len(parts)} parts; {parameter.code!r} is {names}, parted by $")
        pairs = zip(parameter.components, parts, strict=True)
        sought = [_SOUGHT[component.kind](component, text, base_url) for component, text in pairs]
        if two_numbers:
            sought[-1] = [Sought(b"", number.tail_spans(*number.asked(parts[-1])))]
        return either(
            [found for index in parameter.indexes for ways in product(*sought) for found in _filters(index, ways)]
        )

    return matched


def _two_numbers(parameter: Parameter) -> bool:
    return [component.kind in _ORDERED for component in parameter.components].count(True) == 2


def _key(forms: Iterable[Form]) -> bytes:
    forms = tuple(forms)
    return _digest(form.digested for form in forms) + b"".join(form.ordered for form in forms)


def _digest(digested: Iterable[bytes]) -> bytes:
    return digest(b"".join(bytes((len(part),)) + part for part in digested), 8)


def _named(kind: str, suffix: str, key: bytes) -> Iterator[Form]:
    """The forms that a row of the part's own index stands for; the rows that only modifiers need have none."""
    match kind, suffix:
        case "token", "":
            yield Form(key[:8])
            yield Form(key)
        case "reference", "":
            yield Form(key)
        case (("string" | "date" | "number" | "quantity"), ""):
            yield Form(b"", key)
        case "quantity", _:
            yield Form(suffix.encode() + key[:6], key[6:])


def _filters(index: str, ways: Iterable[Sought]) -> Iterator[Filter]:
    ways = tuple(ways)
    head = _digest(way.digested for way in ways)
    ordered = [way.spans for way in ways if way.spans]
    if not ordered:
        yield Equal(index, (head,))
    elif len(ordered) == 1:
        yield from (Range(index, *span.under(head)) for span in ordered[0])
    else:
        first, last = ordered
        for span in first:
            if span.tail_low is None:  # the rest are for intervals, which have no tail to spare
                low, high = head + span.low, head + span.high
                yield from (Range(index, low, high, end.tail_low, end.tail_high) for end in last)


def _token(component: Parameter, value: str, base_url: str) -> list[Sought]:
    system, code = token.read(value)
    if code is None:
        raise Problem.invalid(f"{value!r} has no code; within a composite a token is code, system|code or |code")
    code = token.form(component, code)
    if system is None:
        return [Sought(token.key(None, code)[:8])]
    return [Sought(key) for key in token.keys(component, system, code)]


def _reference(component: Parameter, value: str, base_url: str) -> list[Sought]:
    found = reference.test(component, None)(value, base_url)
    assert isinstance(found, Equal), "a reference is compared whole"
    return [Sought(key if isinstance(key, bytes) else key.encode()) for key in found.keys]


def _string(component: Parameter, value: str, base_url: str) -> list[Sought]:
    found = string.test(component, None)(value, base_url)
    assert isinstance(found, Range), "a string is compared by its start"
    return [Sought(b"", (Span(found.low, found.high),))]


def _date(component: Parameter, value: str, base_url: str) -> list[Sought]:
    return [Sought(b"", date.spans(*date.asked(value)))]


def _number(component: Parameter, value: str, base_url: str) -> list[Sought]:
    return [Sought(b"", number.spans(*number.asked(value)))]


def _quantity(component: Parameter, value: str, base_url: str) -> list[Sought]:
    suffix, head, prefix, sought = quantity.asked(value)
    return [Sought(suffix.encode() + head, number.spans(prefix, sought))]


_WRITES = {
    "token": token.write,
    "reference": reference.write,
    "string": string.write,
    "date": date.write,
    "number": number.write,
    "quantity": quantity.write,
}
_SOUGHT = {
    "token": _token,
    "reference": _reference,
    "string": _string,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
}
