"""_include and _revinclude: what is sent along with the matches because they name it, or it names them.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.fhir.definition import RESOURCE_TYPES
from server.outcome import Problem
from server.search.custom import NONE, Definitions
from server.search.parameter import Parameter, parameters

ANY = "*"  # every reference of the source type
_EXAMPLES = "CarePlan:subject, CarePlan:subject:Patient or CarePlan:*"


@dataclass(frozen=True, slots=True)
class Include:
    """References of a source type (* is any) to follow, forward or, as _revinclude, backward.

    `stored` is the index of a parameter that is none of R4's own.
    """

    source_type: str
    code: str
    target_type: str | None = None
    iterate: bool = False
    stored: str | None = None

    @property
    def index(self) -> str | None:
        """The index of the references; None is every one of R4's own parameters."""
        return None if self.code == ANY else self.stored or f"{self.source_type}.{self.code}"


def parse(
    value: str, searched: Sequence[str], iterate: bool, reverse: bool, custom: Definitions = NONE
) -> tuple[Include, ...]:
    """Read `[source type]:[parameter]:[target type]`, the last part optional.

    A bare * is every reference of the searched types; backward, or where it is iterated, those of every type.
    """
    if value == ANY:
        sources = (ANY,) if iterate or reverse else searched
        return tuple(found for source in sources for found in _every(source, None, iterate, custom))
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if source not in RESOURCE_TYPES or not code or (target and target not in RESOURCE_TYPES):
        raise Problem.invalid(f"{value!r} names no references; accepted are {_EXAMPLES}")
    if code == ANY:
        return tuple(_every(source, target or None, iterate, custom))
    known = _references(source, custom)
    _check(known, source, code, target, searched if reverse and not iterate else ())
    stored = known[code].index if (source, code) in custom.parameters else None
    return (Include(source, code, target or None, iterate, stored),)


def _every(source: str, target: str | None, iterate: bool, custom: Definitions) -> Iterator[Include]:
    """Those of R4's own parameters at once, and each that is stored."""
    yield Include(source, ANY, target, iterate)
    for (type, code), parameter in custom.parameters.items():
        if parameter.kind == "reference" and source in (type, ANY):
            yield Include(type, code, target, iterate, parameter.index)


def _references(type: str, custom: Definitions) -> dict[str, Parameter]:
    known = {**parameters(type), **custom.of(type)}
    return {code: parameter for code, parameter in known.items() if parameter.kind == "reference"}


def _check(references: Mapping[str, Parameter], source: str, code: str, target: str, pointed_to: Sequence[str]) -> None:
    if code not in references:
        raise Problem.invalid(f"{source} has no reference parameter {code!r}; it has {', '.join(references) or 'none'}")
    named = references[code].targets
    for accepted in ((target,) if target else (), pointed_to):
        if accepted and named.isdisjoint(accepted):
            told = ", ".join(accepted[:5])
            raise Problem.invalid(f"{source}:{code} never names a {told}; it names {', '.join(sorted(named))}")
