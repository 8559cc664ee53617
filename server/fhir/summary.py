"""Summary: a part of a resource, marked SUBSETTED.

https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.fhir.definition import Element, elements
from server.outcome import Problem

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
ALWAYS = frozenset({"resourceType", "id", "meta"})
KINDS = ("true", "text", "data", "count", "false")

Resource = dict[str, Any]


def check(summary: str | None) -> None:
    """Problem invalid (400) where `_summary` is none of its codes."""
    if summary is not None and summary not in KINDS:
        raise Problem.invalid(f"_summary is one of {', '.join(KINDS)}; {summary[:40]!r} is none", "_summary")


def subset(resource: Resource, summary: str | None = None, chosen: Sequence[str] = ()) -> Resource:
    """The part that `_summary`, or `_elements` in its place, asks for; mandatory elements always are in it."""
    keep = _chooser(resource["resourceType"], summary, chosen)
    if keep is None:
        return resource
    part = {name: value for name, value in resource.items() if name in ALWAYS or keep(name.removeprefix("_"))}
    if summary == "true" and not chosen:
        part = {name: _summarized(resource["resourceType"], name, value) for name, value in part.items()}
    return _tagged(part)


def is_subset(resource: Mapping[str, Any]) -> bool:
    """True where a resource says that it is a part of itself."""
    tags = resource.get("meta", {}).get("tag", ())
    return any(tag.get("system") == SUBSETTED["system"] and tag.get("code") == SUBSETTED["code"] for tag in tags)


def _chooser(type_name: str, summary: str | None, chosen: Sequence[str]) -> Callable[[str], bool] | None:
    known = elements(type_name)

    def required(name: str) -> bool:
        return name in known and known[name].min > 0

    if chosen:
        names = {name.removeprefix(f"{type_name}.") for name in chosen}
        return lambda name: name in names or required(name) or (name in known and known[name].choice in names)
    if summary == "true":
        return lambda name: name in known and _in_summary(known[name])
    if summary == "text":
        return lambda name: name == "text" or required(name)
    if summary == "data":
        return lambda name: name != "text"
    return None


def _in_summary(element: Element) -> bool:
    return element.summary or element.min > 0


def _summarized(type_name: str, name: str, value: Any) -> Any:
    """A backbone element's value without what is not in the summary; data types are kept whole."""
    element = elements(type_name).get(name)
    if element is None or "." not in element.types[0]:
        return value
    known = elements(element.types[0])

    def part(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        return {
            inner: _summarized(element.types[0], inner, content)
            for inner, content in item.items()
            if inner == "id" or ((found := known.get(inner.removeprefix("_"))) is not None and _in_summary(found))
        }

    return [part(item) for item in value] if isinstance(value, list) else part(value)


def _tagged(part: Resource) -> Resource:
    meta = part.get("meta") or {}
    tags = [tag for tag in meta.get("tag", ()) if tag.get("code") != SUBSETTED["code"]]
    return {**part, "meta": {**meta, "tag": [*tags, SUBSETTED]}}
