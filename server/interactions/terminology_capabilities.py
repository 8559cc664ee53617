"""TerminologyCapabilities: which code systems are known here, and how value sets are expanded.

https://hl7.org/fhir/R4/terminologycapabilities.html, https://hl7.org/fhir/R4/http.html#capabilities
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from server.fhir import published
from server.fhir.canonical import version_key
from server.interactions.exchange import Operation


def told(expand: Operation, stored: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Beside what every statement tells. `stored` are (URL, version) of the CodeSystems that are loaded."""
    return {
        "codeSystem": _systems(stored),
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "incomplete": False,
            "parameter": [
                {"name": one["name"], "documentation": one["documentation"]}
                for one in expand.definition["parameter"]
                if one["use"] == "in"
            ],
            "textFilter": "Words that a code or its display has, whatever their case.",
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": False},
        "translation": {"needsMap": True},
    }


def _systems(stored: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Each code system with its versions. What is loaded stands for R4's own of that URL where no version is named."""
    loaded = _by_url(stored)
    known = _by_url([*stored, *published.systems()])
    return [
        {"uri": url, **_versions(versions, max(loaded.get(url, versions), key=version_key)), "subsumption": True}
        for url, versions in sorted(known.items())
    ]


def _versions(versions: Sequence[str], default: str) -> dict[str, Any]:
    named = [{"code": one, "isDefault": one == default} for one in versions if one]
    return {"version": named} if named else {}


def _by_url(systems: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for url, version in dict.fromkeys(systems):
        found.setdefault(url, []).append(version)
    return found
