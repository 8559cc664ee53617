"""Element: a resource as the tree that FHIRPath walks, where JSON's two halves of a primitive are one.

https://hl7.org/fhir/R4/element.html, https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from server.fhir.definition import PRIMITIVE_TYPES, RESOURCE_TYPES, Element, elements

Json = dict[str, Any]


@dataclass(slots=True, eq=False)
class Node:
    """An element. `name` is as JSON has it (valueQuantity), which has an array where it `repeats`.

    `value` is a primitive's; `type` is a data type, a resource type or a backbone element's path. The root has no name
    and no parent.
    """

    name: str
    type: str
    repeats: bool = False
    parent: Node | None = None
    value: Any = None
    children: list[Node] = field(default_factory=list)

    @property
    def is_primitive(self) -> bool:
        return self.type in PRIMITIVE_TYPES

    @property
    def is_empty(self) -> bool:
        return self.value is None and not self.children

    def known(self) -> Mapping[str, Element]:
        """The elements that this one may have, by their JSON names."""
        return elements("Element" if self.is_primitive else self.type)

    def named(self, name: str) -> list[Node]:
        """The children of a name, as FHIRPath says it: `value` for valueQuantity."""
        found = [child for child in self.children if child.name == name and not self._is_choice(child)]
        return found or [child for child in self.children if self._is_choice(child, name)]

    def _is_choice(self, child: Node, name: str | None = None) -> bool:
        choice = self.known()[child.name].choice
        return choice is not None and (name is None or choice == name)

    def put(self, child: Node, at: int | None = None) -> None:
        """Take a child, after those of its name, or at a place among them."""
        child.parent = self
        own = [index for index, one in enumerate(self.children) if one.name == child.name]
        if at is not None and at < len(own):
            self.children.insert(own[at], child)
        else:
            self.children.insert(own[-1] + 1 if own else len(self.children), child)

    def swap(self, new: Node) -> None:
        """Put another in this one's place."""
        assert self.parent is not None
        new.parent = self.parent
        siblings = self.parent.children
        siblings[siblings.index(self)] = new

    def drop(self) -> None:
        """Leave the tree, and with it each ancestor that has nothing else: FHIR knows no empty element."""
        parent = self.parent
        assert parent is not None
        parent.children.remove(self)
        if parent.is_empty and parent.parent is not None:
            parent.drop()


def of(resource: Json) -> Node:
    """The tree of a resource whose JSON is valid."""
    root = Node("", resource["resourceType"])
    _fill(root, resource)
    return root


def element(definition: Element, value: Any, more: Any = None) -> Node:
    """One element from its JSON; `more` is what stands under the name with an underscore: a primitive's extensions."""
    type = value["resourceType"] if definition.types[0] == "Resource" else definition.types[0]
    node = Node(definition.name, type, definition.max != 1)
    if node.is_primitive:
        node.value = value
        _fill(node, more or {})
    else:
        _fill(node, value)
    return node


def _fill(node: Node, members: Mapping[str, Any]) -> None:
    known = node.known()
    for name in dict.fromkeys(member.removeprefix("_") for member in members):
        if name != "resourceType" or node.type not in RESOURCE_TYPES:
            for value, more in _pairs(members.get(name), members.get(f"_{name}")):
                child = element(known[name], value, more)
                child.parent = node
                node.children.append(child)


def _pairs(value: Any, more: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list) or isinstance(more, list):
        yield from zip_longest(value or [], more or [])
    else:
        yield value, more


def json(node: Node) -> Any:
    """The element's JSON: a resource or an object; of a primitive its value."""
    return node.value if node.is_primitive else members(node)


def members(node: Node) -> Json:
    """The element's children as JSON has them."""
    found: Json = {"resourceType": node.type} if node.type in RESOURCE_TYPES else {}
    groups: dict[str, list[Node]] = {}
    for child in node.children:
        groups.setdefault(child.name, []).append(child)
    for name, group in groups.items():
        first = group[0]
        values = [json(child) for child in group]
        more = [members(child) or None for child in group] if first.is_primitive else []
        if any(value is not None for value in values):
            found[name] = values if first.repeats else values[0]
        if any(more):
            found[f"_{name}"] = more if first.repeats else more[0]
    return found
