"""Element: whether a resource's JSON is what R4 says its type is. One pass, every problem at once.

https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/json.html

The table of `fhir.definition` is compiled, per type and on first use, into closures that look each member up by its
name. A check answers None where all is right; otherwise it answers what it found, each with its path from where it
stands, so that a path is built only on the way out of a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from threading import RLock
from typing import Any, NamedTuple

from server.fhir.datatype import PRIMITIVES
from server.fhir.definition import RESOURCE_TYPES, SPECIFICATION, Element, elements, kind, lineage, page, value_set
from server.outcome import Issue
from server.validation import contained, narrative, reference
from server.validation.invariant import INVARIANTS, PROFILES
from server.validation.invariant.condition import Invariant, has
from server.validation.terminology import required as terminology

MOST = 100  # issues reported of one resource
NAMED = 64  # characters of a client's word that a message repeats

Json = dict[str, Any]
Fragments = list[str]  # the "#id" references seen in one resource


class Found(NamedTuple):
    """One problem: its path from where the check stands (".status", "[2].code"), the issue's type and diagnostics."""

    path: str
    code: str
    diagnostics: str


Check = Callable[[Any, Fragments], list[Found] | None]


def validate(resource: Json) -> list[Issue]:
    """Every problem of one resource, MOST of them at most; none where it is right."""
    found = _resource(resource, [])
    if not found:
        return []
    type_name = resource.get("resourceType")
    root = type_name if type(type_name) is str and type_name in RESOURCE_TYPES else "Resource"
    issues = [Issue(code, diagnostics, (root + path,)) for path, code, diagnostics in found[:MOST]]
    if len(found) > MOST:
        issues.append(Issue("incomplete", f"Only the first {MOST} problems are listed", (root,), "information"))
    return issues


def _joined(found: list[Found] | None, prefix: str, more: Iterable[Found]) -> list[Found] | None:
    """What was found so far, and more from a place below."""
    placed = [Found(prefix + path, code, diagnostics) for path, code, diagnostics in more]
    return (found + placed if found else placed) or None


def _broken(invariant: Invariant, type_name: str) -> Found:
    return Found("", "invariant", f"{invariant.key}: {invariant.words}: {page(type_name)}")


# Resources


def _resource(value: Any, _: Fragments) -> list[Found] | None:
    """A resource that stands on its own: the root, or the resource of a Bundle's entry or of a parameter."""
    fragments: Fragments = []
    found = _typed(value, fragments)
    if fragments or (type(value) is dict and "contained" in value):
        return _joined(found, "", _within(contained.together(value, fragments)))
    return found


def _contained(value: Any, fragments: Fragments) -> list[Found] | None:
    """A resource within another one, whose fragments are that one's."""
    found = _typed(value, fragments)
    if type(value) is not dict:
        return found
    return _joined(found, "", _within(contained.alone(value)))


def _within(broken: Iterable[tuple[str, str]]) -> list[Found]:
    link = page("DomainResource.contained")
    return [Found(path, "invariant", f"{words}: {link}") for path, words in islice(broken, MOST + 1)]


def _typed(value: Any, fragments: Fragments) -> list[Found] | None:
    if type(value) is not dict:
        return [Found("", "structure", f"A resource stands here, not {_kind_of(value)}")]
    type_name = value.get("resourceType")
    if type(type_name) is not str:
        return [Found(".resourceType", "structure", "A resource names its type in resourceType")]
    check = _resources.get(type_name)
    if check is None:
        if type_name not in RESOURCE_TYPES:
            hint = terminology.closest(type_name, RESOURCE_TYPES)
            return [Found(".resourceType", "structure", f"R4 has no resource type {type_name[:NAMED]}{hint}")]
        check = _compiled(type_name)
    return check(value, fragments)


# Compilation

_resources: dict[str, Check] = {}  # by resource type
_checks: dict[str, Check] = {}  # by type name, each complete with all that it leads to
_compiling = RLock()


