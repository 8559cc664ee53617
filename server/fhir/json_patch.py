"""JSON Patch: a resource changed by operations on its JSON, each at a place that a JSON Pointer names.

https://www.rfc-editor.org/rfc/rfc6902, https://www.rfc-editor.org/rfc/rfc6901, https://hl7.org/fhir/R4/http.html#patch

What cannot be read is malformed (400); an operation that does not fit the resource as it is, a `test` among them, is
unprocessable (422). Numbers keep their digits, and true is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from server.fhir import bundle
from server.fhir.body import MAX_DEPTH, NAMED
from server.outcome import Problem

MEDIA_TYPE = "application/json-patch+json"
MAX_OPERATIONS = 1000
MAX_VALUES = 500_000  # values that one patch may write: a few copies of copies are more than any resource has

Pointer = tuple[str, ...]


class Operation(NamedTuple):
    """One operation. `source` is its "from"; `path` and it are unescaped reference tokens."""

    number: int
    op: str
    path: Pointer
    source: Pointer = ()
    value: Any = None

    def place(self, member: str = "path") -> str:
        """Where it stands, for OperationOutcome.issue.expression."""
        return f"http.body[{self.number}].{member}"


class JsonPatch:
    """Operations, to be done in their order."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations

    def applied(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource that the patch makes of this one, which is used up. Problem unprocessable (422)."""
        document = _Document(resource)
        for operation in self.operations:
            _OPERATIONS[operation.op](document, operation)
        if not isinstance(document.root, dict):
            raise _unfit(self.operations[-1], "the whole is no JSON object any more; a resource is one")
        return document.root

    def links_in(self, known: Container[str]) -> set[str]:
        """What in the values may be a link: each of `known`, and each conditional reference."""
        found: set[str] = set()
        for operation in self.operations:
            name = operation.path[-1] if operation.path else ""
            found |= bundle.links_in({name: operation.value}, known)
        return found


def read(document: Any) -> JsonPatch:
    """Read a JSON Patch document. Problem malformed (400) where it is none."""
    if not isinstance(document, list):
        raise Problem.malformed(
            "A JSON Patch is an array of operations; Parameters are sent as application/fhir+json",
            "http.body",
        )
    if len(document) > MAX_OPERATIONS:
        raise Problem.of("too_costly", f"A patch may have {MAX_OPERATIONS} operations; send the whole resource by PUT")
    return JsonPatch([_operation(index, one) for index, one in enumerate(document)])


def _operation(index: int, members: Any) -> Operation:
    if not isinstance(members, dict):
        raise Problem.malformed("An operation is an object", f"http.body[{index}]")
    op = members.get("op")
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise Problem.malformed(f"op is one of {', '.join(_OPERATIONS)}", f"http.body[{index}].op")
    path = _pointer(index, members, "path")
    if op in {"add", "replace", "test"} and "value" not in members:
        raise Problem.of("required", f"{op} takes a value", f"http.body[{index}].value")
    source = _pointer(index, members, "from") if op in {"move", "copy"} else ()
    if op == "move" and path != source and path[: len(source)] == source:
        raise Problem.malformed("A value cannot be moved into itself", f"http.body[{index}].path")
    return Operation(index, op, path, source, members.get("value"))


def _pointer(index: int, members: Mapping[str, Any], name: str) -> Pointer:
    text = members.get(name)
    place = f"http.body[{index}].{name}"
    if not isinstance(text, str):
        raise Problem.of("required", f"{name} is a JSON Pointer, such as /name/0/family", place)
    if text and not text.startswith("/"):
        raise Problem.malformed(f"A JSON Pointer starts with /; {text[:NAMED]!r} does not", place)
    tokens = text.split("/")[1:]
    if len(tokens) > MAX_DEPTH:
        raise Problem.malformed(f"A resource is no more than {MAX_DEPTH} levels deep", place)
    for token in tokens:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise Problem.malformed(f"In a JSON Pointer ~ is written ~0; {token[:NAMED]!r} has one alone", place)
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


class _Document:
    """The resource while it is patched."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.written = 0

    def get(self, operation: Operation, path: Pointer, member: str = "path") -> Any:
        """The value at a place, which must be there."""
        found = self.root
        for depth, token in enumerate(path):
            if isinstance(found, dict) and token in found:
                found = found[token]
            elif isinstance(found, list):
                found = found[_index(operation, path[: depth + 1], len(found) - 1, member)]
            else:
                raise _missing(operation, path[: depth + 1], member)
        return found

    def add(self, operation: Operation, value: Any) -> None:
        path = operation.path
        if not path:
            self.root = value
            return
        parent = self.get(operation, path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif isinstance(parent, list):
            end = len(parent)
            parent.insert(end if path[-1] == "-" else _index(operation, path, end), value)
        else:
            raise _missing(operation, path, "path")

    def remove(self, operation: Operation, path: Pointer, member: str = "path") -> Any:
        value = self.get(operation, path, member)
        if not path:
            raise _unfit(operation, "the whole resource is removed by DELETE", member)
        parent = self.get(operation, path[:-1], member)
        del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
        return value

    def replace(self, operation: Operation, value: Any) -> None:
        path = operation.path
        self.get(operation, path)
        if not path:
            self.root = value
            return
        parent = self.get(operation, path[:-1])
        parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = value

    def copy(self, operation: Operation, value: Any, depth: int = 0) -> Any:
        """A value of the document's own: the patch may be applied again, and copies of copies are bounded."""
        self.written += 1
        if self.written > MAX_VALUES:
            raise Problem.of("too_costly", "The patch writes too much; send the whole resource by PUT")
        if depth > MAX_DEPTH:
            raise _unfit(operation, f"the resource would be nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            return {name: self.copy(operation, part, depth + 1) for name, part in value.items()}
        if isinstance(value, list):
            return [self.copy(operation, part, depth + 1) for part in value]
        return value


def _add(document: _Document, operation: Operation) -> None:
    document.add(operation, document.copy(operation, operation.value))


def _remove(document: _Document, operation: Operation) -> None:
    document.remove(operation, operation.path)


def _replace(document: _Document, operation: Operation) -> None:
    document.replace(operation, document.copy(operation, operation.value))


def _move(document: _Document, operation: Operation) -> None:
    if operation.path == operation.source:
        document.get(operation, operation.source, "from")
    else:
        document.add(operation, document.remove(operation, operation.source, "from"))


def _copy(document: _Document, operation: Operation) -> None:
    document.add(operation, document.copy(operation, document.get(operation, operation.source, "from")))


def _test(document: _Document, operation: Operation) -> None:
    if not _equal(document.get(operation, operation.path), operation.value):
        raise _unfit(operation, f"the test fails: {_written(operation.path)} has another value", "value")


_OPERATIONS: Mapping[str, Callable[[_Document, Operation], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _index(operation: Operation, path: Pointer, last: int, member: str = "path") -> int:
    """The array index at the end of a path. Problem unprocessable (422) where it is none, or beyond the last."""
    token = path[-1]
    if not (token.isascii() and token.isdecimal() and not (len(token) > 1 and token.startswith("0"))):
        raise _unfit(operation, f"{_written(path[:-1])} is an array, and {token[:NAMED]!r} is no index of one", member)
    if len(token) > len(str(MAX_VALUES)) or int(token) > last:
        raise _missing(operation, path, member)
    return int(token)


def _missing(operation: Operation, path: Pointer, member: str) -> Problem:
    return _unfit(operation, f"nothing is at {_written(path)}", member)


def _unfit(operation: Operation, why: str, member: str = "path") -> Problem:
    text = f"Operation {operation.number} ({operation.op} {_written(operation.path)}): {why}"
    return Problem.of("unprocessable", text, operation.place(member))


def _written(path: Pointer) -> str:
    text = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def _equal(stored: Any, value: Any) -> bool:
    """RFC 6902, 4.6: numbers are equal where their values are; what is of another kind never is."""
    if isinstance(stored, dict):
        return (
            isinstance(value, dict)
            and stored.keys() == value.keys()
            and all(_equal(part, value[name]) for name, part in stored.items())
        )
    if isinstance(stored, list):
        return isinstance(value, list) and len(stored) == len(value) and all(map(_equal, stored, value))
    return _kind(stored) == _kind(value) and bool(stored == value)


def _kind(value: Any) -> type:
    return Decimal if type(value) is int else type(value)
