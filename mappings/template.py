"""Template: JSON with places for a row's values, which is filled by a row, and read back from what it was filled into.

    "{segment}"                     a string that holds one column's value
    {"$": "cin"}                    a column's value; with "codes" a code of the column stands for a template each,
                                    and "reads" are other ones that are read as the code
    {"$ref": "Patient", "system": S, "value": "cin"}   a reference by an identifier; with "entry" to one of the row
    {"$if": "end_code", "then": T}  there only where the column has a value
    {"$choose": [{"if": {"record": "D"}, "value": T}, {"value": T}]}   the first whose columns are so ("*": any value);
                                    with "keeps" the values that no row changes once they are there

What has no value is left out, and so is what would be empty then. Whatever else a resource has is not looked at when it
is read; a constant that differs means that it is none of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

Values = Mapping[str, str]
Link = Callable[[str], str]  # the name of an entry of the same row -> how it is referred to
Identify = Callable[[str, str], str | None]  # (reference, identifier system) -> the value there


class _Missing:
    """What is not there."""


MISSING = _Missing()
_PLACE = re.compile(r"\{(\w+)\}")
_RESERVED = re.compile(r"([\\|,$])")


def columns(node: Any) -> set[str]:
    """The columns that a template has places for."""
    if isinstance(node, str):
        return set(_PLACE.findall(node))
    if isinstance(node, list):
        return set().union(*map(columns, node))
    if not isinstance(node, dict):
        return set()
    if "$" in node:
        return {node["$"]}
    if "$ref" in node:
        return {node["value"]}
    if "$if" in node:
        return {node["$if"]} | columns(node["then"])
    if "$choose" in node:
        return {name for one in node["$choose"] for name in one.get("if", {})}
    return set().union(*map(columns, node.values()))


def links(node: Any) -> Iterator[Mapping[str, Any]]:
    """The references by identifiers that a template has."""
    if isinstance(node, dict) and "$ref" in node:
        yield node
    elif isinstance(node, dict | list):
        for inside in node.values() if isinstance(node, dict) else node:
            yield from links(inside)


def fill(node: Any, values: Values, link: Link) -> Any:
    """The template with a row's values; MISSING where nothing of it is there."""
    if isinstance(node, str):
        return text(node, values)
    if isinstance(node, list):
        return _full([fill(one, values, link) for one in node])
    if not isinstance(node, dict):
        return node
    if "$" in node:
        return _value(node, values, link)
    if "$ref" in node:
        return _reference(node, values, link)
    if "$if" in node:
        return fill(node["then"], values, link) if values.get(node["$if"]) else MISSING
    if "$choose" in node:
        chosen = next((one for one in node["$choose"] if _holds(one.get("if", {}), values)), None)
        return fill(chosen["value"], values, link) if chosen else MISSING
    found = {name: fill(value, values, link) for name, value in node.items()}
    return {name: value for name, value in found.items() if value is not MISSING} or MISSING


def text(node: str, values: Values) -> Any:
    """A string with its column's value; MISSING where that has none."""
    place = _PLACE.search(node)
    if place is None:
        return node
    value = values.get(place[1])
    return node[: place.start()] + value + node[place.end() :] if value else MISSING


def criteria(node: str, values: Values) -> str:
    """A search with a column's value, escaped as search and URLs ask for it."""
    return _PLACE.sub(lambda place: quote(_RESERVED.sub(r"\\\1", values.get(place[1], "")), safe=""), node)


def _full(found: list[Any]) -> Any:
    return [one for one in found if one is not MISSING] or MISSING


def _value(node: Mapping[str, Any], values: Values, link: Link) -> Any:
    value = values.get(node["$"])
    if not value:
        return MISSING
    return fill(node["codes"][value], values, link) if "codes" in node else value


def _reference(node: Mapping[str, Any], values: Values, link: Link) -> Any:
    if not values.get(node["value"]):
        return MISSING
    if "entry" in node:
        return {"reference": link(node["entry"])}
    return {"reference": criteria(f"{node['$ref']}?identifier={node['system']}|{{{node['value']}}}", values)}


def _holds(wanted: Values, values: Values) -> bool:
    return all(values.get(name) if value == "*" else values.get(name) == value for name, value in wanted.items())


# Back


def read(node: Any, found: Any, identify: Identify) -> dict[str, str] | None:
    """The values that a template was filled with; None where it was not this template."""
    if isinstance(node, str):
        return _read_text(node, found)
    if isinstance(node, list):
        return _read_list(node, found, identify)
    if not isinstance(node, dict):
        return {} if node == found else None
    if "$" in node:
        return _read_value(node, found, identify)
    if "$ref" in node:
        value = (
            identify(found["reference"], node["system"]) if isinstance(found, dict) and "reference" in found else None
        )
        return {node["value"]: value} if value else {}
    if "$if" in node:
        return {} if found is MISSING else read(node["then"], found, identify)
    if "$choose" in node:
        return _read_choice(node["$choose"], found, identify)
    inside = found if isinstance(found, dict) else {}
    return _together(read(value, inside.get(name, MISSING), identify) for name, value in node.items())


