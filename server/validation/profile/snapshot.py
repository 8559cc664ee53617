"""snapshot: the whole of a profile, made from its base's and from what it says itself.

https://hl7.org/fhir/R4/profiling.html#snapshot

Elements are found by their ids ("CarePlan.category:AssessPlan.coding"). Where a differential leads below an element
that the base leaves closed, the members of the element's type are unfolded there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from server.fhir.definition import TYPES
from server.ledger import Resource
from server.validation.conformance import Definitions
from server.validation.profile import structure
from server.validation.profile.structure import STRUCTURE, ElementDefinition, Structure

DEEPEST = 16  # profiles that rest on one another
MOST = 5_000  # elements of a differential
_PLACE = frozenset({"id", "path", "sliceName"})


def elements(definitions: Definitions, profile: Structure, deep: int = 0) -> list[ElementDefinition] | None:
    """The profile's snapshot: as it came, or made; None where what it rests on is not loaded."""
    if profile.snapshot:
        return list(identified(profile.snapshot))
    base = of_base(definitions, profile.base, deep) if len(profile.differential) <= MOST else None
    if base is None:
        return None
    return built(base, identified(profile.differential), lambda type: _unfolded(definitions, type, deep))


class Whole(NamedTuple):
    """A snapshot, and the places in the differential that name what the base does not have."""

    elements: list[ElementDefinition]
    unknown: list[int]


def whole(definitions: Definitions, resource: Resource) -> Whole | None:
    """The snapshot of a StructureDefinition, made from its differential with all that it says."""
    base = of_base(definitions, resource.get("baseDefinition", ""))
    if base is None:
        return None
    said = list(identified(resource.get("differential", {}).get("element", ())))
    made = _built(base, said, lambda type: _unfolded(definitions, type, 0))
    return Whole(made.elements, [index for index, element in enumerate(said) if made.at(element["id"]) is None])


def of_base(definitions: Definitions, name: str, deep: int = 0) -> list[ElementDefinition] | None:
    """The snapshot that a canonical names: one of R4's types, or a profile that is loaded."""
    if structure.is_own(name.partition("|")[0]):
        return structure.own(name.partition("|")[0].removeprefix(STRUCTURE))
    known = structure.find(definitions, name)
    return elements(definitions, known.read, deep + 1) if known and deep < DEEPEST else None


def _unfolded(definitions: Definitions, type: dict[str, list[str]], deep: int) -> list[ElementDefinition]:
    """The snapshot of an element's type: of its profile where it has one that is loaded."""
    for name in type.get("profile", ()):
        found = of_base(definitions, name, deep)
        if found:
            return found
    code = str(type["code"])
    return structure.own(code) if code in TYPES else []


def identified(elements: Iterable[ElementDefinition]) -> Iterable[ElementDefinition]:
    """Each with an id. One without gets it from its path and the slices that it stands in."""
    slices: dict[str, str] = {}  # path -> id of the slice that is open there
    for element in elements:
        path = element["path"]
        if "id" not in element:
            parent, _, name = path.rpartition(".")
            id = f"{slices.get(parent, parent)}.{name}" if parent else path
            element = element | {"id": f"{id}:{element['sliceName']}" if "sliceName" in element else id}
        slices[path] = element["id"]
        yield element


def built(
    base: Sequence[ElementDefinition],
    differential: Iterable[ElementDefinition],
    unfolded: Callable[[dict[str, list[str]]], list[ElementDefinition]],
) -> list[ElementDefinition]:
    """The base's elements, with what the differential says of each. `unfolded` gives a type's own elements."""
    return _built(base, list(differential), unfolded).elements


def _built(
    base: Sequence[ElementDefinition],
    said: Sequence[ElementDefinition],
    unfolded: Callable[[dict[str, list[str]]], list[ElementDefinition]],
) -> _Snapshot:
    made = _Snapshot([dict(element) for element in base], unfolded, {one["path"]: one.get("min", 0) for one in said})
    for element in said:
        made.say(element)
    return made


