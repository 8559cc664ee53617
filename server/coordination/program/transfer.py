"""Transfer rule: what a rule of the kind transfer has to have, beyond the types of its parameters, to be kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from server.coordination.communication import template
from server.coordination.program.program import Part

LETTER = ("letter-title", "letter-text", "letter-text-representative")
TEXTS = (*LETTER, "notice-text")


class Wrong(NamedTuple):
    """What is wrong, and which action inside it is in: "" or ".action[2].action[0]"."""

    code: str
    why: str
    place: str


def wrong(steps: Sequence[Part]) -> Iterator[Wrong]:
    """Everything that keeps a transfer from being done by these steps."""
    if [step.parameters["switches"] for step in steps].count(True) != 1:
        yield Wrong("required", "A transfer has steps, exactly one of which switches the case manager", "")
    for index, step in enumerate(steps):
        place = f".action[{index}]"
        yield from _texts(step, place)
        for inner, item in enumerate(step.parts):
            yield from _evidence(item, f"{place}.action[{inner}]")


def _evidence(item: Part, place: str) -> Iterator[Wrong]:
    parameters = item.parameters
    if other := set(parameters["joint-mode"]).difference(parameters["mode"]):
        yield Wrong("value", f"{', '.join(sorted(other))} is a joint-mode, and no mode", place)
    if parameters["code"] and parameters["resource"]:
        yield Wrong("value", "An evidence is codes or resources, not both", place)
    if parameters["made"] and not parameters["resource"]:
        yield Wrong("required", "What the server makes is a resource: name its types", place)
    if parameters["made"] == "letter":
        missing = [name for name in LETTER if not parameters[name]]
        if missing:
            yield Wrong("required", f"A letter that the server makes has {', '.join(missing)}", place)
    if parameters["made"] == "provider-notice" and not parameters["notice-text"]:
        yield Wrong("required", "A notice that the server makes has a notice-text", place)
    yield from _texts(item, place)


def _texts(part: Part, place: str) -> Iterator[Wrong]:
    for name in TEXTS:
        given = part.parameters.get(name) or ()
        texts = [given] if isinstance(given, str) else list(given)
        found = [why for text in texts if (why := template.wrong(text))]
        for why in found:
            yield Wrong("value", f"{name}: {why}", place)
        if texts and not found:
            yield from _untold(name, texts, place)


def _untold(name: str, texts: Sequence[str], place: str) -> Iterator[Wrong]:
    """A text tells its reader who the next case manager is, and a letter how to reach them, whatever else is known."""
    if name.startswith("letter-text"):
        for word in template.lacking(texts):
            yield Wrong("required", f"{name} does not always tell {{{word}}}", place)
    if name == "letter-title" and not template.placeholders(texts[0]) <= template.ALWAYS:
        known = ", ".join(f"{{{word}}}" for word in sorted(template.ALWAYS))
        yield Wrong("value", f"{name} is to be known for each letter: it has none but {known}", place)
    if name == "notice-text":
        if any("recipient" in template.placeholders(text) for text in texts):
            yield Wrong("value", f"{name} is for several: it has no {{recipient}}", place)
        if "manager" in template.lacking(texts):
            yield Wrong("required", f"{name} does not always tell {{manager}}", place)
