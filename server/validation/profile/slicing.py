"""slicing: which slice of a list each of its items is in.

https://hl7.org/fhir/R4/profiling.html#slicing, https://hl7.org/fhir/R4/profiling.html#discriminator

A discriminator is compiled into a test of an item: it is in the slice, it is not, or (None) that rests on what is not
loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from server.fhir.definition import lineage
from server.validation.profile import binding, structure, value
from server.validation.profile.item import Item, reached, type_of
from server.validation.profile.run import Run, target_type
from server.validation.profile.structure import STRUCTURE
from server.validation.profile.tree import Node

Matches = Callable[[Item, Run], bool | None]
Steps = tuple[str, ...]

_STEP = re.compile(r"extension\('([^']*)'\)|ofType\((\w+)\)|resolve\(\)|\$this|\w+").finditer
DEFAULT = "@default"


def matcher(slicing: Mapping[str, Any], node: Node, conforms: Callable[[Item, Run], bool | None]) -> Matches:
    """The test of whether an item is in a slice. `conforms` is it where nothing discriminates."""
    tests = [_discriminates(one["type"], _steps(one["path"]), node) for one in slicing.get("discriminator", ())]
    if not tests:
        return conforms
    if len(tests) == 1:
        return tests[0]
    return lambda item, run: all_of(test(item, run) for test in tests)


def all_of(answers: Iterable[bool | None]) -> bool | None:
    """No where one is no; yes where all are yes."""
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def _steps(path: str) -> Steps:
    return tuple(step[0] for step in _STEP(path) if step[0] != "$this")


def _discriminates(kind: str, steps: Steps, node: Node) -> Matches:
    if kind in {"value", "pattern"}:
        return _by_value(steps, node)
    if kind == "exists":
        return _by_existence(steps, node)
    if kind == "type":
        return _by_type(steps, node)
    return _by_profile(steps, node)


# What an item has at a discriminator's path


def _values(item: Item, steps: Steps, run: Run) -> list[Item]:
    found = [item]
    for step in steps:
        found = [inner for outer in found for inner in _step(outer, step, run)]
    return found


def _step(item: Item, step: str, run: Run) -> Iterable[Item]:
    if step == "resolve()":
        return _resolved(item, run)
    if step.startswith("extension("):
        url = step[11:-2]
        return [one for one in reached(item, "extension") if one.holder.get("url") == url]
    if step.startswith("ofType("):
        return [item] if type_of(item) == step[7:-1] else []
    return reached(item, step)


def _resolved(item: Item, run: Run) -> Iterator[Item]:
    reference = item.holder.get("reference")
    if type(reference) is str:
        resource = run.resolved(reference)
        type_name = target_type(reference, resource)
        if type_name is not None:
            yield Item(resource, None, type_name, item.path)


# What a slice says there


def _said(node: Node, steps: Steps) -> Iterator[tuple[Node, Steps]]:
    """The nodes on the way, each with the steps that are left; the last has none left."""
    yield node, steps
    if not steps:
        return
    step, rest = steps[0], steps[1:]
    if step.startswith("ofType(") or step == "resolve()":
        yield from _said(node, rest)
    elif step.startswith("extension("):
        extensions = node.child("extension")
        for one in extensions.slices if extensions else ():
            if step[11:-2] in _profiles(one):
                yield from _said(one, rest)
    elif (inner := node.child(step)) is not None:
        yield from _said(inner, rest)
        for one in inner.slices:  # a choice of one type, or of one slice, says what it is in there
            if len(inner.slices) == 1:
                yield from _said(one, rest)


def _by_value(steps: Steps, node: Node) -> Matches:
    if steps == ("url",) and (urls := _profiles(node)):
        return lambda item, _: item.holder.get("url") in urls
    for said, rest in _said(node, steps):
        for prefix in ("fixed", "pattern"):
            wanted = value.given(said.definition, prefix)
            parts = _parts(wanted, rest) if wanted is not None else []
            if parts:
                return lambda item, run: _has_all(item, run, steps, parts)
    bound = next((said.definition["binding"] for said, rest in _said(node, steps) if not rest and _binds(said)), None)
    if bound is not None:
        name = bound["valueSet"]
        return lambda item, run: _any(binding.holds(one, run, name) for one in _values(item, steps, run))
    return lambda item, run: None


def _has_all(item: Item, run: Run, steps: Steps, parts: Sequence[Any]) -> bool:
    found = [one.value for one in _values(item, steps, run)]
    return all(any(value.contains(one, part) for one in found) for part in parts)


def _parts(wanted: Any, rest: Steps) -> list[Any]:
    """What a fixed or pattern value says further down."""
    found = [wanted]
    for step in rest:
        inner = [one.get(step) for one in found if type(one) is dict]
        found = [part for one in inner if one is not None for part in (one if type(one) is list else [one])]
    return found


def _binds(node: Node) -> bool:
    bound = node.definition.get("binding", {})
    return bound.get("strength") == "required" and "valueSet" in bound


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False


def _by_existence(steps: Steps, node: Node) -> Matches:
    ends = [said.definition for said, rest in _said(node, steps) if not rest]
    absent = any(end.get("max") == "0" for end in ends)
    if not absent and not any(end.get("min", 0) >= 1 for end in ends):
        return lambda item, run: None
    return lambda item, run: bool(_values(item, steps, run)) is not absent


def _by_type(steps: Steps, node: Node) -> Matches:
    ends = [said for said, rest in _said(node, steps) if not rest]
    end = ends[-1] if ends else node
    types = {str(one["code"]) for one in end.definition.get("type", ())}
    if steps and steps[-1] == "resolve()":
        return lambda item, run: _leads_to(item, run, steps, _targets(end))
    return lambda item, run: any(type_of(one) in types for one in _values(item, steps, run))


def _leads_to(item: Item, run: Run, steps: Steps, targets: Sequence[str]) -> bool | None:
    """Whether a reference leads to one of the types that are named, or that profiles named are of."""
    found = [one.type for one in _values(item, steps, run)]
    if not found:
        return None
    known = [run.profile(target) for target in targets if not target.startswith(STRUCTURE)]
    types = {target.removeprefix(STRUCTURE) for target in targets} | {one[0].type for one in known if one}
    return True if types & set(found) else None if None in known else False


def _by_profile(steps: Steps, node: Node) -> Matches:
    ends = [said for said, rest in _said(node, steps) if not rest]
    end = ends[-1] if ends else node
    names = _targets(end) if steps and steps[-1] == "resolve()" else _profiles(end)

    def by_profile(item: Item, run: Run) -> bool | None:
        found = [one for one in _values(item, steps, run) if one.value is not None]
        if not found or not names:
            return None
        return _any(_conforms(one, run, name) for one in found for name in names)

    return by_profile


def _conforms(item: Item, run: Run, name: str) -> bool | None:
    """By a profile that is loaded; by R4's own definition of a type, whether it is one."""
    url = name.partition("|")[0]
    if structure.is_own(url):
        return url.removeprefix(STRUCTURE) in lineage(type_of(item))
    return run.trial(item, name)


def _profiles(node: Node) -> list[str]:
    return [str(name) for one in node.definition.get("type", ()) for name in one.get("profile", ())]


def _targets(node: Node) -> list[str]:
    return [str(name) for one in node.definition.get("type", ()) for name in one.get("targetProfile", ())]
