"""Package: what a FHIR package rests on, and which of it is not loaded.

https://hl7.org/fhir/packages.html
"""

from __future__ import annotations

from collections.abc import Iterable

from server.ledger import View
from server.load.source import Manifest
from server.validation.conformance import PACKAGE

OWN = {"hl7.fhir.r4.core"}  # R4 itself, which the server is made from


async def absent(view: View, manifests: Iterable[Manifest]) -> list[str]:
    """Of each package, the packages that it rests on and that are not loaded, in words."""
    found = list(manifests)
    needed = sorted({name for package in found for name in package.dependencies} - OWN)
    loaded = await view.facts(PACKAGE, needed) if needed else {}
    versions = {name: {str(fact.data) for fact in facts} for name, facts in loaded.items()}
    return [
        f"{package.name} {package.version} rests on {name} {version}, which is not loaded{_instead(versions[name])}"
        for package in found
        for name, version in sorted(package.dependencies.items())
        if name not in OWN and version not in versions[name]
    ]


def _instead(versions: set[str]) -> str:
    return f" ({', '.join(sorted(versions))} is)" if versions else ""
