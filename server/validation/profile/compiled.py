"""A profile compiled: its snapshot as closures, one pass over a resource.

https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/elementdefinition.html

What R4's own type asks for already is left out, so that a pass costs what the profile adds. Every check takes an
item and tells the run what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.fhir import fhirpath
from server.fhir.definition import RESOURCE_TYPES, Element
from server.validation.profile import binding, slicing, structure, value
from server.validation.profile.item import Item, members, rows, type_of
from server.validation.profile.run import Check, Run, target_type
from server.validation.profile.slicing import DEFAULT, Matches
from server.validation.profile.structure import STRUCTURE, ElementDefinition, Structure
from server.validation.profile.tree import Node, grown

NAMED = 64


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
            *_exact(definition, rule),
            *_bound(definition, found, rule),
            *_sized(definition, rule),
            *_typed(definition, found, rule),
            *self.invariants(node),
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

    def invariants(self, node: Node) -> list[Check]:
        """Those of the profile; R4's own are checked of every resource."""
        return [
            _invariant(one, self.profile.canonical)
            for one in node.definition.get("constraint", ())
            if "expression" in one and not structure.is_own(str(one.get("source", ""))) and one["key"] not in _OWN_KEYS
        ]

    # The items of one element

    def member(self, node: Node, owner: str) -> list[Check]:
        """What an element asks of all its items in one place."""
        found = rows(owner, node.name)
        if not found:
            return []
        get = members(owner, node.name)
        checks = self.item(node, _owner(node, found), found)
        count = _counted(node.definition, found[0], self.rule(node))
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


_OWN_KEYS = frozenset({"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6"})


def _conforming(checks: Sequence[Check]) -> Matches:
    def conforms(item: Item, run: Run) -> bool | None:
        within = Run(run.definitions, run.compile, run.resource, run.bundle, depth=run.depth + 1)
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
        self.max = _most(node.definition)

    @property
    def idle(self) -> bool:
        """Whether it asks for nothing."""
        return not (self.checks or self.sliced or self.min or self.max is not None)

    def check(self, items: list[Item], unsure: int, place: Item, path: str, run: Run) -> None:
        if len(items) + unsure < self.min:
            words = f"The slice {self.name} stands {_times(len(items))}, and {self.min} at least"
            run.say("required", path, words, self.rule)
        if self.max is not None and len(items) > self.max:
            words = f"The slice {self.name} stands {_times(len(items))}, and {self.max} at most"
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


# The checks


def _counted(definition: ElementDefinition, row: Element, rule: str) -> Callable[[list[Item], Item, Run], None] | None:
    """How often an element stands; None where that is what R4 says."""
    least, most = int(definition.get("min", 0)), _most(definition)
    base = row.max
    if least <= row.min and (most is None or (base is not None and most >= base)):
        return None
    name = row.choice or row.name

    def counted(items: list[Item], place: Item, run: Run) -> None:
        count = len(items)
        if count < least:
            words = f"{name} is required" if least == 1 else f"{name} stands {_times(count)}, and {least} at least"
            run.say("required", f"{place.path}.{name}", words, rule)
        if most is not None and count > most:
            words = f"{name} cannot stand" if not most else f"{name} stands {_times(count)}, and {most} at most"
            run.say("structure", f"{place.path}.{name}", words, rule)

    return counted


def _most(definition: ElementDefinition) -> int | None:
    most = str(definition.get("max", "*"))
    return int(most) if most.isdecimal() and most.isascii() else None


def _times(count: int) -> str:
    return {0: "nowhere", 1: "once"}.get(count, f"{count} times")


def _exact(definition: ElementDefinition, rule: str) -> list[Check]:
    fixed, pattern = value.given(definition, "fixed"), value.given(definition, "pattern")
    checks: list[Check] = []

    def is_fixed(item: Item, run: Run) -> None:
        if item.value is not None and not (item.value == fixed and type(item.value) is type(fixed)):
            run.say("value", item.path, f"It is {_told(fixed)}", rule)

    def has_pattern(item: Item, run: Run) -> None:
        if item.value is not None and not value.contains(item.value, pattern):
            run.say("value", item.path, f"It has {_told(pattern)}", rule)

    if fixed is not None:
        checks.append(is_fixed)
    if pattern is not None:
        checks.append(has_pattern)
    return checks


def _told(wanted: Any) -> str:
    if type(wanted) is dict and "coding" in wanted:
        return " and ".join(f"{one.get('system', '')}|{one.get('code', '')}" for one in wanted["coding"])
    return str(wanted)[: 4 * NAMED]


def _sized(definition: ElementDefinition, rule: str) -> list[Check]:
    longest = int(definition.get("maxLength", 0))
    least, most = value.given(definition, "minValue"), value.given(definition, "maxValue")

    def is_short(item: Item, run: Run) -> None:
        if type(item.value) is str and len(item.value) > longest:
            run.say("too-long", item.path, f"It has {len(item.value)} characters, and {longest} at most", rule)

    def lies(item: Item, run: Run) -> None:
        if item.value is not None and not value.lies(item.value, least, most):
            bounds = [f"{word} {_told(bound)}" for word, bound in (("from", least), ("to", most)) if bound is not None]
            run.say("value", item.path, f"It lies {' '.join(bounds)}", rule)

    checks: list[Check] = [is_short] if longest else []
    return [*checks, lies] if least is not None or most is not None else checks


