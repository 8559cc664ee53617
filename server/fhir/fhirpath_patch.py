"""FHIRPath Patch: a resource changed by operations on its elements, each at a place that FHIRPath names.

https://hl7.org/fhir/R4/fhirpatch.html

What cannot be read is malformed (400); an operation that does not fit the resource as it is, is unprocessable (422).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

from server.fhir import bundle, tree
from server.fhir.body import NAMED
from server.fhir.datatype import NARROWER
from server.fhir.definition import PRIMITIVE_TYPES, Element
from server.fhir.json_patch import MAX_OPERATIONS
from server.fhir.path import Expression, Member, Walk, parse
from server.fhir.tree import Json, Node
from server.outcome import Problem

PARTS = {  # the parts that an operation has, and the types that R4's table gives them
    "type": {"valueCode", "valueString"},
    "path": {"valueString"},
    "name": {"valueString"},
    "index": {"valueInteger", "valueUnsignedInt", "valuePositiveInt"},
    "source": {"valueInteger", "valueUnsignedInt", "valuePositiveInt"},
    "destination": {"valueInteger", "valueUnsignedInt", "valuePositiveInt"},
}
TAKES = {
    "add": ("path", "name", "value"),
    "insert": ("path", "value", "index"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}


class Operation(NamedTuple):
    """One operation; `value` is the part that holds it, as Parameters has it."""

    number: int
    type: str
    path: str
    expression: Expression
    name: str = ""
    value: Json | None = None
    numbers: Mapping[str, int] = {}

    @property
    def place(self) -> str:
        return _place(self.number)

    def unfit(self, why: str) -> Problem:
        text = f"Operation {self.number} ({self.type} {self.path[:200]!r}): {why}"
        return Problem.of("unprocessable", text, self.place)


class FhirPathPatch:
    """Operations, to be done in their order."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations

    def applied(self, resource: Json) -> Json:
        """The resource that the patch makes of this one. Problem unprocessable (422)."""
        root = tree.of(resource)
        walk = Walk(root)
        for operation in self.operations:
            try:
                _OPERATIONS[operation.type](walk, operation)
            except Problem as problem:
                raise _placed(operation, problem) from None
        return tree.members(root)

    def links_in(self, known: Container[str]) -> set[str]:
        """What in the values may be a link: each of `known`, and each conditional reference."""
        found: set[str] = set()
        for operation in self.operations:
            if operation.value is not None:
                found |= bundle.links_in(operation.value, known)
                name = operation.expression.name if isinstance(operation.expression, Member) else ""
                found |= bundle.links_in({operation.name or name: operation.value.get("valueString")}, known)
        return found


def read(parameters: Json) -> FhirPathPatch:
    """Read a Parameters resource whose JSON is valid. Problem malformed (400) where it is no patch."""
    given = parameters.get("parameter", [])
    if len(given) > MAX_OPERATIONS:
        raise Problem.of("too_costly", f"A patch may have {MAX_OPERATIONS} operations; send the whole resource by PUT")
    return FhirPathPatch([_operation(index, one) for index, one in enumerate(given)])


def _operation(index: int, given: Json) -> Operation:
    if given["name"] != "operation":
        raise Problem.malformed(f"Each parameter is an operation; {given['name'][:NAMED]!r} is none", _place(index))
    parts = {part["name"]: part for part in given.get("part", ())}
    if len(parts) < len(given.get("part", ())):
        raise Problem.malformed("An operation names each of its parts once", _place(index))
    values = {name: _part(index, name, parts[name]) for name in PARTS if name in parts}
    type = values.get("type")
    if type not in TAKES:
        raise Problem.malformed(f"An operation's type is one of {', '.join(TAKES)}", _place(index, "type"))
    for name in TAKES[type]:
        if name not in parts:
            raise Problem.of("required", f"{type} takes {', '.join(TAKES[type])}; {name} is missing", _place(index))
    for name in sorted(parts.keys() - {"type", *TAKES[type]}):
        raise Problem.malformed(f"{type} takes {', '.join(TAKES[type])}; not {name[:NAMED]!r}", _place(index))
    try:
        expression = parse(values["path"])
    except ValueError as error:
        raise Problem.malformed(f"The path cannot be read: {error}", _place(index, "path")) from None
    numbers = {name: value for name, value in values.items() if isinstance(value, int)}
    return Operation(index, type, values["path"], expression, values.get("name", ""), parts.get("value"), numbers)


def _part(index: int, name: str, part: Json) -> Any:
    for member in PARTS[name]:
        if member in part:
            return part[member]
    raise Problem.malformed(f"{name} is given as {' or '.join(sorted(PARTS[name]))}", _place(index, name))


def _place(index: int, part: str = "") -> str:
    place = f"Parameters.parameter[{index}]"
    return f"{place}.part.where(name='{part}')" if part else place


def _placed(operation: Operation, problem: Problem) -> Problem:
    """A problem that the path itself has, at its operation."""
    if problem.issues[0].expression:
        return problem
    return Problem.of(
        problem.kind, f"Operation {operation.number}: {problem.issues[0].diagnostics}", _place(operation.number, "path")
    )


def _add(walk: Walk, operation: Operation) -> None:
    parent = _one(walk, operation, operation.expression)
    new = _valued(operation, parent, operation.name)
    if not new.repeats and parent.named(operation.name):
        raise operation.unfit(f"{operation.name} is there, and stands once: replace it")
    parent.put(new)