def _compiled(type_name: str) -> Check:
    with _compiling:
        begun: dict[str, Check] = {}
        check = _compile(type_name, begun)
        _checks.update(begun)
        _resources[type_name] = check
    return check


def _compile(type_name: str, begun: dict[str, Check]) -> Check:
    """The check of a type. Types lead to one another in circles, so each stands in `begun` before its members do."""
    known = _checks.get(type_name) or begun.get(type_name)
    if known:
        return known
    shape = _Shape(type_name)
    begun[type_name] = check = shape.check()
    for name, row in shape.rows.items():
        if row.types[0] in PRIMITIVES:
            shape.primitive[name] = _conforms(row)
        else:
            shape.nested[name] = _member(row, begun)
    _compile("Element", begun)  # of the "_name" beside a primitive
    return check


def _conforms(row: Element) -> Callable[[object], bool]:
    conforms = _item_conforms(row)
    if row.max is not None:
        return conforms
    return lambda value: type(value) is list and value != [] and all(map(conforms, value))


def _item_conforms(row: Element) -> Callable[[object], bool]:
    return terminology.is_member(row.codes) if row.codes else PRIMITIVES[row.types[0]].conforms


def _member(row: Element, begun: dict[str, Check]) -> Check:
    check: Check
    if row.types == ("Resource",):
        check = _contained if row.name == "contained" else _resource
    elif row.types == ("Reference",):
        check = _reference(_compile("Reference", begun), row)
    else:
        check = _compile(row.types[0], begun)
        if row.types == ("Narrative",):
            check = _narrative(check)
    if row.codes and row.binding:
        members = value_set(row.binding)
        words = f"A coding of it is {terminology.words(row.binding, members)}"
        check = _also(check, terminology.has_member(members), Found("", "code-invalid", words))
    if row.profile:
        invariant = PROFILES[row.profile]
        check = _also(check, invariant.holds, _broken(invariant, row.types[0]))
    return check if row.max is not None else _array(check)


def _array(check: Check) -> Check:
    def check_array(value: Any, fragments: Fragments) -> list[Found] | None:
        if type(value) is not list or not value:
            return [_no_array(value)]
        found: list[Found] | None = None
        for index, item in enumerate(value):
            more = check(item, fragments)
            if more is not None:
                found = _joined(found, f"[{index}]", more)
                if found and len(found) > MOST:
                    break
        return found

    return check_array


def _reference(check: Check, row: Element) -> Check:
    targets = RESOURCE_TYPES if row.targets == ("Resource",) else frozenset(row.targets)

    def check_reference(value: Any, fragments: Fragments) -> list[Found] | None:
        found = check(value, fragments)
        text = value.get("reference") if type(value) is dict else None
        if type(text) is not str or not text or reference.leads_to(text, targets):
            return found
        if text.startswith("#"):
            fragments.append(text)
            return found
        words = reference.wrong(text, targets)
        wrong = [Found(".reference", "value", f"{words}: {page('Reference.reference')}")] if words else []
        return _joined(found, "", wrong)

    return check_reference


def _narrative(check: Check) -> Check:
    def check_narrative(value: Any, fragments: Fragments) -> list[Found] | None:
        found = check(value, fragments)
        broken = narrative.wrong(value["div"]) if found is None and "div" in value else None
        if broken is None:
            return found
        key, words = broken
        return [Found(".div", "invariant", f"{key}: {words}: {page('Narrative.div')}")]

    return check_narrative


def _also(check: Check, holds: Callable[[Json], bool], otherwise: Found) -> Check:
    """What an element asks beyond its type: a required binding, a profile."""

    def check_also(value: Any, fragments: Fragments) -> list[Found] | None:
        found = check(value, fragments)
        return [otherwise] if found is None and not holds(value) else found

    return check_also


