"""Invariants of Bundle, of every type that is stored or sent: https://hl7.org/fhir/R4/bundle.html"""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import Holds, Invariant, Json, distinct, has, one_of, where

_REQUESTED = frozenset({"batch", "transaction", "history"})
_RESPONDED = frozenset({"batch-response", "transaction-response", "history"})


def _together(name: str, types: frozenset[str]) -> Holds:
    return lambda it: all((name in entry) == (it.get("type") in types) for entry in it.get("entry", ()))


def _only_in(name: str, *types: str) -> Holds:
    return lambda it: not has(it, name) or it.get("type") in types


def _urls(it: Json) -> bool:
    if it.get("type") == "history":
        return True
    entries = [entry for entry in it.get("entry", ()) if "fullUrl" in entry]
    versions = (entry.get("resource", {}).get("meta", {}).get("versionId", "") for entry in entries)
    return distinct(zip((entry["fullUrl"] for entry in entries), versions, strict=True))


def _begins(type: str, resource: str) -> Holds:
    def begins(it: Json) -> bool:
        first: Json = next(iter(it.get("entry", ())), {})
        return it.get("type") != type or first.get("resource", {}).get("resourceType") == resource

    return begins


_BUNDLE = (
    Invariant("bdl-1", _only_in("total", "searchset", "history"), "a total stands in a searchset or a history"),
    Invariant(
        "bdl-2",
        lambda it: it.get("type") == "searchset" or not any("search" in entry for entry in it.get("entry", ())),
        "entry.search stands in a searchset",
    ),
    Invariant("bdl-3", _together("request", _REQUESTED), "entries of a batch, transaction or history have a request"),
    Invariant("bdl-4", _together("response", _RESPONDED), "entries of responses and of a history have a response"),
    Invariant("bdl-7", _urls, "a fullUrl stands once, but for versions"),
    Invariant(
        "bdl-9",
        where("type", ["document"], lambda it: {"system", "value"} <= it.get("identifier", {}).keys()),
        "a document has an identifier with system and value",
    ),
    Invariant("bdl-10", where("type", ["document"], one_of("timestamp")), "a document has a timestamp"),
    Invariant("bdl-11", _begins("document", "Composition"), "a document begins with its Composition"),
    Invariant("bdl-12", _begins("message", "MessageHeader"), "a message begins with its MessageHeader"),
)


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Bundle": _BUNDLE,
    "Bundle.entry": (
        Invariant(
            "bdl-5", one_of("resource", "request", "response"), "an entry has a resource, a request or a response"
        ),
        Invariant("bdl-8", lambda it: "/_history/" not in it.get("fullUrl", ""), "a fullUrl is of no single version"),
    ),
}
