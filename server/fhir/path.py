"""FHIRPath for places: which elements of a resource an expression selects, in a time that is bounded.

http://hl7.org/fhirpath/, https://hl7.org/fhir/R4/fhirpatch.html

Of FHIRPath what finds an element: names, indexes, where, first, last, single, ofType, extension and the like, and in a
criterion comparisons, and, or, exists, not, startsWith. Values alone are compared, as FHIRPath does; dates as texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from server.fhir.tree import Node
from server.outcome import Problem

MAX_LENGTH = 2000  # characters of an expression
MAX_STEPS = 300_000  # elements looked at in one walk
MAX_NESTED = 20

Items = list[Any]  # Nodes, and the values of literals and functions


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class This:
    """The focus itself."""


@dataclass(frozen=True, slots=True)
class Member:
    base: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    base: Expression
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    base: Expression
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    name: str
    left: Expression
    right: Expression


Expression = Literal | This | Member | Index | Call | Operator


# Reading


@lru_cache(1024)
def parse(text: str) -> Expression:
    """Read an expression. ValueError, with its reason, where it is none of those that name a place."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    reader = _Reader(text)
    found = reader.binary(0)
    if reader.word:
        raise ValueError(f"{reader.word!r} is too much")
    return found


_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<date>@[0-9T:.Z+-]+)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]+`)|(?P<mark>!=|!~|<=|>=|\$this|[.()\[\],=~<>]))""",
    re.VERBOSE,
)
_OPERATORS = (("or", "xor"), ("and",), ("in", "contains"), ("=", "!=", "~", "!~"), ("<", "<=", ">", ">="))
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))")


class _Reader:
    """Recursive descent over an expression's tokens, the next of which is `word`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nested = 0
        self.kind, self.word = "", ""
        self.next()

    def next(self) -> str:
        """Go on; answers the token that was passed."""
        passed = self.word
        found = _TOKEN.match(self.text, self.at)
        if found:
            self.kind, self.word, self.at = found.lastgroup or "", found[found.lastgroup or 0], found.end()
        elif self.text[self.at :].strip():
            raise ValueError(f"{self.text[self.at :].strip()[:20]!r} is no FHIRPath")
        else:
            self.kind, self.word, self.at = "", "", len(self.text)
        return passed

    def expect(self, mark: str) -> None:
        if self.word != mark or self.kind == "string":
            raise ValueError(f"{mark!r} was expected" + (f" before {self.word!r}" if self.word else " at the end"))
        self.next()

    def binary(self, level: int) -> Expression:
        if level == len(_OPERATORS):
            return self.typed()
        left = self.binary(level + 1)
        while self.kind in {"name", "mark"} and self.word in _OPERATORS[level]:
            left = Operator(self.next(), left, self.binary(level + 1))
        return left

    def typed(self) -> Expression:
        left = self.term()
        while self.kind == "name" and self.word in {"as", "is"}:
            name = self.next()
            left = Call(left, "ofType" if name == "as" else name, (self.type(),))
        return left

    def type(self) -> Expression:
        if self.kind != "name":
            raise ValueError("the name of a type was expected")
        name = self.next()
        if name in {"FHIR", "System"} and self.word == ".":
            self.next()
            name = self.next()
        return Literal(name.strip("`"))

    def term(self) -> Expression:
        self.nested += 1
        if self.nested > MAX_NESTED:
            raise ValueError(f"it is nested more than {MAX_NESTED} levels deep")
        found = self.first()
        while self.kind == "mark" and self.word in {".", "["}:
            if self.next() == ".":
                if self.kind != "name":
                    raise ValueError("a name was expected after '.'")
                found = self.invocation(found)
            else:
                if self.kind != "number" or "." in self.word:
                    raise ValueError("an index is a whole number")
                found = Index(found, int(self.next()))
                self.expect("]")
        self.nested -= 1
        return found

    def first(self) -> Expression:
        kind, word = self.kind, self.word
        if kind == "string":
            return Literal(_unescaped(self.next()))
        if kind == "number":
            return Literal(Decimal(self.next()))
        if kind == "date":
            return Literal(self.next().removeprefix("@").removeprefix("T"))
        if word == "(":
            self.next()
            found = self.binary(0)
            self.expect(")")
            return found
        if word == "$this":
            self.next()
            return This()
        if kind == "name":
            return Literal(self.next() == "true") if word in {"true", "false"} else self.invocation(This())
        raise ValueError(f"{word!r} is not where an expression starts" if word else "it ends too early")

    def invocation(self, base: Expression) -> Expression:
        name = self.next()
        if self.word != "(" or self.kind != "mark":
            return Member(base, name.strip("`"))
        if name not in _FUNCTIONS:
            raise ValueError(f"{name}() names no place; there are {', '.join(sorted(_FUNCTIONS))}")
        self.next()
        arguments: list[Expression] = []
        while self.word != ")" or self.kind == "string":
            arguments.append(self.type() if name in _OF_TYPE else self.binary(0))
            if self.word == ",":
                self.next()
            elif self.word != ")":
                raise ValueError("')' was expected")
        self.next()
        least, most = _ARGUMENTS.get(name, (0, 0))
        if not least <= len(arguments) <= most:
            raise ValueError(f"{name}() takes another number of arguments")
        return Call(base, "ofType" if name == "as" else name, tuple(arguments))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2]), text[1:-1]
    )


