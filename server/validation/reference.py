"""Reference: whether a literal reference leads to a type that the element allows.

https://hl7.org/fhir/R4/references.html

Whether the resource exists is not asked. Absolute URLs, urn: and references by identifier alone may lead anywhere; a
conditional reference ("Patient?identifier=…", in transactions) names its type as a literal one does.
"""

from __future__ import annotations

from collections.abc import Collection

from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import is_id
from server.validation.terminology.required import LISTED, closest


def leads_to(reference: str, targets: Collection[str]) -> bool:
    """The quick test of the usual form, "Type/id"."""
    head, _, tail = reference.partition("/")
    return head in targets and is_id(tail)


def wrong(reference: str, targets: Collection[str]) -> str | None:
    """What is wrong with a reference that is no fragment; None where it may stand."""
    if ":" in reference.partition("/")[0]:  # an absolute URL or a URN
        return None
    path, question, _ = reference.partition("?")
    type_name, *rest = path.split("/")
    if type_name not in RESOURCE_TYPES:
        hint = closest(type_name, RESOURCE_TYPES)
        return f"A relative reference begins with a resource type, Type/id{hint}"
    if rest if question else not _is_path(rest):
        return "A relative reference is Type/id or Type/id/_history/version, with ids of 1 to 64 of A-Z a-z 0-9 - ."
    if type_name not in targets:
        return f"A reference to {type_name} cannot stand here: {_words(targets)}"
    return None


def _is_path(rest: list[str]) -> bool:
    """An id, or an id, _history and a version."""
    return (len(rest) == 1 or (len(rest) == 3 and rest[1] == "_history")) and all(map(is_id, rest[::2]))


def _words(targets: Collection[str]) -> str:
    names = sorted(targets)
    return f"{', '.join(names)} can" if len(names) <= LISTED else f"{len(names)} other types can"