class _Snapshot:
    """Elements in their order, as a differential is worked into them."""

    def __init__(
        self,
        elements: list[ElementDefinition],
        unfolded: Callable[[dict[str, list[str]]], list[ElementDefinition]],
        said: dict[str, int],
    ) -> None:
        self.elements = elements
        self.said = said
        self.unfolded = unfolded
        self.by_id = {element["id"]: element for element in elements}

    def say(self, said: ElementDefinition) -> None:
        """Work one element of the differential in."""
        found = self.at(said["id"])
        if found is None:
            return  # it names what its base does not have
        for name, value in said.items():
            if name == "constraint":
                known = {one["key"] for one in found.get("constraint", ())}
                found["constraint"] = found.get("constraint", []) + [one for one in value if one["key"] not in known]
            elif name not in _PLACE:
                if name.startswith(("fixed", "pattern")):
                    _without(found, ("fixed", "pattern"))
                found[name] = value

    def at(self, id: str) -> ElementDefinition | None:
        """The element of an id: made where it is a new slice, or a member of a type that is still folded."""
        found = self.by_id.get(id)
        if found is None and "." in id:
            parent_id, _, step = id.rpartition(".")
            parent = self.at(parent_id)
            found = self.member(parent["id"], step) if parent is not None else None
            if found is not None:
                self.by_id[id] = found  # an id may be short for another
        return found

    def member(self, parent: str, step: str) -> ElementDefinition | None:
        name, _, slice_name = step.partition(":")
        if slice_name:
            return self.slice(f"{parent}.{name}", slice_name)
        self.unfold(parent)
        return self.by_id.get(f"{parent}.{name}") or self.choice(parent, name)

    def slice(self, sliced: str, name: str) -> ElementDefinition | None:
        """A slice, if need be a new one beside its siblings; `a/b` is a slice of the slice `a`."""
        if f"{sliced}:{name}" in self.by_id:
            return self.by_id[f"{sliced}:{name}"]
        outer, _, _ = name.rpartition("/")
        of = f"{sliced}:{outer}" if outer else sliced
        source = self.at(of)
        if source is None:
            return None
        made = {key: value for key, value in source.items() if key != "slicing"}
        made |= {"id": f"{sliced}:{name}", "sliceName": name, "min": 0}
        self.insert(self.end(sliced), [made])
        return made

    def choice(self, parent: str, name: str) -> ElementDefinition | None:
        """`valueQuantity` is short for the slice of `value[x]` that is a Quantity, and, required, for the only one."""
        for group in list(self.below(parent)):
            stem = group["path"].rpartition(".")[2].removesuffix("[x]")
            types = {stem + _capital(one["code"]): one for one in group.get("type", ())}
            if group["id"] != f"{parent}.{stem}[x]" or name not in types:
                continue
            if len(types) == 1 and f"{group['id']}:{name}" not in self.by_id:
                return group
            path = group["path"].removesuffix("[x]") + name[len(stem) :]
            if self.said.get(path, 0) >= 1:
                group |= {"type": [types[name]], "min": 1}
            by_type = {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}
            group.setdefault("slicing", by_type)
            made = self.slice(group["id"], name)
            assert made is not None, "its group is there"
            made["type"] = [types[name]]
            return made
        return None

    def unfold(self, id: str) -> None:
        """Give an element its members: those of the element that it is a slice of, or else its type's."""
        if any(True for _ in self.below(id)):
            return
        head, colon, _ = id.rpartition(":")
        inner = list(self.below(head)) if colon and "." not in id[len(head) :] else []
        element = self.by_id[id]
        content = element.get("contentReference", "")[element.get("contentReference", "").find("#") + 1 :]
        source = head if inner else content
        if not inner and content:
            inner = list(self.below(content))
        if not inner:
            types = element.get("type", ())
            found = self.unfolded(types[0]) if len(types) == 1 else structure.own("Element")
            source, inner = (found[0]["id"], found[1:]) if found else ("", [])
        path = element["path"]
        place = self.elements.index(element) + 1
        self.insert(place, [_moved(one, source, id, path) for one in inner])

    def below(self, id: str) -> Iterable[ElementDefinition]:
        return (element for element in self.elements if element["id"].startswith(f"{id}."))

    def end(self, id: str) -> int:
        """The place after an element, its members and its slices."""
        marks = (f"{id}.", f"{id}:")
        return 1 + max(
            index
            for index, element in enumerate(self.elements)
            if element["id"] == id or element["id"].startswith(marks)
        )

    def insert(self, place: int, elements: list[ElementDefinition]) -> None:
        self.elements[place:place] = elements
        self.by_id.update((element["id"], element) for element in elements)


def _moved(element: ElementDefinition, source: str, id: str, path: str) -> ElementDefinition:
    rest = element["id"][len(source) :]
    steps = ".".join(step.partition(":")[0] for step in rest.split("."))
    return element | {"id": id + rest, "path": path + steps}


def _without(element: ElementDefinition, prefixes: tuple[str, ...]) -> None:
    for name in [name for name in element if name.startswith(prefixes)]:
        del element[name]


def _capital(code: str) -> str:
    return code[:1].upper() + code[1:]
