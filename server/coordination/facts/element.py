"""Element: what facts read of elements alike: codings, references, periods.

https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from server.fhir import reference
from server.ledger import Resource


def tokens(concepts: list[Resource] | None) -> list[str]:
    """The codings of CodeableConcepts, each as "system|code"."""
    return [token(coding) for concept in concepts or () for coding in concept.get("coding", ()) if "code" in coding]


def token(coding: Mapping[str, Any]) -> str:
    return f"{coding.get('system', '')}|{coding['code']}"


def literal(link: Mapping[str, Any] | None, base_url: str | None = None, types: tuple[str, ...] = ()) -> str | None:
    """A Reference as "Type/id": None where it is no literal reference to this server, or to another type."""
    if not link or "reference" not in link:
        return None
    found = reference.local(link["reference"], base_url)
    if found is None or (types and found.type not in types):
        return None
    return f"{found.type}/{found.id}"


def identity(link: Resource | None, base_url: str) -> str | None:
    """Who an organization is: one of this server's, or one that an absolute URL names elsewhere."""
    found = literal(link, base_url)
    if found or link is None:
        return found
    url: str = link.get("reference", "")
    is_elsewhere = url.startswith(("http://", "https://")) and not reference.is_under(url, base_url)
    return url.partition("/_history/")[0] if is_elsewhere else None


def literals(links: Iterable[Resource], base_url: str | None = None, types: tuple[str, ...] = ()) -> list[str]:
    """Those of the References that are literal ones."""
    return [found for link in links if (found := literal(link, base_url, types))]


def period(element: Resource) -> tuple[str | None, str | None]:
    """An element's period: (start, end)."""
    found = element.get("period", {})
    return found.get("start"), found.get("end")


def bounds(timing: Resource | None) -> Resource:
    """The period within which a Timing has its events; empty where it gives none."""
    found: Resource = (timing or {}).get("repeat", {}).get("boundsPeriod", {})
    return found