def _insert(walk: Walk, operation: Operation) -> None:
    parent, name = _list(walk, operation)
    new = _valued(operation, parent, name)
    if not new.repeats:
        raise operation.unfit(f"{name} stands once: add or replace it")
    items, at = parent.named(name), operation.numbers["index"]
    if not 0 <= at <= len(items):
        raise operation.unfit(f"the list has {len(items)} elements, so index is 0 to {len(items)}, not {at}")
    parent.put(new, at)


def _delete(walk: Walk, operation: Operation) -> None:
    found = walk.nodes(operation.expression)
    if len(found) > 1:
        raise operation.unfit(f"the path finds {len(found)} elements; delete takes one")
    for node in found:
        _check_part(operation, node)
        node.drop()


def _replace(walk: Walk, operation: Operation) -> None:
    node = _one(walk, operation, operation.expression)
    parent = _check_part(operation, node)
    known = parent.known()[node.name]
    new = _valued(operation, parent, known.choice or node.name)
    new.repeats = node.repeats
    node.swap(new)


def _move(walk: Walk, operation: Operation) -> None:
    parent, name = _list(walk, operation)
    items = parent.named(name)
    for which in ("source", "destination"):
        if not 0 <= operation.numbers[which] < len(items):
            raise operation.unfit(f"the list has {len(items)} elements; {which} is {operation.numbers[which]}")
    node = items[operation.numbers["source"]]
    parent.children.remove(node)
    parent.put(node, operation.numbers["destination"])


_OPERATIONS: Mapping[str, Callable[[Walk, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _one(walk: Walk, operation: Operation, expression: Expression) -> Node:
    """The one element that a path finds."""
    found = walk.nodes(expression)
    if len(found) != 1:
        raise operation.unfit(f"the path finds {len(found) or 'no'} elements; it must find one")
    return found[0]


def _list(walk: Walk, operation: Operation) -> tuple[Node, str]:
    """The element that has a list, which may be empty, and the list's name: what a path ends with."""
    expression = operation.expression
    if not isinstance(expression, Member):
        raise operation.unfit("the path names a list, such as Patient.identifier, and not an element of one")
    parent = _one(walk, operation, expression.base)
    return parent, expression.name


def _check_part(operation: Operation, node: Node) -> Node:
    """The element that has this one as its part."""
    if node.parent is None:
        raise operation.unfit("the path is of the resource itself; name an element of it")
    return node.parent


def _valued(operation: Operation, parent: Node, name: str) -> Node:
    """The new element, of a type that may stand under this name in `parent`."""
    known = parent.known()
    choices = [one for one in known.values() if (one.choice or one.name) == name]
    if not choices:
        raise operation.unfit(f"{parent.type} has no element {name[:NAMED]!r}{_meant(known, name)}")
    assert operation.value is not None
    return _from_part(operation, choices, operation.value)


def _meant(known: Mapping[str, Element], name: str) -> str:
    """What to write for valueQuantity."""
    element = known.get(name)
    return f"; it is {element.choice}, whatever type it has" if element else ""


def _from_part(operation: Operation, choices: Sequence[Element], part: Json) -> Node:
    """The element that a part holds: a value, a resource, or the parts of a backbone element."""
    accepted = {one.types[0]: one for one in choices}
    if "resource" in part:
        if "Resource" not in accepted:
            raise _mistyped(operation, choices, f"a {part['resource']['resourceType']}")
        return tree.element(accepted["Resource"], part["resource"])
    member = next((name.removeprefix("_") for name in part if name.removeprefix("_").startswith("value")), None)
    if member is not None:
        type = member.removeprefix("value")
        type = primitive if (primitive := type[0].lower() + type[1:]) in PRIMITIVE_TYPES else type
        if type == "string" and "xhtml" in accepted:
            type = "xhtml"  # which Parameters cannot hold
        if type not in accepted:
            type = next((wider for wider in accepted if type in NARROWER.get(wider, ())), type)
        if type not in accepted:
            raise _mistyped(operation, choices, f"a {type}")
        return tree.element(accepted[type], part.get(member), part.get(f"_{member}"))
    return _from_parts(operation, choices, part.get("part", ()))


def _from_parts(operation: Operation, choices: Sequence[Element], parts: Sequence[Json]) -> Node:
    definition = choices[0]
    node = Node(definition.name, definition.types[0], definition.max != 1)
    if not parts or len(choices) > 1 or node.is_primitive or definition.types[0] == "Resource":
        raise _mistyped(operation, choices, "parts" if parts else "empty")
    for part in parts:
        inner = [one for one in node.known().values() if (one.choice or one.name) == part["name"]]
        if not inner:
            raise operation.unfit(f"{node.type} has no element {part['name'][:NAMED]!r}")
        child = _from_part(operation, inner, part)
        if not child.repeats and node.named(part["name"]):
            raise operation.unfit(f"{part['name']} stands once in {node.type}")
        node.put(child)
    return node


def _mistyped(operation: Operation, choices: Sequence[Element], given: str) -> Problem:
    wanted = " or ".join(dict.fromkeys(one.types[0] for one in choices))
    return operation.unfit(f"{choices[0].choice or choices[0].name} is {wanted[:200]}; the value is {given}")
