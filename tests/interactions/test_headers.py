"""What headers say: https://hl7.org/fhir/R4/http.html#mime-type, RFC 9110, RFC 7240, RFC 7239"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from server.interactions.coding import chosen
from server.interactions.headers import (
    CSV,
    FHIR_JSON,
    FHIR_XML,
    Prefer,
    Tags,
    acceptable,
    forwarded,
    last_modified,
    modified_since,
    prefer,
    tags,
)
from server.ledger import Version
from server.outcome import Problem
from tests.steps import LINEAR, growth

AT = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (Prefer(), None),
        (Prefer("minimal"), b"return=minimal"),
        (Prefer("representation", False), b"return=representation; handling=strict"),
        (Prefer("OperationOutcome", True), b'handling=lenient, return="OperationOutcome"'),
        (Prefer(None, True), b"return=everything, wait=10"),
        (Prefer("minimal", True, later=True), b"respond-async, return=minimal"),
    ],
)
def test_prefer(expected: Prefer, value: bytes | None) -> None:
    assert expected == prefer(value)


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ({17}, b'W/"17"'),
        ({17}, b'"17"'),
        ({17}, b"17"),
        ({1, 2}, b'W/"1" , W/"2"'),
        (set(), b'W/"a"'),
    ],
)
def test_tags(expected: set[int], value: bytes) -> None:
    assert Tags(frozenset(expected)) == tags({b"if-match": value}, "If-Match")


def test_tags_name_what_stands() -> None:
    stands, deleted = (Version("Patient", "a", 17, 0, "PUT", AT, content) for content in (b"{}", None))
    some, any_of_them = tags({b"if-match": b'W/"17"'}, "If-Match"), tags({b"if-match": b" * "}, "If-Match")
    assert some is not None
    assert any_of_them is not None
    assert [True, False, True, False] == [found.name(one) for found in (some, any_of_them) for one in (stands, deleted)]
    assert tags({}, "If-Match") is None


@pytest.mark.parametrize("value", [b"", b'W/"1" W/"2"', b'W/"' + b"1" * 65 + b'"', b","])
def test_tags_that_are_none(value: bytes) -> None:
    with pytest.raises(Problem) as raised:
        tags({b"if-match": value}, "If-Match")
    assert ("invalid", ("http.If-Match",)) == (raised.value.kind, raised.value.issues[0].expression)


@pytest.mark.parametrize(
    ("expected", "accept", "format", "tabular"),
    [
        (FHIR_JSON, None, None, False),
        (FHIR_JSON, b"application/*;q=0.1", None, False),
        (CSV, b"text/csv", None, True),
        (CSV, None, "csv", True),
        (FHIR_JSON, b"text/csv;q=0.5, application/fhir+json", None, True),
        (b"application/xml;charset=utf-8", b"application/xml;q=1, application/json;q=0.9, */*;q=0.1", None, False),
        (FHIR_XML, b"*/*;q=0.1, application/fhir+xml", None, False),
        (FHIR_XML, b"application/fhir+json", "xml", False),
        (FHIR_XML, None, "application/fhir xml", False),
        (FHIR_JSON, b"text/html, application/xml;q=0.9, */*;q=0.8", None, False),
        (FHIR_XML, b"text/html, application/fhir+xml;q=0.9", None, False),
        (FHIR_XML, b"application/fhir+json;q=0, */*", None, False),
        (FHIR_JSON, b"application/fhir+json;fhirVersion=5.0, */*;q=0.1", None, False),
        (b"text/json;charset=utf-8", b"text/*", None, False),
        (FHIR_JSON, b"", None, False),
        (FHIR_JSON, None, "application/fhir+json; fhirVersion=4.0", False),
    ],
)
def test_acceptable(expected: bytes, accept: bytes | None, format: str | None, tabular: bool) -> None:
    assert expected == acceptable(accept, format, tabular)


@pytest.mark.parametrize("accept", [b"application/fhir+json;q=0", b"text/csv", b"image/png"])
def test_acceptable_of_nothing(accept: bytes) -> None:
    with pytest.raises(Problem) as raised:
        acceptable(accept)
    assert "not_acceptable" == raised.value.kind


def test_dates_have_whole_seconds() -> None:
    assert b"Thu, 01 Jan 2026 00:00:00 GMT" == last_modified(AT + 999_999)
    assert [False, True, True] == [
        modified_since(b"Thu, 01 Jan 2026 00:00:00 GMT", AT + 999_999),
        modified_since(b"Wed, 31 Dec 2025 23:59:59 GMT", AT),
        modified_since(b"Thu, 01 Jan 2026 00:00:00 GMT", AT + 1_000_000),
    ]


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        ((None, None), {}),
        (("https", "a"), {b"x-forwarded-proto": b"https, http", b"x-forwarded-host": b"a, b"}),
        (("https", "a:1"), {b"forwarded": b'for="[::1]";Proto=https;HOST="a:1", host=b'}),
    ],
)
def test_forwarded(expected: Any, headers: dict[bytes, bytes]) -> None:
    assert expected == forwarded(headers)


@pytest.mark.parametrize("read", [acceptable, prefer, chosen, lambda value: tags({b"if-match": value}, "If-Match")])
def test_hostile_headers_take_no_time(read: Any) -> None:
    def take(value: bytes) -> None:
        with suppress(Problem):
            read(value)

    for piece in (b",", b";", b'"', b"a;q=", b" "):
        assert growth(piece.__mul__, take) < LINEAR
        take(piece * 500_000)
