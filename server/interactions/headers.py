"""Headers: content negotiation, preferences, preconditions and the base URL, read from an HTTP request.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#ops, RFC 9110

Each reader takes a header's bytes, as ASGI gives them, or None where the client sent none. Clients send the same few
values again and again, so what they mean is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from server.fhir import datatype
from server.fhir.json_patch import MEDIA_TYPE as JSON_PATCH
from server.fhir.merge_patch import MEDIA_TYPE as MERGE_PATCH
from server.fhir.reference import BaseUrl
from server.ledger import Position, Version, micros
from server.outcome import Problem

FHIR_JSON = b"application/fhir+json;charset=utf-8"
FHIR_XML = b"application/fhir+xml;charset=utf-8"
XML_TYPES = {
    "application/fhir+xml": FHIR_XML,
    "application/xml": b"application/xml;charset=utf-8",
    "text/xml": b"text/xml;charset=utf-8",
    "application/xml+fhir": FHIR_XML,
}
MEDIA_TYPES = {  # what a client may ask for -> what it is sent
    "application/fhir+json": FHIR_JSON,
    "application/json": b"application/json;charset=utf-8",
    "text/json": b"text/json;charset=utf-8",
    "application/json+fhir": FHIR_JSON,
    **XML_TYPES,
}
IN_XML = frozenset(XML_TYPES.values())  # the answer is written as XML
FORM = b"application/x-www-form-urlencoded"
CSV = b"text/csv;charset=utf-8"  # what an operation may answer with
TABULAR = {"csv": CSV, "text/csv": CSV}
FORMATS = {
    **MEDIA_TYPES,
    "json": FHIR_JSON,
    "xml": FHIR_XML,
    "application/fhir json": FHIR_JSON,  # an unescaped + is a blank in a query
    "application/fhir xml": FHIR_XML,
}
WILDCARDS = {  # what they stand for, of what we write
    "*/*": ("application/fhir+json", "application/fhir+xml"),
    "application/*": ("application/fhir+json", "application/fhir+xml"),
    "text/*": ("text/json", "text/xml"),
}
FHIR_VERSIONS = {"4.0", "4.0.1"}
ACCEPT_PATCH = f"{JSON_PATCH}, application/fhir+json, application/json, application/fhir+xml, {MERGE_PATCH}"

Headers = Mapping[bytes, bytes]


class Prefer(NamedTuple):
    """What the answer to a write holds, what becomes of unknown parameters, and whether the answer may come later.

    https://www.rfc-editor.org/rfc/rfc7240, and R4's `handling`.
    """

    returns: Literal["minimal", "representation", "OperationOutcome"] | None = None
    lenient: bool = True
    later: bool = False


@lru_cache(256)
def acceptable(accept: bytes | None, format: str | None = None, tabular: bool = False) -> bytes:
    """The Content-Type of the answer. Problem not_acceptable (406) where the client wants none that we write."""
    known = FORMATS | TABULAR if tabular else FORMATS
    if format is not None:
        asked, quality = _media_range(format)
        if asked not in known or quality <= 0:
            raise not_acceptable(format, "_format")
        return known[asked]
    if accept is None:
        return FHIR_JSON
    refused = {media_type for media_type, quality in ranges(accept) if quality == 0}
    for media_type in preferred(accept):
        for sent in WILDCARDS.get(media_type, (media_type,)):
            if "/" in sent and sent in known and sent not in refused:
                return known[sent]
    raise not_acceptable(accept.decode("latin-1"), "http.Accept")


def preferred(accept: bytes) -> list[str]:
    """The media types that Accept takes, */* among them, what the client likes best first."""
    asked = ranges(accept)
    if any(media_type == "text/html" for media_type, _ in asked):  # a browser means pages by application/xml
        asked = [found for found in asked if found[0] != "application/xml"]
    return [media_type for media_type, quality in sorted(asked, key=_preference) if quality > 0]


def _preference(found: tuple[str, float]) -> tuple[float, bool, bool]:
    """The best quality first; of equals what is named before a wildcard, and JSON, which is stored, before XML."""
    media_type, quality = found
    return -quality, media_type in WILDCARDS, media_type in XML_TYPES


def ranges(value: bytes | None) -> list[tuple[str, float]]:
    """The members of Accept or Accept-Encoding, each with its quality."""
    return [_media_range(part) for part in (value or b"").decode("latin-1").split(",")]


def _media_range(text: str) -> tuple[str, float]:
    """One member of Accept: its media type and its quality; -1 where it asks for another version of FHIR."""
    media_type, *parameters = [part.strip().lower() for part in text.split(";")]
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            quality = _quality(value)
        elif name == "fhirversion" and value.strip('"') not in FHIR_VERSIONS:
            return media_type, -1.0
    return media_type or "*/*", quality


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0


