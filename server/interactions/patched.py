"""What a patch makes of a version: applied, held to what it may not change, and checked as an update is.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Protocol

from server.fhir import body
from server.fhir.body import Body
from server.ledger import Resource, Version
from server.outcome import Problem
from server.validation.element import validate

BESIDE = frozenset({"meta", "text"})  # what a narrative does not tell of
GENERATED = frozenset({"generated", "extensions"})  # narratives that hold nothing but what the elements say


class Patch(Protocol):
    """A change of what the head has."""

    def applied(self, resource: Resource) -> Resource:
        """The resource that comes of this one, which is used up. Problem unprocessable (422) where it does not fit."""
        ...

    def links_in(self, known: Container[str]) -> set[str]:
        """What in it may be a link: each of `known`, a version of one, and each conditional reference."""
        ...


def patched(patch: Patch, current: Version) -> Body | None:
    """The new content; None where it is the old. Problem unprocessable (422)."""
    before = body.loads(current.body or b"")
    after = patch.applied(body.loads(current.body or b""))
    if _same(before, after):
        return None
    _check_kept(before, after)
    made = Body.of(_narrated(before, after))
    issues = validate(made.resource)
    if any(issue.severity in {"error", "fatal"} for issue in issues):
        raise Problem.with_issues("unprocessable", issues)
    return made


def _same(one: Any, other: Any) -> bool:
    """True where the JSON is the same, to the digit, in whatever order."""
    return body.dumps(one, sorted=True) == body.dumps(other, sorted=True)


def _check_kept(before: Resource, after: Resource) -> None:
    """Problem unprocessable (422) where a patch changes what the server alone sets."""
    type = before["resourceType"]
    meta = after["meta"] if isinstance(after.get("meta"), dict) else {}
    for name in ("resourceType", "id"):
        if after.get(name) != before[name]:
            raise Problem.of("unprocessable", f"A patch leaves {name} as it is: {before[name]!r}", f"{type}.{name}")
    for name in ("versionId", "lastUpdated"):
        if meta.get(name, before["meta"][name]) != before["meta"][name]:
            raise Problem.of("unprocessable", f"The server sets meta.{name}; leave it as it is", f"{type}.meta.{name}")


def _narrated(before: Resource, after: Resource) -> Resource:
    """The resource without a narrative that the patch has made untrue: one that was made from the elements.

    Problem unprocessable (422) where the narrative says more than the elements do: nobody but the client can mend it.
    """
    text = after.get("text")
    changed = {name for name in before.keys() | after.keys() if not _same(before.get(name), after.get(name))}
    if not isinstance(text, dict) or "text" in changed or changed <= BESIDE or text.get("status") == "empty":
        return after
    if text.get("status") in GENERATED:
        return {name: value for name, value in after.items() if name != "text"}
    raise Problem.of(
        "unprocessable",
        "The narrative was written by hand, and may not be true any more after this patch: change or remove text in "
        "the same patch",
        f"{after['resourceType']}.text",
    )
