from __future__ import annotations

import pytest

from server.search.extract import rows
from server.search.uri import MAX_FOLDER, MAX_SEGMENTS
from tests.search.asked import BASE, finds, places, refused


@pytest.mark.parametrize(
    ("url", "name", "value", "expected"),
    [
        ("http://acme.org/fhir/ValueSet/123", "url", "http://acme.org/fhir/ValueSet/123", True),
        ("http://acme.org/fhir/ValueSet/123", "url", "http://acme.org/fhir/valueset/123", False),
        ("http://acme.org/fhir/ValueSet/123", "url", "http://acme.org/fhir/ValueSet/123/", False),
        ("http://acme.org/fhir/ValueSet/123", "url", "http://acme.org/fhir/ValueSet", False),
        ("http://acme.org/fhir/ValueSet/123", "url:below", "http://acme.org/fhir/", True),
        ("http://acme.org/fhir/ValueSet/123", "url:below", "http://acme.org/fhir", True),
        ("http://acme.org/fhir/ValueSet/123", "url:below", "http://acme.org/fhir/ValueSet/123", True),
        ("http://acme.org/fhir/ValueSet/123", "url:below", "http://acme.org/fhir/Value", False),
        ("http://acme.org/fhir/ValueSet/123", "url:below", "http://acme.org/other", False),
        ("http://acme.org/fhir", "url:above", "http://acme.org/fhir/ValueSet/123/_history/5", True),
        ("http://acme.org/", "url:above", "http://acme.org/fhir/ValueSet/123", True),
        ("http://acme.org/fhir/ValueSet/123", "url:above", "http://acme.org/fhir/ValueSet/123", True),
        ("http://acme.org/fhir/ValueSet/124", "url:above", "http://acme.org/fhir/ValueSet/123", False),
        ("http://acme.org/fhir/ValueSet", "url:above", "http://acme.org/fhir/ValueSets/123", False),
        ("urn:oid:1.2.3", "url", "urn:oid:1.2.3", True),
        ("http://acme.org/" + "a" * 200 + "b", "url", "http://acme.org/" + "a" * 200 + "c", False),
        ("http://acme.org/" + "a" * 200 + "b", "url", "http://acme.org/" + "a" * 200 + "b", True),
        ("http://acme.org/" + "a" * 130, "url:below", "http://acme.org/" + "a" * 130, True),
        ("http://acme.org/" + "a" * 130, "url:below", "http://acme.org/" + "a" * 131, False),
        ("http://acme.org/" + "a" * 131, "url:below", "http://acme.org/" + "a" * 130, False),
        ("http://acme.org/" + "a" * 130 + "/b/c", "url:below", "http://acme.org/" + "a" * 130, True),
        ("http://acme.org/" + "a" * 130 + "/b/c", "url:below", "http://acme.org/" + "a" * 130 + "/b/", True),
        ("http://acme.org/" + "a" * 130 + "/b/c", "url:below", "http://acme.org/" + "a" * 130 + "/c", False),
        ("http://acme.org/" + "é" * 70 + "/b", "url:below", "http://acme.org/" + "é" * 70, True),
        ("http://acme.org/a,b", "url", "http://acme.org/a\\,b", True),
        ("http://acme.org/a", "url", "http://acme.org/b,http://acme.org/a", True),
        ("http://acme.org/a", "url:missing", "false", True),
    ],
)
def test_uri_finds(url: str, name: str, value: str, expected: bool) -> None:
    assert expected == finds({"resourceType": "ValueSet", "url": url}, (name, value))


def test_uri_of_a_canonical_is_found_with_its_version_and_without() -> None:
    plan = {"resourceType": "CarePlan", "meta": {"profile": ["http://a.org/p|1.0"], "source": "http://a.org/s#1"}}
    assert finds(plan, ("_profile", "http://a.org/p"))
    assert finds(plan, ("_profile", "http://a.org/p|1.0"))
    assert not finds(plan, ("_profile", "http://a.org/p|2.0"))
    assert finds(plan, ("_source", "http://a.org/s#1"))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("url:below", "urn:oid:1.2", "invalid"),
        ("url:above", "urn:oid:1.2", "invalid"),
        ("url:contains", "a", "not-supported"),
        ("url", "a\\b", "invalid"),
    ],
)
def test_uri_refuses(name: str, value: str, code: str) -> None:
    assert [(code, f"http.{name}")] == places(refused("ValueSet", (name, value)))


@pytest.mark.parametrize(
    ("modifier", "value"),
    [
        ("above", "http://a.org" + "/a" * MAX_SEGMENTS),
        ("below", "http://a.org" + "/aa" * MAX_SEGMENTS),
        ("below", "http://a.org/" + "a" * MAX_FOLDER),
    ],
)
def test_uri_refuses_what_is_too_long_to_follow(modifier: str, value: str) -> None:
    problem = refused("ValueSet", (f"url:{modifier}", value))
    assert ("too_costly", [("too-costly", f"http.url:{modifier}")]) == (problem.kind, places(problem))


def test_uri_finds_below_the_longest_folder_that_may_be_asked_for() -> None:
    deepest = "http://" + "/".join(["a" * 20] * MAX_SEGMENTS)
    longest = "http://a.org/" + "a" * (MAX_FOLDER - len("http://a.org//"))
    for folder in (deepest, longest):
        assert finds({"resourceType": "ValueSet", "url": f"{folder}/b/c"}, ("url:below", folder))


def test_uri_has_few_rows_however_long_it_is() -> None:
    assert MAX_SEGMENTS + 1 >= len(rows({"resourceType": "ValueSet", "url": "http://a.org" + "/a" * 100_000}, BASE))
