"""Body: a resource's JSON as the client sent it, read once, strictly, with the places where the server writes.

https://hl7.org/fhir/R4/json.html

The client's bytes are the truth. They are parsed to be checked and indexed, and stored as they came, with `id`, and
`meta.versionId` and `meta.lastUpdated`, set in place. Numbers with a fraction or an exponent become Decimal, so that
1.10 stays 1.10, and so do integers too long for orjson to write. Refused: what is no UTF-8 or no JSON, NaN and
Infinity, a name twice in one object, half of a surrogate pair, and depth beyond MAX_DEPTH.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import orjson

from server.outcome import Problem

MAX_DEPTH = 100
NAMED = 64  # characters of a client's word that a message repeats
_SAFE = 18  # digits that fit 64 bits whatever they are

Span = tuple[int, int]
SPANNED = frozenset({"resourceType", "id", "meta"})  # the members where the server writes
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_FEW = 10_000  # brackets
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_space = re.compile(r"[ \t\n\r]*").match


@dataclass(frozen=True, slots=True)
class Body:
    """One resource: `resource` is its JSON; `source` its text; `spans` where the values of SPANNED stand in it."""

    resource: dict[str, Any]
    source: str
    spans: dict[str, Span]

    @property
    def type(self) -> str:
        return str(self.resource["resourceType"])

    @property
    def id(self) -> str | None:
        return self.resource.get("id")

    def text(self, id: str) -> tuple[bytes, bytes]:
        """The bytes before and after the version stamp, which stands first in `meta`: what Change.text takes."""
        insert_at = self.spans["resourceType"][1]
        pieces: list[tuple[int, int, str, str]] = []  # (from, to, before the stamp, after it)
        new_id = orjson.dumps(id).decode()
        if span := self.spans.get("id"):
            pieces.append((*span, new_id, ""))
            added = ""
        else:
            added = f',"id":{new_id}'
        if span := self.spans.get("meta"):
            rest = _meta_rest(self.source, span[0])
            pieces.append((*span, "{\0", ("," + rest if rest else "") + "}"))
            if added:
                pieces.append((insert_at, insert_at, added, ""))
        else:
            pieces.append((insert_at, insert_at, f'{added},"meta":{{\0', "}"))
        pieces.sort()
        return _spliced(self.source, pieces)

    @classmethod
    def of(cls, resource: dict[str, Any]) -> Body:
        """The body of a resource that the server made."""
        return parse(dumps(resource))


class Entry(NamedTuple):
    """One Bundle.entry: its members but `resource`, which is a Body of its own."""

    members: dict[str, Any]
    resource: Body | None


def parse(data: bytes) -> Body:
    """Read one resource. Problem malformed (400) where it is none."""
    text = _decode(data)
    resource, spans, end = _resource(text, _space(text, 0).end())  # type: ignore[union-attr]
    _at_end(text, end)
    return Body(resource, text, spans)


def parse_bundle(data: bytes) -> tuple[dict[str, Any], list[Entry]]:
    """Read a Bundle: its own members but `entry`, and the entries, each resource with the text that it came in."""
    text = _decode(data)
    entries: list[Entry] = []

    def member(name: str, at: int) -> tuple[Any, int]:
        if name != "entry":
            return _value(text, at)
        if text[at : at + 1] != "[":
            raise Problem.malformed("Bundle.entry is an array", "Bundle.entry")
        return _array(text, at, entry)

    def entry(index: int, at: int) -> tuple[Any, int]:
        if text[at : at + 1] != "{":
            raise Problem.malformed("A Bundle.entry is an object", f"Bundle.entry[{index}]")
        found: list[Body] = []

        def part(name: str, at: int) -> tuple[Any, int]:
            if name != "resource":
                return _value(text, at)
            if text[at : at + 1] != "{":
                raise Problem.malformed("A resource is an object", f"Bundle.entry[{index}].resource")
            resource, spans, end = _resource(text, at, f"Bundle.entry[{index}].resource")
            found.append(Body(resource, text[at:end], {n: (a - at, b - at) for n, (a, b) in spans.items()}))
            return None, end

        members, end = _object(text, at, part)
        members.pop("resource", None)
        entries.append(Entry(members, found[0] if found else None))
        return None, end

    start = _space(text, 0).end()  # type: ignore[union-attr]
    if text[start : start + 1] != "{":
        raise Problem.malformed("The body is not a JSON object; a FHIR resource is one")
    bundle, end = _object(text, start, member)
    _at_end(text, end)
    bundle.pop("entry", None)
    return bundle, entries


def loads(data: bytes) -> Any:
    """Any JSON, read by the same rules."""
    text = _decode(data)
    value, end = _value(text, _space(text, 0).end())  # type: ignore[union-attr]
    _at_end(text, end)
    return value


def dumps(value: Any, *, pretty: bool = False, sorted: bool = False) -> bytes:
    """JSON as UTF-8; a Decimal is written with the digits that it has."""
    option = (orjson.OPT_INDENT_2 if pretty else 0) | (orjson.OPT_SORT_KEYS if sorted else 0)
    return orjson.dumps(value, default=_fragment, option=option)


def indented(data: bytes) -> bytes:
    """JSON that was written here, at whatever depth, in the form that people read."""
    return dumps(_decoder.decode(data.decode()), pretty=True)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def _decode(data: bytes) -> str:
    _check_depth(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem.malformed(f"The body is not UTF-8: byte {error.start} does not fit") from None
    if _SURROGATE.search(text):
        _check_surrogates(text)
    return text


def _check_depth(data: bytes) -> None:
    """Count nesting without a walk: pairs of brackets vanish from the inside out, one level a pass.

    Brackets inside strings can keep the rest from vanishing, and so can depth; only then are strings left out and each
    bracket is looked at.
    """
    brackets = data.translate(None, _NOT_BRACKETS)
    if len(brackets) <= MAX_DEPTH:
        return
    for _ in range(MAX_DEPTH):
        before = len(brackets)
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return
        if len(brackets) > max(_FEW, before // 8 * 7):
            break  # a hundred passes over what hardly shrinks would take longer than the walk
    steps = map(_STEPS.__getitem__, _STRING.sub(b"", data).translate(None, _NOT_BRACKETS))
    if any(map(MAX_DEPTH.__lt__, accumulate(steps))):
        raise Problem.malformed(f"The body is nested more than {MAX_DEPTH} levels deep")


def _check_surrogates(text: str) -> None:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Problem.malformed("The body escapes half of a surrogate pair (\\ud800-\\udfff); give both") from None
    except (ValueError, RecursionError):
        return  # no JSON at all: the parser says where


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)[:NAMED]
        raise Problem.malformed(f"The name {twice!r} stands twice in one object; JSON leaves open which one counts")
    return found


def _no_constant(name: str) -> Any:
    raise Problem.malformed(f"{name} is no JSON number")


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _SAFE else Decimal(int(digits))


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_float=Decimal, parse_int=_integer, parse_constant=_no_constant
)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]


_plain_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _scan(text, at)
    except StopIteration as stop:
        raise _not_json(text, stop.value, "a value was expected") from None
    except json.JSONDecodeError as error:
        raise _not_json(text, error.pos, error.msg) from None
    except (ValueError, InvalidOperation):  # more digits than Python reads, or an exponent beyond 10^18
        raise _not_json(text, at, "a number is too large") from None
    except RecursionError:
        raise Problem.malformed(f"The body is nested more than {MAX_DEPTH} levels deep") from None


def _not_json(text: str, at: int, why: str) -> Problem:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return Problem.malformed(f"The body is not JSON: {why} at line {line}, column {column}")


def _at_end(text: str, end: int) -> None:
    end = _space(text, end).end()  # type: ignore[union-attr]
    if end != len(text):
        raise _not_json(text, end, "nothing more was expected")


def _object(text: str, at: int, read: Callable[[str, int], tuple[Any, int]]) -> tuple[dict[str, Any], int]:
    """Read the object at `at`, each member's value by `read(name, start) -> (value, end)`."""
    found: dict[str, Any] = {}
    at = _space(text, at + 1).end()  # type: ignore[union-attr]
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise _not_json(text, at, "a name in double quotes was expected")
        try:
            name, at = scanstring(text, at + 1, True)
        except json.JSONDecodeError as error:
            raise _not_json(text, error.pos, error.msg) from None
        at = _space(text, at).end()  # type: ignore[union-attr]
        if text[at : at + 1] != ":":
            raise _not_json(text, at, "':' was expected")
        at = _space(text, at + 1).end()  # type: ignore[union-attr]
        value, at = read(name, at)
        if name in found:
            _no_duplicates([(name, None), (name, None)])
        found[name] = value
        at = _space(text, at).end()  # type: ignore[union-attr]
        mark = text[at : at + 1]
        if mark == "}":
            return found, at + 1
        if mark != ",":
            raise _not_json(text, at, "',' or '}' was expected")
        at = _space(text, at + 1).end()  # type: ignore[union-attr]


