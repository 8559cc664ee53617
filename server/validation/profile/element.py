"""What a profile asks of single elements: how often, which value, type, code and target, and each invariant.

https://hl7.org/fhir/R4/elementdefinition.html

Each function makes the checks of one ElementDefinition: none where that says no more than R4's own type does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.fhir import fhirpath
from server.fhir.definition import Element
from server.validation.invariant import INVARIANTS
from server.validation.profile import binding, structure, value
from server.validation.profile.item import Item, type_of
from server.validation.profile.run import Check, Run, target_type
from server.validation.profile.structure import STRUCTURE, ElementDefinition

NAMED = 64
# R4's own, where a snapshot does not say whose they are; "inv-1" may be anybody's
_OWN_KEYS = frozenset(
    {"dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "ele-1", "ref-1", "txt-1", "txt-2"}
    | {one.key for found in INVARIANTS.values() for one in found if not one.key.startswith("inv")}
)


def invariants(definition: ElementDefinition, profile: str) -> list[Check]:
    """Those of the profile; R4's own are checked of every resource."""
    return [
        _invariant(one, profile) for one in definition.get("constraint", ()) if "expression" in one and not _is_own(one)
    ]


def _is_own(constraint: Mapping[str, Any]) -> bool:
    source = constraint.get("source")
    return constraint["key"] in _OWN_KEYS if source is None else structure.is_own(str(source))


def counted(definition: ElementDefinition, row: Element, rule: str) -> Callable[[list[Item], Item, Run], None] | None:
    """How often an element stands; None where that is what R4 says."""
    least, most = int(definition.get("min", 0)), greatest(definition)
    base = row.max
    if least <= row.min and (most is None or (base is not None and most >= base)):
        return None
    name = row.choice or row.name

    def counted(items: list[Item], place: Item, run: Run) -> None:
        count = len(items)
        if count < least:
            words = f"{name} is required" if least == 1 else f"{name} stands {times(count)}, and {least} at least"
            run.say("required", f"{place.path}.{name}", words, rule)
        if most is not None and count > most:
            words = f"{name} cannot stand" if not most else f"{name} stands {times(count)}, and {most} at most"
            run.say("structure", f"{place.path}.{name}", words, rule)

    return counted


def greatest(definition: ElementDefinition) -> int | None:
    most = str(definition.get("max", "*"))
    return int(most) if most.isdecimal() and most.isascii() else None


def times(count: int) -> str:
    return {0: "nowhere", 1: "once"}.get(count, f"{count} times")


def exact(definition: ElementDefinition, rule: str) -> list[Check]:
    """The checks of fixed[x], which a value is, and of pattern[x], which it contains."""
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


def sized(definition: ElementDefinition, rule: str) -> list[Check]:
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


def coded(definition: ElementDefinition, found: Sequence[Element], rule: str) -> list[Check]:
    bound = definition.get("binding")
    if not bound:
        return []
    name = str(bound.get("valueSet", "")).partition("|")[0]
    if "maxValueSet" not in bound and any(row.codes and row.binding == name for row in found):
        return []  # R4's own, which every resource is checked for
    check = binding.check(bound, rule)
    return [check] if check else []


def typed(definition: ElementDefinition, found: Sequence[Element], rule: str) -> list[Check]:
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
