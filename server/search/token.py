"""token: a code, an identifier or another exact string, by itself or with the system that it is from.

https://hl7.org/fhir/R4/search.html#token

Key: 8 bytes for the code, 6 for the system: zeros where there is none, as for the type `code`, whose system is implied.
In indexes of their own: ":system" for `system|`, ":text" for what people read, ":of-type" for identifiers by their
type. Codes keep their case; what is a mere string does not, as the specification says of both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from server.ledger import IndexRow
from server.outcome import Problem
from server.search import string
from server.search.digest import SHORT, digest6, digest8
from server.search.escaping import split, unescape
from server.search.filter import NAMELESS, Concepts, Equal, Filter, Present, Range, either
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported, values

NO_SYSTEM = bytes(6)
_AFTER_SYSTEMS = b"\xff" * 7
_HAS_SYSTEM = frozenset({"Coding", "CodeableConcept", "Identifier"})
_EXAMPLES = "code, system|code, |code (of no system) or system| (any code)"


def key(system: str | None, code: str) -> bytes:
    return digest8(code) + (digest6(system) if system else NO_SYSTEM)


def of_type_key(system: str, code: str, value: str) -> bytes:
    return digest8(f"{system}|{code}") + digest8(value)


def contact(value: str) -> str:
    """A ContactPoint's value as it is compared: e-mail without case, a telephone number without its punctuation."""
    bare = value.translate(_PUNCTUATION)
    return bare if bare.isdigit() else value.casefold()


_PUNCTUATION = {ord(character): None for character in " \t()-./+"}


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index, text_index = parameter.index, _beside(parameter.index, "text")

    def coding(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        rows += coding_rows(index, value)

    def codeable_concept(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        codings = value.get("coding")
        if codings:
            for item in codings:
                rows += coding_rows(index, item)
        elif has_value(value):
            rows.append((index, NAMELESS))
        if text := value.get("text"):
            rows.append((text_index, string.key(text)))

    def identifier(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        rows += identifier_rows(index, value)

    def contact_point(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        if "value" in value:
            rows.append((index, key(None, contact(value["value"]))))
        elif has_value(value):
            rows.append((index, NAMELESS))

    def boolean(value: bool, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, _TRUE if value else _FALSE))

    def folded(value: str, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(None, value.casefold())))

    def plain(value: str, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, digest8(value) + NO_SYSTEM))

    writes: Mapping[str, Write] = {
        "Coding": coding,
        "CodeableConcept": codeable_concept,
        "Identifier": identifier,
        "ContactPoint": contact_point,
        "boolean": boolean,
        "string": folded,
    }
    return writes.get(path.type, plain)


_TRUE, _FALSE = key(None, "true"), key(None, "false")


def coding_rows(index: str, coding: Mapping[str, Any]) -> Sequence[IndexRow]:
    """The rows of one Coding; remembered, because the same ones come again and again."""
    system, code, display = coding.get("system"), coding.get("code"), coding.get("display")
    if not (code or has_value(coding)):
        return ()
    if len(system or "") + len(code or "") + len(display or "") > SHORT * 2:
        return _coding_rows.__wrapped__(index, system, code, display)
    return _coding_rows(index, system, code, display)


@lru_cache(maxsize=16384)
def _coding_rows(index: str, system: str | None, code: str | None, display: str | None) -> tuple[IndexRow, ...]:
    rows: list[IndexRow] = [(index, key(system, code) if code else NAMELESS)]
    if system:
        rows.append((_beside(index, "system"), digest8(system)))
    if display:
        rows.append((_beside(index, "text"), string.key(display)))
    return tuple(rows)


def identifier_rows(index: str, identifier: Mapping[str, Any]) -> list[IndexRow]:
    """The rows of one Identifier."""
    system, value, type_ = identifier.get("system"), identifier.get("value"), identifier.get("type")
    if not has_value(identifier):
        return []
    rows: list[IndexRow] = [(index, key(system, value) if value else NAMELESS)]
    if system:
        rows.append((_beside(index, "system"), digest8(system)))
    if type_:
        if text := type_.get("text"):
            rows.append((_beside(index, "text"), string.key(text)))
        if value:
            rows.extend(
                (_beside(index, "of-type"), of_type_key(coding["system"], coding["code"], value))
                for coding in type_.get("coding", ())
                if "system" in coding and "code" in coding
            )
    return rows


@cache
def _beside(index: str, suffix: str) -> str:
    """An index's name for what a modifier needs: one string, however many rows are remembered."""
    return f"{index}:{suffix}"


def labels(parameter: Parameter, resource: Any) -> Iterator[str]:
    """What people read of the values, else the codes: what they are sorted by."""
    for path in parameter.paths:
        for value in values(resource, path.steps):
            match path.type:
                case "CodeableConcept" if "text" in value:
                    yield value["text"]
                case "CodeableConcept":
                    yield from (coding.get("display") or coding.get("code", "") for coding in value.get("coding", ()))
                case "Coding":
                    yield value.get("display") or value.get("code", "")
                case "Identifier" | "ContactPoint":
                    yield value.get("value", "")
                case "boolean":
                    yield "true" if value else "false"
                case _:
                    yield value


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched; the `not` of `:not` and `:not-in` is the query's, which turns all values around."""
    if modifier in (None, "not"):
        return _coded(parameter)
    if modifier == "text":
        return lambda value, base_url: either(
            [string.matching(f"{index}:text", unescape(value)) for index in parameter.indexes]
        )
    if modifier == "of-type" and "Identifier" in parameter.datatypes:
        return _of_type(parameter)
    if modifier in _RELATIONS and not _CONCEPTS.isdisjoint(parameter.datatypes):
        return _of_concepts(parameter, _RELATIONS[modifier])
    raise not_supported(
        parameter, modifier or "", "not", "text", *_of_type_where(parameter), *_concepts_where(parameter)
    )


_CONCEPTS = frozenset({"code", "Coding", "CodeableConcept"})
_RELATIONS = {"in": "in", "not-in": "in", "below": "below", "above": "above"}


def _concepts_where(parameter: Parameter) -> tuple[str, ...]:
    return () if _CONCEPTS.isdisjoint(parameter.datatypes) else tuple(_RELATIONS)


def _of_concepts(parameter: Parameter, relation: str) -> Test:
    def matched(value: str, base_url: str) -> Filter:
        if relation == "in":
            return Concepts(relation, unescape(value), any_of)
        system, code = read(value)
        if not system or code is None:
            raise Problem.invalid(
                f"{value!r} names no concept; accepted is system|code, of a code system that is loaded"
            )
        return Concepts(relation, f"{system}|{code}", any_of)

    def any_of(codes: Collection[tuple[str, str]]) -> Filter:
        sought = tuple(dict.fromkeys(key for system, code in codes for key in keys(parameter, system, code)))
        return either([Equal(index, sought) for index in parameter.indexes])

    return matched


def identified(index: str) -> Test:
    """A token among the rows of Identifiers."""

    def matched(value: str, base_url: str) -> Filter:
        system, code = read(value)
        if code is None:
            return Equal(f"{index}:system", (digest8(system or ""),))
        return _any_system(index, code) if system is None else Equal(index, (key(system, code),))

    return matched


def read(value: str) -> tuple[str | None, str | None]:
    """(system, code): the system is None where any will do, "" where there may be none; the code None where any."""
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) == 1 and parts[0]:
        return None, parts[0]
    if len(parts) == 2 and (parts[0] or parts[1]):
        return parts[0], parts[1] or None
    raise Problem.invalid(f"{value!r} is no token; accepted are {_EXAMPLES}. A | within a code is written \\|")