def _array(text: str, at: int, read: Callable[[int, int], tuple[Any, int]]) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _space(text, at + 1).end()  # type: ignore[union-attr]
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        value, at = read(len(found), at)
        found.append(value)
        at = _space(text, at).end()  # type: ignore[union-attr]
        mark = text[at : at + 1]
        if mark == "]":
            return found, at + 1
        if mark != ",":
            raise _not_json(text, at, "',' or ']' was expected")
        at = _space(text, at + 1).end()  # type: ignore[union-attr]


def _resource(text: str, at: int, place: str = "") -> tuple[dict[str, Any], dict[str, Span], int]:
    if text[at : at + 1] != "{":
        raise Problem.malformed("The body is not a JSON object; a FHIR resource is one", *filter(None, [place]))
    resource, end = _value(text, at)
    if not isinstance(resource.get("resourceType"), str):
        raise Problem.malformed(
            'A resource names its type: {"resourceType": "CarePlan", …}', f"{place}.resourceType".lstrip(".")
        )
    return resource, _spans(text, at, SPANNED & resource.keys()), end


def _spans(text: str, at: int, names: Set[str]) -> dict[str, Span]:
    """Where the values of some members of an object, which has them, stand. They are most often its first."""
    spans: dict[str, Span] = {}
    while len(spans) < len(names):
        name, at = scanstring(text, _space(text, at + 1).end() + 1, True)  # type: ignore[union-attr]
        at = _space(text, _space(text, at).end() + 1).end()  # type: ignore[union-attr]
        _, end = _plain_scan(text, at)
        if name in names:
            spans[name] = (at, end)
        at = _space(text, end).end()  # type: ignore[union-attr]
    return spans


def _meta_rest(source: str, at: int) -> str:
    """The text of meta's members but those that the server sets."""
    if source[at : at + 1] != "{":
        return ""  # validation says that meta is an object
    kept: list[str] = []

    def member(name: str, start: int) -> tuple[Any, int]:
        value, end = _value(source, start)
        if name not in {"versionId", "lastUpdated", "_versionId", "_lastUpdated"}:
            kept.append(f"{orjson.dumps(name).decode()}:{source[start:end]}")
        return value, end

    _object(source, at, member)
    return ",".join(kept)


def _spliced(source: str, pieces: list[tuple[int, int, str, str]]) -> tuple[bytes, bytes]:
    head: list[str] = []
    tail: list[str] = []
    at, stamped = 0, False
    for start, end, before, after in pieces:
        side = tail if stamped else head
        side.append(source[at:start])
        if "\0" in before:
            side.append(before.replace("\0", ""))
            side, stamped = tail, True
            side.append(after)
        else:
            side.append(before)
        at = end
    tail.append(source[at:])
    return "".join(head).encode(), "".join(tail).encode()
