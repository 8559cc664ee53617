"""Node: a snapshot's elements as a tree, each with its members and its slices.

https://hl7.org/fhir/R4/elementdefinition.html#id
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from server.validation.profile.structure import ElementDefinition


@dataclass(slots=True)
class Node:
    """One element. `slices` are in the order of their definition; a slice's own slices are its re-slices."""

    definition: ElementDefinition
    name: str
    slice_name: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    slices: list[Node] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.definition["id"])

    def child(self, name: str) -> Node | None:
        return self.children.get(name) or self.children.get(f"{name}[x]")


def grown(elements: Iterable[ElementDefinition]) -> tuple[Node, dict[str, Node]]:
    """The root, and every node by its id."""
    by_id: dict[str, Node] = {}
    root: Node | None = None
    for definition in elements:
        id = definition["id"]
        parent, _, step = id.rpartition(".")
        name, _, slice_name = step.partition(":")
        node = Node(definition, name, slice_name)
        by_id[id] = node
        if not parent:
            root = root or node
        elif slice_name:
            sliced = f"{parent}.{name}"
            outer = by_id.get(f"{sliced}:{slice_name.rpartition('/')[0]}") or by_id.get(sliced)
            if outer is not None:
                outer.slices.append(node)
        elif parent in by_id:
            by_id[parent].children[name] = node
    assert root is not None, "a snapshot has its root"
    return root, by_id
