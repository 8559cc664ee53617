"""PlanDefinition: a program, by the digest of its content.

https://hl7.org/fhir/R4/plandefinition.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from server.coordination.facts.vocabulary import ALL_PROGRAMS, RULE_KIND
from server.fhir import body
from server.ledger import FactRow, Resource


def rows(plan: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one PlanDefinition."""
    if plan.get("status") == "active" and is_program(plan):
        yield "program", ALL_PROGRAMS, digest(plan)


def digest(resource: Resource) -> str:
    """What tells one content of a program from another; id and meta, which the server sets, are no part of it."""
    content = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    return hashlib.blake2b(body.dumps(content), digest_size=16).hexdigest()


def is_program(resource: Resource) -> bool:
    """A PlanDefinition of type eca-rule with an action of one of our rule kinds."""
    types = [coding.get("code") for coding in resource.get("type", {}).get("coding", ())]
    return "eca-rule" in types and any(
        coding.get("system") == RULE_KIND
        for action in resource.get("action", ())
        for code in action.get("code", ())
        for coding in code.get("coding", ())
    )