def keys(parameter: Parameter, system: str, code: str) -> list[bytes]:
    """The keys of a code of this system ("" is none), which the type `code` implies and does not hold."""
    found = [key(system, code)]
    if system and implied(parameter, system):
        found.append(key(None, code))
    return found


def implied(parameter: Parameter, system: str) -> bool:
    return parameter.systems is None or system in parameter.systems


def form(parameter: Parameter, code: str) -> str:
    """A code as it is compared."""
    if parameter.datatypes == {"string"}:
        return code.casefold()
    return contact(code) if parameter.datatypes == {"ContactPoint"} else code


def _coded(parameter: Parameter) -> Test:
    with_system = not parameter.datatypes.isdisjoint(_HAS_SYSTEM)
    indexes = parameter.indexes
    no_pipe = parameter.datatypes <= {"ContactPoint", "uri"}

    def matched(value: str, base_url: str) -> Filter:
        system, code = read(value)
        if system is not None and no_pipe:
            raise Problem.invalid(f"{value!r}: {parameter.code!r} has no systems; give the value without |")
        if code is None:
            return either([within for index in indexes for within in _within(index, system or "")])
        code = form(parameter, code)
        if system is not None:
            sought = tuple(keys(parameter, system, code))
            return either([Equal(index, sought) for index in indexes])
        if with_system:
            return either([_any_system(index, code) for index in indexes])
        return either([Equal(index, (digest8(code) + NO_SYSTEM,)) for index in indexes])

    def _within(index: str, system: str) -> list[Filter]:
        found: list[Filter] = [Equal(f"{index}:system", (digest8(system),))]
        if not with_system and implied(parameter, system):
            found.append(Present(index))
        return found

    return matched


def _any_system(index: str, code: str) -> Range:
    head = digest8(code)
    return Range(index, head, head + _AFTER_SYSTEMS)


def _of_type(parameter: Parameter) -> Test:
    def matched(value: str, base_url: str) -> Filter:
        parts = [unescape(part) for part in split(value, "|")]
        if len(parts) != 3 or not all(parts):
            raise Problem.invalid(
                f"{value!r} is no system|code|value of an identifier's type and value, such as "
                "http://terminology.hl7.org/CodeSystem/v2-0203|MR|12345"
            )
        sought = of_type_key(*parts)
        return either([Equal(f"{index}:of-type", (sought,)) for index in parameter.indexes])

    return matched


def _of_type_where(parameter: Parameter) -> tuple[str, ...]:
    return ("of-type",) if "Identifier" in parameter.datatypes else ()
