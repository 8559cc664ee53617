"""Extension: each one whose definition is loaded is checked by it, and stands where it may.

https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/defining-extensions.html#context

An extension that is not known may stand. A modifierExtension that is not known may change what the resource means, so
that nobody may rely on it: it is refused. Each stands under the name that its definition says it has.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.fhir.definition import TYPES, lineage
from server.validation.profile.item import Item, reached
from server.validation.profile.run import Run
from server.validation.profile.structure import STRUCTURE, Structure

MODIFIER = "modifierExtension"
MODIFIERS = "https://hl7.org/fhir/R4/extensibility.html#modifierExtension"


def check(item: Item, run: Run) -> None:
    """Every extension of a resource. Those of the resources in it are theirs."""
    for path, names, extension in _extensions(
        item, (*lineage(item.type), "Element")
    ):  # by which R4 means resources too
        _check(Item(extension.value, None, "Extension", extension.path), path, names, run)


def _check(extension: Item, name: str, names: tuple[str, ...], run: Run) -> None:
    url = extension.value.get("url")
    found = run.profile(url) if type(url) is str else None
    if found is None:
        if name == MODIFIER:
            words = f"The modifierExtension {str(url)[:200]} is not known, and may change what all this means"
            run.say("extension", extension.path, words, MODIFIERS)
        return
    profile, conforms = found
    if profile.type != "Extension":
        run.say("extension", extension.path, f"{profile.canonical} is no extension", profile.canonical)
        return
    if profile.modifies != (name == MODIFIER) and _is_told(profile):
        does, right = ("modifies", MODIFIER) if profile.modifies else ("does not modify", "extension")
        words = f"{profile.canonical} {does} the meaning of what it stands in: it stands in {right}"
        run.say("extension", extension.path, words, MODIFIERS)
    if not _may_stand(profile, names):
        places = ", ".join(sorted(str(one.get("expression")) for one in profile.context))
        run.say("extension", extension.path, f"It stands in {names[0]}, and may in {places}", profile.canonical)
    conforms(extension, run)


def _is_told(profile: Structure) -> bool:
    """Whether the definition itself tells if it modifies, and not one that it is derived from."""
    return bool(profile.snapshot) or profile.base == f"{STRUCTURE}Extension"


def _may_stand(profile: Structure, names: tuple[str, ...]) -> bool:
    """Whether one of the contexts is where it stands. Contexts by FHIRPath or by another profile are not judged."""
    return not profile.context or any(
        one.get("type") != "element" or "#" in (path := str(one.get("expression"))) or path in names
        for one in profile.context
    )


def _extensions(item: Item, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Item]]:
    """Each extension with the element that it is in, by every name by which a context may call it."""
    holder = item.holder
    for key, value in holder.items():
        if type(value) is not dict and type(value) is not list and f"_{key}" not in holder:
            continue  # a primitive that has none
        name = key.lstrip("_")
        if name in {"extension", MODIFIER}:
            for extension in reached(item, name):
                if type(extension.value) is dict:
                    yield name, names, extension
                    yield from _nested(extension)
        elif name != "contained" and item.type != "Bundle.entry":
            for inner in _distinct(item, key):
                if type(inner.value) is dict or inner.beside:
                    yield from _extensions(inner, _names(item, name, inner))


def _nested(extension: Item) -> Iterator[tuple[str, tuple[str, ...], Item]]:
    """Those in an extension's value; its own parts are its definition's to check, unless they have URLs."""
    for part in reached(extension, "extension"):
        if type(part.value) is dict and ":" in str(part.value.get("url", "")):
            yield "extension", (str(extension.value.get("url")), "Extension", "Element"), part
        elif type(part.value) is dict:
            yield from _nested(part)
    for value in reached(extension, "value[x]"):
        if type(value.value) is dict or value.beside:
            yield from _extensions(value, _names(extension, "value[x]", value))


def _distinct(item: Item, key: str) -> list[Item]:
    """A member under its JSON name; `_name` is read with `name` where that is there too."""
    name = key.lstrip("_")
    return [] if key != name and name in item.holder else _named(item, name)


def _named(item: Item, name: str) -> list[Item]:
    found = reached(item, name)
    if found:
        return found
    return [one for stem in _stems(name) for one in reached(item, f"{stem}[x]") if _is(one, name, stem)]


def _stems(name: str) -> list[str]:
    return [name[:index] for index, letter in enumerate(name) if letter.isupper() and index]


def _is(item: Item, name: str, stem: str) -> bool:
    return name[len(stem) :] == item.type[:1].upper() + item.type[1:]


def _names(owner: Item, name: str, inner: Item) -> tuple[str, ...]:
    types = tuple(lineage(inner.type)) if inner.type in TYPES else ("BackboneElement", "Element")
    return (f"{owner.type}.{name}", inner.type, *types)
