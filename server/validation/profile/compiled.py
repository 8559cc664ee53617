"""A profile compiled: its snapshot as closures, one pass over a resource.

https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/elementdefinition.html

What R4's own type asks for already is left out, so that a pass costs what the profile adds. Every check takes an
item and tells the run what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.fhir.definition import RESOURCE_TYPES, Element
from server.validation.profile import element, slicing
from server.validation.profile.item import Item, members, rows, type_of
from server.validation.profile.run import Check, Run
from server.validation.profile.slicing import DEFAULT, Matches
from server.validation.profile.structure import ElementDefinition, Structure
from server.validation.profile.tree import Node, grown


def compile(profile: Structure, elements: Sequence[ElementDefinition]) -> Check:
    """The check of a whole resource or data type that is to conform to a profile."""
    return _Compiler(profile, elements).whole()


class _Compiler:
    """Compiles one snapshot."""

    def __init__(self, profile: Structure, elements: Sequence[ElementDefinition]) -> None:
        self.profile = profile
        self.root, self.by_id = grown(elements)
        self.begun: dict[str, list[Check]] = {}  # what a contentReference leads to

    def rule(self, node: Node) -> str:
        return f"{self.profile.canonical} {node.id}"

    def whole(self) -> Check:
        checks = self.item(self.root, self.profile.type, ())
        type_name = self.profile.type

        def whole(item: Item, run: Run) -> None:
            found = type_of(item)
            if found != type_name and type_name in RESOURCE_TYPES:
                run.say("structure", "", f"It is a {found}; the profile is of {type_name}", self.profile.canonical)
                return
            for check in checks:
                check(item, run)

        return whole

    # One item

    def item(self, node: Node, owner: str, found: Sequence[Element]) -> list[Check]:
        """What an element asks of each of its items; `owner` is the type whose members it has.

        `found` are the rows of R4's table for it: one, or one a type of a choice.
        """
        definition, rule = node.definition, self.rule(node)
        checks = [
            *element.exact(definition, rule),
            *element.coded(definition, found, rule),
            *element.sized(definition, rule),
            *element.typed(definition, found, rule),
            *element.invariants(definition, self.profile.canonical),
        ]
        return [*checks, *self.below(node, owner)]

    def below(self, node: Node, owner: str) -> list[Check]:
        """What its members have to be: its own, or those of the element that it refers to."""
        content = str(node.definition.get("contentReference", "")).rpartition("#")[2]
        if node.children or content not in self.by_id or not self.by_id[content].children:
            return [check for child in node.children.values() for check in self.member(child, owner)]
        if content not in self.begun:
            self.begun[content] = checks = []
            checks += self.below(self.by_id[content], owner)
        referred = self.begun[content]

        def refer(item: Item, run: Run) -> None:
            for check in referred:
                check(item, run)

        return [refer]

    # The items of one element

    def member(self, node: Node, owner: str) -> list[Check]:
        """What an element asks of all its items in one place."""
        found = rows(owner, node.name)
        if not found:
            return []
        get = members(owner, node.name)
        checks = self.item(node, _owner(node, found), found)
        count = element.counted(node.definition, found[0], self.rule(node))
        sliced = self.sliced(node, found)
        if not checks and count is None and sliced is None:
            return []

        def member(item: Item, run: Run) -> None:
            items = get(item)
            if count is not None:
                count(items, item, run)
            for one in items:
                for check in checks:
                    check(one, run)
            if sliced is not None:
                sliced(items, item, run)

        return [member]

    # Slices

    def sliced(self, node: Node, found: Sequence[Element]) -> Callable[[list[Item], Item, Run], None] | None:
        rules = node.definition.get("slicing", {})
        if not node.slices and rules.get("rules") != "closed":
            return None
        slices = [self.slice(rules, one, found) for one in node.slices]
        if all(one.idle for one in slices) and rules.get("rules", "open") == "open" and not rules.get("ordered"):
            return None
        return _Sliced(rules, slices, self.rule(node)).check

    def slice(self, rules: Mapping[str, Any], node: Node, found: Sequence[Element]) -> _Slice:
        checks = self.item(node, _owner(node, found), found)
        conforms = _conforming(checks)
        matches = slicing.matcher(rules, node, conforms)
        return _Slice(node, matches, checks, self.sliced(node, found), self.rule(node))


def _owner(node: Node, found: Sequence[Element]) -> str:
    """The type whose members an element has: of a choice of several, what they share."""
    if len(found) == 1:
        return found[0].types[0]
    codes = {str(one["code"]) for one in node.definition.get("type", ())}
    named = [row.types[0] for row in found if row.types[0] in codes]
    return named[0] if len(named) == 1 else "Element"


def _conforming(checks: Sequence[Check]) -> Matches:
    def conforms(item: Item, run: Run) -> bool | None:
        within = run.within()
        for check in checks:
            check(item, within)
        return not within.has_errors

    return conforms


class _Slice:
    """One slice: which items are in it, how many there may be, and what is asked of each."""

    def __init__(
        self,
        node: Node,
        matches: Matches,
        checks: list[Check],
        sliced: Callable[[list[Item], Item, Run], None] | None,
        rule: str,
    ) -> None:
        self.name = node.slice_name
        self.matches = matches
        self.checks = checks
        self.sliced = sliced
        self.rule = rule
        self.min = int(node.definition.get("min", 0))
        self.max = element.greatest(node.definition)

    @property
    def idle(self) -> bool:
        """Whether it asks for nothing."""
        return not (self.checks or self.sliced or self.min or self.max is not None)

    def check(self, items: list[Item], unsure: int, place: Item, path: str, run: Run) -> None:
        if len(items) + unsure < self.min:
            words = f"The slice {self.name} stands {element.times(len(items))}, and {self.min} at least"
            run.say("required", path, words, self.rule)
        if self.max is not None and len(items) > self.max:
            words = f"The slice {self.name} stands {element.times(len(items))}, and {self.max} at most"
            run.say("structure", path, words, self.rule)
        for item in items:
            for check in self.checks:
                check(item, run)
        if self.sliced is not None:
            self.sliced(items, place, run)


class _Sliced:
    """All slices of one element."""

    def __init__(self, rules: Mapping[str, Any], slices: list[_Slice], rule: str) -> None:
        self.named = [one for one in slices if one.name.rpartition("/")[2] != DEFAULT]
        self.rest = next((one for one in slices if one.name.rpartition("/")[2] == DEFAULT), None)
        self.is_closed = rules.get("rules") == "closed"
        self.is_open_at_end = rules.get("rules") == "openAtEnd"
        self.is_ordered = bool(rules.get("ordered"))
        self.rule = rule

    def check(self, items: list[Item], place: Item, run: Run) -> None:
        found: list[list[Item]] = [[] for _ in self.named]
        order: list[int] = []
        unsure: list[Item] = []
        left: list[Item] = []
        for item in items:
            number = self.of(item, run, unsure)
            if number is not None:
                found[number].append(item)
                order.append(number)
            elif not unsure or unsure[-1] is not item:
                left.append(item)
                order.append(len(self.named))
        path = self.place(items, place)
        for one, own in zip(self.named, found, strict=True):
            one.check(own, len(unsure), place, path, run)
        if self.rest is not None:
            self.rest.check(left, 0, place, path, run)
        elif self.is_closed:
            for item in left:
                names = ", ".join(one.name for one in self.named) or "none"
                run.say("structure", item.path, f"It is in none of the slices, and they are closed: {names}", self.rule)
        self.check_order(order, path, run)

    def of(self, item: Item, run: Run, unsure: list[Item]) -> int | None:
        """Which slice an item is in; one that cannot be told is put by."""
        is_unsure = False
        for number, one in enumerate(self.named):
            matches = one.matches(item, run)
            if matches:
                return number
            is_unsure = is_unsure or matches is None
        if is_unsure:
            unsure.append(item)
            run.leave(f"Which slice of {self.rule} it is in rests on what is not loaded", item.path)
        return None

    def check_order(self, order: list[int], path: str, run: Run) -> None:
        named = [number for number in order if number < len(self.named)]
        if self.is_ordered and named != sorted(named):
            run.say("structure", path, "The slices are not in their order", self.rule)
        if self.is_open_at_end and order != [*named, *[len(self.named)] * (len(order) - len(named))]:
            run.say("structure", path, "What is in no slice stands after all that is in one", self.rule)

    def place(self, items: list[Item], place: Item) -> str:
        name = self.rule.rpartition(" ")[2].rpartition(".")[2].partition(":")[0].removesuffix("[x]")
        return f"{place.path}.{name}" if name else place.path