def _together(parts: Any) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for part in parts:
        if part is None:
            return None
        values |= part
    return values


def _read_text(node: str, found: Any) -> dict[str, str] | None:
    place = _PLACE.search(node)
    if place is None:
        return {} if node == found else None
    before, after = node[: place.start()], node[place.end() :]
    if found is MISSING:
        return {}
    if not (isinstance(found, str) and found.startswith(before) and found.endswith(after)):
        return None
    return {place[1]: found[len(before) : len(found) - len(after)]}


def _read_list(node: list[Any], found: Any, identify: Identify) -> dict[str, str] | None:
    """Each of the template's elements is the one left that tells most of it; of one with columns there may be none."""
    left = list(found) if isinstance(found, list) else []
    parts = []
    for one in node:
        index = _nearest(one, left, identify)
        if index is not None or not columns(one):
            parts.append(read(one, MISSING if index is None else left.pop(index), identify))
    return _together(parts)


def _nearest(node: Any, found: list[Any], identify: Identify, values: Values | None = None) -> int | None:
    """Which of these the template's element is: the one that says the row's values, or else the most; None of none."""
    parts = {index: read(node, item, identify) for index, item in enumerate(found) if item is not MISSING}
    told = {index: part for index, part in parts.items() if part or (part is not None and not columns(node))}
    given = _given(node, values or {})
    return max(told, key=lambda index: (told[index] == given, len(told[index] or ()), -index), default=None)


def _read_value(node: Mapping[str, Any], found: Any, identify: Identify) -> dict[str, str] | None:
    if found is MISSING:
        return {}
    if "codes" not in node:
        return {node["$"]: found} if isinstance(found, str) else None
    known = (*node["codes"].items(), *node.get("reads", {}).items())
    code = next((code for code, one in known if read(one, found, identify) is not None), None)
    return None if code is None else {node["$"]: code}


def _read_choice(choices: list[Mapping[str, Any]], found: Any, identify: Identify) -> dict[str, str] | None:
    for one in choices:
        part = read(one["value"], found, identify)
        if part is not None:
            return part | {name: value for name, value in one.get("if", {}).items() if value != "*"}
    return None


# Into what is there

WHOLE = frozenset({"$", "$ref", "$if", "coding"})  # what is replaced as a whole: its display is of what it was


def merge(node: Any, found: Any, values: Values, link: Link, identify: Identify) -> Any:
    """What is there with the row's values in the template's places; all else, and what says the same, as it is."""
    if found is MISSING:
        return fill(node, values, link)
    if isinstance(node, list) and isinstance(found, list):
        return _merge_list(node, found, values, link, identify)
    if isinstance(node, dict) and "$choose" in node:
        return _merge_choice(node, found, values, link, identify)
    if isinstance(node, dict) and isinstance(found, dict) and WHOLE.isdisjoint(node):
        made = {name: merge(one, found.get(name, MISSING), values, link, identify) for name, one in node.items()}
        return {name: value for name, value in (found | made).items() if value is not MISSING} or MISSING
    return found if read(node, found, identify) == _given(node, values) else fill(node, values, link)


def _given(node: Any, values: Values) -> dict[str, str]:
    """The values that a row has for a template."""
    return {name: values[name] for name in columns(node) if values.get(name)}


def _merge_list(node: list[Any], found: list[Any], values: Values, link: Link, identify: Identify) -> Any:
    """Each of the template's elements in its place, new ones at the end; the elements of others stay where they are."""
    left, placed, added = list(found), {}, []
    for one in node:
        index = _nearest(one, left, identify, values)
        if index is None:
            added.append(fill(one, values, link))
        else:
            placed[index] = merge(one, left[index], values, link, identify)
            left[index] = MISSING
    return _full([placed.get(index, item) for index, item in enumerate(left)] + added)


def _merge_choice(node: Mapping[str, Any], found: Any, values: Values, link: Link, identify: Identify) -> Any:
    """What is there, where the row says no other than it: one of several for the same columns."""
    chosen = next((one for one in node["$choose"] if _holds(one.get("if", {}), values)), None)
    if chosen is None or found in node.get("keeps", ()):
        return found
    same = [one for one in node["$choose"] if one.get("if") == chosen.get("if")]
    fits = any(read(one["value"], found, identify) is not None for one in same)
    return found if fits else fill(chosen["value"], values, link)