class _Shape:
    """What one type allows: members by name, and what it asks of them together."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name
        self.rows = elements(type_name)
        self.primitive: dict[str, Callable[[object], bool]] = {}
        self.nested: dict[str, Check] = {}
        self.choices = _choices(self.rows.values())
        self.beside = {
            f"_{row.name}": row
            for row in self.rows.values()
            if row.types[0] in PRIMITIVES and row.name != "id" and self.named(row.name) not in _ATTRIBUTES
        }
        if kind(type_name) == "resource":
            self.primitive["resourceType"] = lambda _: True  # it led here

    def check(self) -> Check:
        primitive, nested = self.primitive.get, self.nested.get
        required = tuple(row.name for row in self.rows.values() if row.min and not row.choice)
        choices = tuple((group, rows[0].min, _names(rows)) for group, rows in self.choices.items())
        choosable = frozenset[str]().union(*(names for _, _, names in choices))
        harmless = -1 if any(minimum for _, minimum, _ in choices) else 1  # so many members cannot break a choice
        invariants = tuple(
            (invariant.holds, invariant) for name in lineage(self.type_name) for invariant in INVARIANTS.get(name, ())
        )

        def check(value: Any, fragments: Fragments) -> list[Found] | None:
            if type(value) is not dict:
                return [Found("", "structure", f"An object ({self.type_name}) stands here, not {_kind_of(value)}")]
            found: list[Found] | None = None
            more: list[Found] | None
            for name, item in value.items():
                conforms = primitive(name)
                if conforms is not None:
                    if conforms(item):
                        continue
                    more = self.wrong_primitive(name, value)
                else:
                    check_member = nested(name)
                    more = check_member(item, fragments) if check_member else self.other(name, value, fragments)
                    if more is None:
                        continue
                found = _joined(found, self.place(name), more)
                if found and len(found) > MOST:
                    return found
            if len(value) < 2 and (not value or "id" in value):
                found = _joined(found, "", [_ONLY_ID if value else _EMPTY])
            for name in required:
                if name not in value and not (f"_{name}" in value and f"_{name}" in self.beside):
                    found = _joined(found, "", [self.missing(name)])
            if choices and len(choosable & value.keys()) > harmless:
                for group, minimum, names in choices:
                    if not minimum <= len(names & value.keys()) <= 1:
                        found = _joined(found, "", self.wrong_choice(group, value))
            for holds, invariant in invariants:
                try:
                    if holds(value):
                        continue
                except (AttributeError, KeyError, TypeError, ValueError):
                    if found is None:
                        raise
                    continue  # a part is of another kind, and reported as such
                found = _joined(found, "", [_broken(invariant, self.type_name)])
            return found

        return check

    def place(self, name: str) -> str:
        """A member's step in FHIRPath: a choice goes without its type, `_birthDate` is `birthDate`."""
        row = self.rows.get(name) or self.beside.get(name)
        return f".{(row.choice or row.name) if row else name[:NAMED]}"

    def named(self, name: str) -> str:
        return f"{self.type_name}.{name}"

    def wrong_primitive(self, name: str, value: Json) -> list[Found]:
        row, item, beside = self.rows[name], value[name], value.get(f"_{name}")
        if row.max is not None:
            return [self.wrong_value(row, "", item)]
        if type(item) is not list or not item:
            return [_no_array(item)]
        conforms = _item_conforms(row)
        wrong = (
            self.wrong_value(row, f"[{index}]", part)
            for index, part in enumerate(item)
            if not conforms(part) and not (part is None and _stands_at(beside, index))
        )
        return list(islice(wrong, MOST + 1))

    def wrong_value(self, row: Element, path: str, item: Any) -> Found:
        primitive, name, link = PRIMITIVES[row.types[0]], self.named(row.name), page(self.named(row.name))
        if _kind_of(item) != primitive.json:
            return Found(path, "structure", f"{name} is {primitive.json}, not {_kind_of(item)}: {link}")
        if row.codes:
            hint = terminology.closest(item, row.codes)
            return Found(path, "code-invalid", f"{name} is {_accepted(row)}, not {item[:NAMED]!r}{hint}: {link}")
        return Found(path, "value", f"{name} is {_accepted(row)}: {link}")

    def other(self, name: str, value: Json, fragments: Fragments) -> list[Found] | None:
        """A member that is no element's name: `_name` beside a primitive, or unknown."""
        row = self.beside.get(name)
        if row is None:
            return [self.unknown(name)]
        if row.max is not None:
            return _beside(value[name], fragments, row.name in value)
        return self.beside_array(row, value, fragments)

    def beside_array(self, row: Element, value: Json, fragments: Fragments) -> list[Found] | None:
        """`_given` beside `given`: null, or an id and extensions, for each of its items."""
        items, beside = value.get(row.name), value[f"_{row.name}"]
        if type(beside) is not list or not beside or (type(items) is list and len(items) != len(beside)):
            words = f"_{row.name} is an array with an item, or null, for each of {self.named(row.name)}"
            return [Found("", "structure", f"{words}: {page(self.named(row.name))}")]
        found: list[Found] | None = None
        for index, item in enumerate(beside):
            if item is not None or not _stands_at(items, index):
                more = _beside(item, fragments, _stands_at(items, index))
                found = _joined(found, f"[{index}]", more or ())
                if found and len(found) > MOST:
                    break
        return found

    def unknown(self, name: str) -> Found:
        group = self.choices.get(name)
        if group:
            names = ", ".join(row.name for row in group[:3])
            hint = f"; its name carries its type: {names}{' …' if len(group) > 3 else ''}"
        else:
            hint = terminology.closest(name, self.rows)
        return Found("", "structure", f"{self.type_name} has no element {name[:NAMED]}{hint}: {page(self.type_name)}")

    def missing(self, name: str) -> Found:
        accepted = _accepted(self.rows[name])
        return Found(f".{name}", "required", f"{self.named(name)} is required, {accepted}: {page(self.named(name))}")

    def wrong_choice(self, group: str, value: Json) -> list[Found]:
        names = [row.name for row in self.choices[group] if has(value, row.name)]
        if len(names) == 1:
            return []
        link = page(self.named(f"{group}[x]"))
        if names:
            return [Found(f".{group}", "structure", f"Only one of {', '.join(names)} can stand: {link}")]
        choice = ", ".join(row.name for row in self.choices[group][: terminology.LISTED])
        return [Found(f".{group}", "required", f"{self.named(group)}[x] is required, one of {choice}: {link}")]