def _bound(definition: ElementDefinition, found: Sequence[Element], rule: str) -> list[Check]:
    bound = definition.get("binding")
    if not bound:
        return []
    name = str(bound.get("valueSet", "")).partition("|")[0]
    if "maxValueSet" not in bound and any(row.codes and row.binding == name for row in found):
        return []  # R4's own, which every resource is checked for
    check = binding.check(bound, rule)
    return [check] if check else []


def _typed(definition: ElementDefinition, found: Sequence[Element], rule: str) -> list[Check]:
    types = definition.get("type", ())
    codes = {str(one["code"]) for one in types}
    base = {row.types[0] for row in found}
    checks: list[Check] = []
    if codes and (len(base) > 1 or base == {"Resource"}) and not base <= codes:
        checks.append(_of_types(codes, rule))
    for one in types:
        if one.get("profile") and one["code"] != "Extension":
            checks += _of_profiles(str(one["code"]), one["profile"], rule)
        if one.get("targetProfile") and one["code"] == "Reference":
            own = [{STRUCTURE + target for target in row.targets} for row in found if row.types == ("Reference",)]
            if set(one["targetProfile"]) not in own:
                checks.append(_leads_to(one["targetProfile"], rule))
    return checks


def _of_types(codes: set[str], rule: str) -> Check:
    def of_types(item: Item, run: Run) -> None:
        found = type_of(item)
        if found not in codes and not (found == "BackboneElement" and "Element" in codes):
            run.say("structure", item.path, f"It is a {found}, and can be {', '.join(sorted(codes))}", rule)

    return of_types


def _of_profiles(code: str, profiles: Sequence[str], rule: str) -> list[Check]:
    """A value of the type conforms to one of the profiles."""
    wanted = [name for name in profiles if not structure.is_own(name.partition("|")[0]) and name != _SIMPLE_QUANTITY]

    def of_profile(item: Item, run: Run) -> None:
        if code in {type_of(item), "Resource", "DomainResource"} and run.conform(item, wanted[0]) is None:
            run.leave(f"{wanted[0]} is not loaded: what is to conform to it is not checked", item.path)

    def of_one(item: Item, run: Run) -> None:
        answers = [run.trial(item, name) for name in wanted]
        if code in {type_of(item), "Resource", "DomainResource"} and not any(one is not False for one in answers):
            run.say("structure", item.path, f"It conforms to none of {', '.join(wanted)}", rule)

    if not wanted:
        return []
    return [of_profile if len(wanted) == 1 else of_one]


_SIMPLE_QUANTITY = f"{STRUCTURE}SimpleQuantity"


def _leads_to(targets: Sequence[str], rule: str) -> Check:
    """A reference leads to one of the types, and, where its target is at hand, to one that conforms."""
    own = {name.removeprefix(STRUCTURE) for name in targets if structure.is_own(name)}
    profiles = [name for name in targets if not structure.is_own(name)]

    def leads_to(item: Item, run: Run) -> None:
        reference = item.holder.get("reference")
        if type(reference) is not str or reference == "#":
            return
        resource = run.resolved(reference)
        found = target_type(reference, resource)
        if found is None or found in own or "Resource" in own:
            return
        loaded = [(name, run.profile(name)) for name in profiles]
        types = {one[0].type for _, one in loaded if one}
        if all(one for _, one in loaded) and found not in types:
            accepted = ", ".join(sorted(own | types))
            run.say("structure", item.path, f"It leads to a {found}, and can lead to {accepted}", rule)
        elif resource is not None:
            _conforms(resource, found, [name for name, one in loaded if one and one[0].type == found], item, run, rule)
        elif found in types:
            run.leave(_OUTSIDE, item.path, "informational")

    return leads_to


_OUTSIDE = "References lead out of the resource: whether their targets conform is not checked"


def _conforms(
    resource: dict[str, Any], type_name: str, profiles: Sequence[str], item: Item, run: Run, rule: str
) -> None:
    answers = [run.trial(Item(resource, None, type_name, item.path), name) for name in profiles]
    if answers and not any(answer is not False for answer in answers):
        run.say("structure", item.path, f"Its target conforms to none of {', '.join(profiles)}", rule)


def _invariant(constraint: Mapping[str, Any], profile: str) -> Check:
    key, words = str(constraint["key"]), str(constraint.get("human", constraint["expression"]))
    severity = constraint.get("severity", "error")
    expression = str(constraint["expression"])

    def invariant(item: Item, run: Run) -> None:
        if item.value is None:
            return
        try:
            holds = fhirpath.rule(expression)(item.value, item.type, run.resource)
        except Exception:  # noqa: BLE001 - whatever an expression that is not ours runs into
            run.leave(f"{key} of {profile} cannot be evaluated here", item.path, "not-supported")
            return
        if not holds:
            run.say("invariant", item.path, f"{key}: {words}", profile, "error" if severity == "error" else "warning")

    return invariant
