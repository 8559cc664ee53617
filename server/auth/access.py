"""Who is calling. Every call of the repository is made as one caller; what a caller may see is decided here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: a reference such as "PractitionerRole/7", or None for the local system caller, who may do all."""

    actor: str | None = None


SYSTEM = Caller()