# Selecting


class Walk:
    """Expressions over one resource, and how much they may still look at, all together."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.left = MAX_STEPS

    def nodes(self, expression: Expression) -> list[Node]:
        """The elements that the expression finds, in the document's order. Problem unprocessable, or too_costly."""
        return [item for item in self.items(expression, [self.root]) if isinstance(item, Node)]

    def items(self, expression: Expression, focus: Items) -> Items:
        match expression:
            case This():
                return focus
            case Literal(value):
                return [value]
            case Member(base, name):
                return self.members(base, name, focus)
            case Index(base, at):
                return self.items(base, focus)[at : at + 1]
            case Call(base, name, arguments):
                return _FUNCTIONS[name](self, self.items(base, focus), arguments)
            case Operator(name, left, right):
                return _OPERATIONS[name](self.items(left, focus), self.items(right, focus))

    def members(self, base: Expression, name: str, focus: Items) -> Items:
        if isinstance(base, This) and focus == [self.root] and name in {self.root.type, "Resource", "DomainResource"}:
            return focus
        found: Items = []
        for item in self.items(base, focus):
            if isinstance(item, Node):
                self.spend(len(item.children) + 1)
                found += item.named(name)
        return found

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Problem.of("too_costly", "The path looks at too many elements; name the place by an index")

    def where(self, items: Items, criterion: Expression) -> Items:
        self.spend(len(items))
        return [item for item in items if _is_true(self.items(criterion, [item]))]