def not_acceptable(asked: str, place: str, beside: str = "") -> Problem:
    """`beside` says what else might be asked for here."""
    return Problem.of(
        "not_acceptable",
        f"This server writes FHIR R4 as application/fhir+json or application/fhir+xml{beside}; "
        f"{asked[:200]!r} is neither",
        place,
    )


@lru_cache(256)
def check_content_type(value: bytes | None) -> None:
    """Problem unsupported_media (415) where the body is declared as what we do not read."""
    media_type, *parameters = [part.strip().lower() for part in (value or b"").decode("latin-1").split(";")]
    if media_type not in MEDIA_TYPES:
        declared = f"the body is declared as {media_type[:100]!r}" if media_type else "the body is not declared"
        raise _unsupported(f"This server reads application/fhir+json and application/fhir+xml; {declared}")
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name == "charset" and text.strip('"') not in {"utf-8", "utf8"}:
            raise _unsupported(f"FHIR's JSON and XML are UTF-8; the body is declared as {text[:40]!r}")
        if name == "fhirversion" and text.strip('"') not in FHIR_VERSIONS:
            raise _unsupported(f"This server speaks FHIR 4.0; the body is declared as {text[:40]!r}")


@lru_cache(256)
def is_xml(value: bytes | None) -> bool:
    """Whether a Content-Type that was checked says that the body is FHIR's XML."""
    return (value or b"").partition(b";")[0].strip().lower().decode("latin-1") in XML_TYPES


def _unsupported(diagnostics: str) -> Problem:
    return Problem.of("unsupported_media", diagnostics, "http.Content-Type")


@lru_cache(256)
def check_form(value: bytes | None) -> None:
    """Problem unsupported_media (415) where the body of a _search is declared as no form; undeclared it is one."""
    if (value or FORM).partition(b";")[0].strip().lower() != FORM:
        raise _unsupported(f"_search takes {FORM.decode()}")


@lru_cache(256)
def check_patch_type(value: bytes | None) -> None:
    """Problem unsupported_media (415), with Accept-Patch, where the body is declared as no patch that we read."""
    media_type = (value or b"").partition(b";")[0].strip().lower().decode("latin-1")
    if media_type in {JSON_PATCH, MERGE_PATCH}:
        return
    try:
        check_content_type(value)
    except Problem:
        raise unpatchable(f"the body is declared as {media_type[:100]!r}") from None


def unpatchable(declared: str, place: str = "http.Content-Type") -> Problem:
    return Problem.of(
        "unsupported_media",
        f"A patch is {JSON_PATCH}, or a FHIRPath Patch in Parameters as application/fhir+json or +xml; {declared}",
        place,
        headers={"Accept-Patch": ACCEPT_PATCH},
    )