def _accepted(row: Element) -> str:
    """What an element takes, in words."""
    if row.codes and row.binding:
        return terminology.words(row.binding, value_set(row.binding))
    if row.types == ("Reference",):
        return f"a Reference to {', '.join(row.targets)}"
    return PRIMITIVES[row.types[0]].accepted if row.types[0] in PRIMITIVES else row.types[0]


def _no_array(value: Any) -> Found:
    words = "An array is not empty" if value == [] else f"An array stands here, even of one, not {_kind_of(value)}"
    return Found("", "structure", f"{words}: {_JSON}")


def _beside(item: Any, fragments: Fragments, stands: bool) -> list[Found] | None:
    """What stands beside a primitive: extensions, an id, or, where its value stands, the id alone."""
    found = _checks["Element"](item, fragments)
    return [problem for problem in found if not (stands and problem == _ONLY_ID)] or None if found else None


_JSON = f"{SPECIFICATION}json.html"
_ONLY_ID = Found("", "invariant", f"ele-1: there is more in an element than its id: {page('Element')}")
_EMPTY = Found("", "structure", f"An object is not empty: {_JSON}")
_ATTRIBUTES = frozenset({"Extension.url"})  # attributes in XML, so that they have no extensions


def _choices(rows: Iterable[Element]) -> dict[str, list[Element]]:
    choices: dict[str, list[Element]] = {}
    for row in rows:
        if row.choice:
            choices.setdefault(row.choice, []).append(row)
    return choices


def _names(rows: Iterable[Element]) -> frozenset[str]:
    return frozenset(name for row in rows for name in (row.name, f"_{row.name}"))


def _stands_at(items: Any, index: int) -> bool:
    return type(items) is list and index < len(items) and items[index] is not None


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


_KINDS = {
    bool: "a boolean",
    dict: "an object",
    list: "an array",
    str: "a string",
    type(None): "null",
}
