"""Kind: the kinds of rule that code knows, and what each takes; a program's file gives the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """A rule-parameter that a kind declares: the FHIR type of its value, how often it stands, and its codes."""

    type: str
    required: bool = False
    repeats: bool = False
    codes: tuple[str, ...] = ()
    default: Any = None


class Kind(NamedTuple):
    """A kind of rule: its parameters, and the severities that it can have."""

    parameters: Mapping[str, Parameter]
    severities: tuple[str, ...]
    once: bool = False  # a program has at most one


KINDS: Mapping[str, Kind] = {
    "assignment": Kind(
        {
            "role": Parameter("Coding", required=True),
            "individual-role": Parameter("Coding", repeats=True),
            "direct-change": Parameter("boolean", default=False),
            "exclusive": Parameter("boolean", default=True),
        },
        ("block",),
        once=True,
    ),
    "caseload-cap": Kind(
        {
            "level": Parameter("code", required=True, codes=("manager", "average")),
            "limit": Parameter("integer", required=True),
            "counted": Parameter("code", codes=("program", "all"), default="program"),
        },
        ("block", "report"),
    ),
}