def _where(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return walk.where(items, arguments[0])


def _exists(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return [bool(walk.where(items, arguments[0]) if arguments else items)]


def _all(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return [len(walk.where(items, arguments[0])) == len(items)]


def _empty(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return [not items]


def _not(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return [not _is_true(items)] if items else []


def _first(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return items[:1]


def _last(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return items[-1:]


def _tail(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return items[1:]


def _single(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    if len(items) > 1:
        raise Problem.of("unprocessable", f"single() of {len(items)} elements: narrow the path")
    return items


def _count(walk: Walk, items: Items, _: Sequence[Expression]) -> Items:
    return [Decimal(len(items))]


def _of_type(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    wanted = walk.items(arguments[0], [])[0]
    return [item for item in items if isinstance(item, Node) and item.type == wanted]


def _is(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return [bool(_of_type(walk, items, arguments))] if items else []


def _extension(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    found = walk.members(This(), "extension", items)
    url = _values(walk.items(arguments[0], items))
    return [one for one in found if _values(one.named("url")) == url]


def _starts_with(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return _text(walk, items, arguments, str.startswith)


def _ends_with(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return _text(walk, items, arguments, str.endswith)


def _contains(walk: Walk, items: Items, arguments: Sequence[Expression]) -> Items:
    return _text(walk, items, arguments, str.__contains__)


def _text(walk: Walk, items: Items, arguments: Sequence[Expression], test: Callable[[str, str], bool]) -> Items:
    own, other = _values(items), _values(walk.items(arguments[0], items))
    if len(own) == len(other) == 1 and isinstance(own[0], str) and isinstance(other[0], str):
        return [test(own[0], other[0])]
    return []


_FUNCTIONS: Mapping[str, Callable[[Walk, Items, Sequence[Expression]], Items]] = {
    "where": _where,
    "exists": _exists,
    "all": _all,
    "empty": _empty,
    "not": _not,
    "first": _first,
    "last": _last,
    "tail": _tail,
    "single": _single,
    "count": _count,
    "ofType": _of_type,
    "as": _of_type,
    "is": _is,
    "extension": _extension,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "contains": _contains,
}
_OF_TYPE = frozenset({"ofType", "as", "is"})
_ARGUMENTS = {  # where there are any: the least, the most
    **dict.fromkeys(("where", "all", "extension", "startsWith", "endsWith", "contains", *_OF_TYPE), (1, 1)),
    "exists": (0, 1),
}


def _values(items: Items) -> Items:
    """What is compared: primitives alone, since a comparison of whole structures takes as long as they are large."""
    found = []
    for item in items:
        if isinstance(item, Node) and not item.is_primitive:
            raise Problem.of("unprocessable", f"A criterion compares values; {item.name} is a {item.type}")
        found.append(item.value if isinstance(item, Node) else item)
    return found


def _is_true(items: Items) -> bool:
    """A criterion holds where it is true, or one thing that is no boolean."""
    if len(items) != 1:
        return False
    value = items[0].value if isinstance(items[0], Node) else items[0]
    return value if isinstance(value, bool) else True


def _equal(left: Items, right: Items) -> Items:
    if not left or not right:
        return []
    own, other = _values(left), _values(right)
    return [len(own) == len(other) and all(map(_same, own, other))]


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _equivalent(left: Items, right: Items) -> Items:
    return [sorted(map(_folded, _values(left))) == sorted(map(_folded, _values(right)))]


def _folded(value: Any) -> str:
    return " ".join(value.split()).casefold() if isinstance(value, str) else repr(value)


def _negated(operation: Callable[[Items, Items], Items]) -> Callable[[Items, Items], Items]:
    return lambda left, right: [not found for found in operation(left, right)]


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[Items, Items], Items]:
    def compare(left: Items, right: Items) -> Items:
        own, other = _values(left), _values(right)
        if len(own) != 1 or len(other) != 1:
            return []
        if isinstance(own[0], str) != isinstance(other[0], str) or isinstance(own[0], dict | bool):
            return []
        return [test(own[0], other[0])]

    return compare


def _in(left: Items, right: Items) -> Items:
    own, others = _values(left), _values(right)
    return [any(_same(own[0], other) for other in others)] if len(own) == 1 else []


def _truth(items: Items) -> bool | None:
    return _is_true(items) if items else None


def _and(left: Items, right: Items) -> Items:
    both = {_truth(left), _truth(right)}
    return [False] if False in both else [] if None in both else [True]


def _or(left: Items, right: Items) -> Items:
    both = {_truth(left), _truth(right)}
    return [True] if True in both else [] if None in both else [False]


def _xor(left: Items, right: Items) -> Items:
    one, other = _truth(left), _truth(right)
    return [] if one is None or other is None else [one != other]


_OPERATIONS: Mapping[str, Callable[[Items, Items], Items]] = {
    "=": _equal,
    "!=": _negated(_equal),
    "~": _equivalent,
    "!~": _negated(_equivalent),
    "<": _compared(lambda one, other: one < other),
    "<=": _compared(lambda one, other: one <= other),
    ">": _compared(lambda one, other: one > other),
    ">=": _compared(lambda one, other: one >= other),
    "in": _in,
    "contains": lambda left, right: _in(right, left),
    "and": _and,
    "or": _or,
    "xor": _xor,
}
