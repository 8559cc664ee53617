"""_include and _revinclude: what is sent along with the matches because they name it, or it names them.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.fhir.definition import RESOURCE_TYPES
from server.ledger import Resource
from server.outcome import Problem
from server.search import extract
from server.search.parameter import Parameter, parameters

ANY = "*"  # every reference of the source type
_EXAMPLES = "CarePlan:subject, CarePlan:subject:Patient or CarePlan:*"


@dataclass(frozen=True, slots=True)
class Include:
    """References of a source type (* is any) to follow, forward or, as _revinclude, backward."""

    source_type: str
    code: str
    target_type: str | None = None
    iterate: bool = False

    @property
    def index(self) -> str | None:
        """The index of the references; None is every one."""
        return None if self.code == ANY else f"{self.source_type}.{self.code}"


def parse(value: str, searched: Sequence[str], iterate: bool, reverse: bool) -> tuple[Include, ...]:
    """Read `[source type]:[parameter]:[target type]`, the last part optional.

    A bare * is every reference of the searched types; backward, or where it is iterated, those of every type.
    """
    if value == ANY:
        return (Include(ANY, ANY, None, iterate),) if iterate or reverse else tuple(Include(t, ANY) for t in searched)
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if source not in RESOURCE_TYPES or not code or (target and target not in RESOURCE_TYPES):
        raise Problem.invalid(f"{value!r} names no references; accepted are {_EXAMPLES}")
    if code != ANY:
        _check(_references(source), source, code, target, searched if reverse else ())
    return (Include(source, code, target or None, iterate),)


def targets(resource: Resource, include: Include, base_url: str) -> list[str]:
    """The resources of this server, "Type/id", that the include follows from this one."""
    type = resource["resourceType"]
    if include.source_type not in (type, ANY):
        return []
    references = _references(type)
    followed = references.values() if include.code == ANY else (references[include.code],)
    found = dict.fromkeys(
        key
        for parameter in followed
        for _, key in extract.rows_of(resource, parameter, base_url)
        if isinstance(key, str) and (include.target_type is None or key.startswith(f"{include.target_type}/"))
    )
    return list(found)


def _references(type: str) -> dict[str, Parameter]:
    return {code: parameter for code, parameter in parameters(type).items() if parameter.kind == "reference"}


def _check(references: Mapping[str, Parameter], source: str, code: str, target: str, pointed_to: Sequence[str]) -> None:
    if code not in references:
        raise Problem.invalid(f"{source} has no reference parameter {code!r}; it has {', '.join(references) or 'none'}")
    named = references[code].targets
    for accepted in ((target,) if target else (), pointed_to):
        if accepted and named.isdisjoint(accepted):
            told = ", ".join(accepted[:5])
            raise Problem.invalid(f"{source}:{code} never names a {told}; it names {', '.join(sorted(named))}")
