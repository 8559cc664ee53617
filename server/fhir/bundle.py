"""Bundle: pages and answers put together from stored bytes, and the links within a transaction.

https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from server.fhir.body import Body, loads
from server.fhir.definition import RESOURCE_TYPES, Element, elements

Text = tuple[bytes, bytes]  # a body's bytes before and after its version stamp

ORDER = {
    "DELETE": 0,
    "POST": 1,
    "PUT": 2,
    "PATCH": 2,
    "GET": 3,
    "HEAD": 3,
}
URNS = ("urn:uuid:", "urn:oid:")
LINKED = {"uri", "url", "oid", "uuid"}  # element types whose values are links; those of type canonical are not

_RESTFUL = re.compile(r"(https?://.+/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})")
_REFERENCE = re.compile(rb'("reference"[ \t\r\n]*:[ \t\r\n]*)"([^"\\]*)"')
_STRING = re.compile(rb'(")([^"\\]*)(")')
_ANCHOR = re.compile(r"""(\b(?:href|src)\s*=\s*["'])([^"']*)""")
_ESCAPED_ANCHOR = re.compile(rb"""(\b(?:href|src)\s*=\s*(?:\\"|'))([^"'\\]*)(\\"|')""")


def assembled(
    kind: str, entries: Iterable[bytes], *, total: int | None = None, links: Iterable[tuple[str, str]] = ()
) -> bytes:
    """A Bundle's JSON from its entries' JSON. `links` are (relation, url)."""
    parts = [b'{"resourceType":"Bundle","type":"%b"' % kind.encode()]
    if total is not None:
        parts.append(b',"total":%d' % total)
    joined = b",".join(b'{"relation":"%b","url":%b}' % (name.encode(), orjson.dumps(url)) for name, url in links)
    if joined:
        parts.append(b',"link":[%b]' % joined)
    body = b",".join(entries)
    if body:
        parts += (b',"entry":[', body, b"]")
    parts.append(b"}")
    return b"".join(parts)


def document(base_url: str, id: str, timestamp: str, resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A document of these resources, its Composition first; the UUID `id` and the instant are its identity.

    https://hl7.org/fhir/R4/documents.html
    """
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id}"},
        "type": "document",
        "timestamp": timestamp,
        "entry": [{"fullUrl": f"{base_url}/{one['resourceType']}/{one['id']}", "resource": one} for one in resources],
    }


def entry(base_url: str, reference: str, content: bytes, mode: str = "match", further: bytes = b"") -> bytes:
    """The JSON of a searchset's entry: a resource's JSON, and why it is there; `further` members of its `search`."""
    place = f'"fullUrl":"{base_url}/{reference}"'.encode()
    return b'{%b,"resource":%b,"search":{"mode":"%b"%b}}' % (place, content, mode.encode(), further)


@dataclass(slots=True)
class Links:
    """What stands for what within a transaction: an entry's fullUrl, or a conditional reference, for a reference."""

    absolute: dict[str, str] = field(default_factory=dict)
    relative: dict[str, dict[str, str]] = field(default_factory=dict)  # by the root of a RESTful fullUrl

    def add(self, full_url: str, reference: str) -> None:
        """`full_url`, where there is one, is of the resource that is `reference` here."""
        if not full_url:
            return
        self.absolute[full_url] = reference
        if found := _RESTFUL.fullmatch(full_url):
            self.relative.setdefault(found[1], {})[f"{found[2]}/{found[3]}"] = reference

    def of(self, full_url: str) -> Mapping[str, str]:
        """The links as the resource with this fullUrl writes them: relative ones are relative to its root."""
        found = _RESTFUL.fullmatch(full_url) if self.relative else None
        near = self.relative.get(found[1]) if found else None
        return ChainMap(near, self.absolute) if near else self.absolute

    def names(self) -> set[str]:
        """Every name that a link goes by."""
        return set(self.absolute).union(*self.relative.values())


def links_in(resource: Mapping[str, Any], known: Container[str]) -> set[str]:
    """What in a resource may be a link: each of `known`, a version of one, and each conditional reference."""
    found: set[str] = set()
    _collect(resource, known, found)
    return found


def _collect(node: Mapping[str, Any], known: Container[str], found: set[str]) -> None:
    for name, value in node.items():
        kind = type(value)
        if kind is str:
            if value in known or (name == "reference" and (is_conditional(value) or versioned(value) in known)):
                found.add(value)
            elif name == "div":
                found.update(url for _, url in _ANCHOR.findall(value) if url in known)
        elif kind is dict:
            _collect(value, known, found)
        elif kind is list:
            for item in value:
                if type(item) is dict:
                    _collect(item, known, found)
                elif type(item) is str and item in known:
                    found.add(item)


def urns_in(resource: Any) -> set[str]:
    """The references that are names within a Bundle (urn:uuid:, urn:oid:); none of those within a Bundle itself."""
    found: set[str] = set()
    if isinstance(resource, dict) and resource.get("resourceType") != "Bundle":
        for name, value in resource.items():
            if name == "reference" and isinstance(value, str) and value.startswith(URNS):
                found.add(value)
            elif isinstance(value, dict | list):
                found |= urns_in(value)
    elif isinstance(resource, list):
        for item in resource:
            found |= urns_in(item)
    return found


def is_conditional(reference: str) -> bool:
    """True for "Patient?identifier=…": a search that must find exactly one. https://hl7.org/fhir/R4/http.html#trules"""
    type_name, mark, _ = reference.partition("?")
    return bool(mark) and type_name in RESOURCE_TYPES


def versioned(reference: str) -> str:
    """What a reference to one version is a version of; "" for any other reference."""
    base, mark, _ = reference.partition("/_history/")
    return base if mark else ""


def relinked(resource: dict[str, Any], text: Text, id: str, links: Mapping[str, str]) -> tuple[dict[str, Any], Text]:
    """A resource and its text with every link in it replaced; the same ones where it has none.

    Only the links' own bytes change, unless the client wrote one with escapes: then the JSON is written anew.
    """
    swap = _Swap(links)
    changed = swap.object("", resource)
    if changed is resource:
        return resource, text
    if swap.others:
        head, tail = (swap.text(part) for part in text)
        exact = loads(head + tail) == loads(b"".join(Body.of(changed).text(id)))
    else:
        head, tail = (swap.references_in(part) for part in text)
        exact = swap.references == 0
    return changed, (head, tail) if exact else Body.of(changed).text(id)


class _Swap:
    """One pass over a resource's JSON, which counts what it replaces, and one over its text, which counts that back."""

    def __init__(self, links: Mapping[str, str]) -> None:
        self.links = links
        self.references = 0
        self.others = 0
        self.path: list[tuple[str, dict[str, Any]]] = []  # from the resource to the object in hand

    def object(self, place: str, node: dict[str, Any]) -> dict[str, Any]:
        """A copy with the links replaced, or `node` itself where it has none."""
        changed: dict[str, Any] | None = None
        self.path.append((place, node))
        for name, value in node.items():
            kind = type(value)
            new: Any = value
            if kind is str:
                if name == "reference" and value in self.links:
                    new = self.links[value]
                    self.references += 1
                elif name == "div" or value in self.links:
                    new = self.string(name, value)
            elif kind is dict:
                new = self.object(name, value)
            elif kind is list:
                new = self.array(name, value)
            if new is not value:
                changed = dict(node) if changed is None else changed
                changed[name] = new
        self.path.pop()
        return node if changed is None else changed

    def array(self, name: str, items: list[Any]) -> list[Any]:
        changed: list[Any] | None = None
        for index, item in enumerate(items):
            kind = type(item)
            if kind is dict:
                new: Any = self.object(name, item)
            elif kind is str and item in self.links:
                new = self.string(name, item)
            else:
                continue
            if new is not item:
                changed = list(items) if changed is None else changed
                changed[index] = new
        return items if changed is None else changed

    def string(self, name: str, value: str) -> str:
        if name == "div":
            new = _ANCHOR.sub(lambda found: found[1] + self.links.get(found[2], found[2]), value)
            self.others += new != value
            return new if new != value else value
        element = _elements(_type_at(self.path)).get(name)
        if element is None or element.types[0] not in LINKED:
            return value
        self.others += 1
        return self.links[value]

    def references_in(self, text: bytes) -> bytes:
        """The text with each Reference.reference that is a link replaced."""

        def swapped(found: re.Match[bytes]) -> bytes:
            new = self.links.get(found[2].decode())
            if new is None:
                return found[0]
            self.references -= 1
            return b'%b"%b"' % (found[1], new.encode())

        return _REFERENCE.sub(swapped, text)

    def text(self, text: bytes) -> bytes:
        """The text with every string that is a link, and every anchor to one, replaced: perhaps more than `object`."""

        def swapped(found: re.Match[bytes]) -> bytes:
            new = self.links.get(found[2].decode())
            return found[0] if new is None else found[1] + new.encode() + found[3]

        return _ESCAPED_ANCHOR.sub(swapped, _STRING.sub(swapped, text))


def _type_at(path: list[tuple[str, dict[str, Any]]]) -> str:
    """The type of the object at the end of a path; "" where the definitions know none."""
    found = ""
    for name, node in path:
        own = node.get("resourceType")
        if isinstance(own, str) and own in RESOURCE_TYPES:
            found = own
        elif name.startswith("_"):
            found = "Element"
        else:
            element = _elements(found).get(name)
            found = element.types[0] if element and element.types[0] != "Resource" else ""
    return found


def _elements(type_name: str) -> Mapping[str, Element]:
    return elements(type_name) if type_name else {}
