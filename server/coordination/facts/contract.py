"""Contract: an agreement between organizations.

https://hl7.org/fhir/R4/contract.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, literals, tokens
from server.ledger import Fact, FactRow, Resource


class Agreement(NamedTuple):
    """A Contract between organizations. `template` is what it is an instance of."""

    contract: str
    types: list[str]  # tokens
    status: str
    organizations: list[str]
    template: str | None
    start: str | None
    end: str | None
    signers: list[str]  # organizations and PractitionerRoles who signed, or in whose name somebody did

    @classmethod
    def of(cls, fact: Fact) -> Agreement:
        return cls(fact.source, *fact.data)


def rows(contract: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Contract."""
    types = tokens([contract["type"]]) if "type" in contract else []
    organizations = list(dict.fromkeys(literals(contract.get("subject", ()), base_url, ("Organization",))))
    signing = [
        link
        for signer in contract.get("signer", ())
        for link in (signer["party"], *(one["onBehalfOf"] for one in signer["signature"] if "onBehalfOf" in one))
    ]
    applies = contract.get("applies", {})
    data = [
        types,
        contract.get("status", ""),
        organizations,
        template(contract),
        applies.get("start"),
        applies.get("end"),
        list(dict.fromkeys(literals(signing, base_url, ("Organization", "PractitionerRole")))),
    ]
    for key in (f"Contract/{contract['id']}", *organizations):
        yield "agreement", key, data
    yield from (("document", key, None) for key in dict.fromkeys(_documents(contract, base_url)))
    yield from (("responsible", f"Contract/{contract['id']}", pair) for pair in _responsible(contract, base_url))


def template(contract: Resource) -> str | None:
    """What a Contract is an instance of: instantiatesUri, or a reference to it or its identifier, by its canonical."""
    named = contract.get("instantiatesCanonical", {})
    found: str | None = contract.get("instantiatesUri") or named.get("reference")
    return found or named.get("identifier", {}).get("value")


def _responsible(contract: Resource, base_url: str) -> Iterator[list[str]]:
    """Who is responsible for a service, where it is told by a URL under our base: the URL, and "Organization/3"."""
    assets = (asset for term in contract.get("term", ()) for asset in term.get("asset", ()))
    for link in (item.get("responsible", {}) for asset in assets for item in asset.get("valuedItem", ())):
        found = literal(link, base_url, ("Organization",))
        if found and found != literal(link):
            yield [link["reference"], found]


def _documents(contract: Resource, base_url: str) -> Iterator[str]:
    """Where its documents are kept, beside itself."""
    for legal in contract.get("legal", ()):
        link = legal.get("contentReference") or {"reference": legal.get("contentAttachment", {}).get("url", "")}
        if found := literal(link, base_url, ("Binary", "DocumentReference")):
            yield found