@lru_cache(256)
def prefer(value: bytes | None) -> Prefer:
    """Preferences that we do not know are not followed, as RFC 7240 says; those that we know are checked."""
    returns, lenient, later = None, True, False
    for part in (value or b"").decode("latin-1").replace(";", ",").split(","):
        name, _, text = (piece.strip().strip('"') for piece in part.partition("="))
        if name.lower() == "return" and text in {"minimal", "representation", "OperationOutcome"}:
            returns = text
        elif name.lower() == "handling" and text in {"strict", "lenient"}:
            lenient = text == "lenient"
        elif name.lower() == "respond-async":
            later = True
    return Prefer(returns, lenient, later)  # type: ignore[arg-type]


class Tags(NamedTuple):
    """The versions that If-Match or If-None-Match names: some, or any that stands."""

    positions: frozenset[Position]
    any: bool = False

    def name(self, version: Version) -> bool:
        """True where this version, if it is no deletion, is one of them."""
        return version.body is not None and (self.any or version.position in self.positions)


def tags(headers: Headers, header: str) -> Tags | None:
    """Read If-Match or If-None-Match; None where the client sent none."""
    value = headers.get(header.lower().encode())
    if value is None:
        return None
    if value.strip() == b"*":
        return Tags(frozenset(), any=True)
    found = set()
    for part in value.decode("latin-1").split(","):
        tag = re.fullmatch(r'(?:W/)?"?([^"\s]{1,64})"?', part.strip())
        if tag is None:
            raise Problem.invalid(f'{part.strip()[:80]!r} is no ETag; a version is named W/"17"', f"http.{header}")
        if tag[1].isascii() and tag[1].isdecimal():
            found.add(int(tag[1]))  # any other tag names no version of ours, so it matches none
    return Tags(frozenset(found))


@lru_cache(1024)
def http_date(second: int) -> bytes:
    """Seconds since the epoch as an HTTP date."""
    return formatdate(second, usegmt=True).encode()


def last_modified(at: int) -> bytes:
    """Microseconds since the epoch as an HTTP date, which has whole seconds."""
    return http_date(at // 1_000_000)


def modified_since(value: bytes, at: int) -> bool:
    """True where what changed `at` is newer than If-Modified-Since, or where that is no date.

    It is an HTTP date of whole seconds, or in a Bundle's entry an instant.
    """
    if (found := datatype.instant(value.decode("latin-1"))) is not None:
        return at >= found.high
    try:
        since = parsedate_to_datetime(value.decode("latin-1"))
    except ValueError:
        return True
    return at // 1_000_000 * 1_000_000 > micros(since if since.tzinfo else since.replace(tzinfo=UTC))


def instant_of(at: int) -> datetime:
    """Microseconds since the epoch as an aware datetime."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)


def forwarded(headers: Headers) -> tuple[str | None, str | None]:
    """The scheme and host that a trusted proxy says the client used. https://www.rfc-editor.org/rfc/rfc7239"""
    scheme = _first(headers.get(b"x-forwarded-proto"))
    host = _first(headers.get(b"x-forwarded-host"))
    for pair in (_first(headers.get(b"forwarded")) or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "proto":
            scheme = value.strip('"')
        elif name.lower() == "host":
            host = value.strip('"')
    return scheme, host


def _first(value: bytes | None) -> str | None:
    return value.decode("latin-1").split(",")[0].strip() if value else None


@lru_cache(1024)
def base_url(scheme: str, host: str, path: str, below: str = "") -> str:
    """The base URL as a request names it; `below` it is a partition's. Problem invalid (400) where the host is none."""
    if scheme not in {"http", "https"}:
        raise Problem.invalid(f"{scheme[:20]!r} is neither http nor https", "http.Forwarded")
    host_name(host)
    url = f"{scheme}://{host}{path}"
    return BaseUrl(f"{url}{below}", below) if below else url


def host_name(host: str) -> str:
    """The name in a Host header, without its port. Problem invalid (400) where it is none."""
    found = _HOST.fullmatch(host)
    if found is None:
        raise Problem.invalid("The Host header names no host", "http.Host")
    return found[1].strip("[]")


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]+)?")
