"""Bundle: assembly from bytes, and links within a transaction."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.fhir import body
from server.fhir.body import Body
from server.fhir.bundle import Links, assembled, is_conditional, links_in, relinked
from tests.steps import LINEAR, growth

FULL = "urn:uuid:00000000-0000-4000-8000-000000000001"
NEW = "Patient/7"


def swapped(source: str, links: dict[str, str]) -> tuple[dict[str, Any], str]:
    """(the resource, its text) with the links replaced."""
    found = body.parse(source.encode())
    resource, (head, tail) = relinked(found.resource, found.text("x"), "x", links)
    stamp = ',"id":"x","meta":{}'
    return resource, (head + tail).decode().replace(stamp, "")


def test_assembled_without_entries_has_none() -> None:
    assert {"resourceType": "Bundle", "type": "searchset", "total": 0} == json.loads(
        assembled("searchset", [], total=0)
    )


def test_assembled_joins_entries_and_links() -> None:
    found = assembled("history", [b'{"a":1.10}', b'{"b":2}'], links=[("self", 'http://x/"')])
    assert b'"entry":[{"a":1.10},{"b":2}]' in found
    assert [{"relation": "self", "url": 'http://x/"'}] == json.loads(found)["link"]


@pytest.mark.parametrize(
    ("expected", "reference"),
    [
        (True, "Patient?identifier=1"),
        (True, "Patient?"),
        (False, "Patient/1"),
        (False, "Nothing?identifier=1"),
        (False, "http://x/Patient?identifier=1"),
    ],
)
def test_is_conditional(expected: bool, reference: str) -> None:
    assert expected == is_conditional(reference)


def test_links_in_finds_what_may_be_one() -> None:
    resource = {
        "resourceType": "CarePlan",
        "subject": {"reference": FULL},
        "author": {"reference": "Practitioner?identifier=1"},
        "instantiatesUri": ["urn:x", "urn:y"],
        "title": "Patient?identifier=1",
        "text": {"div": '<div><img src="urn:z"/></div>'},
        "goal": [{"reference": "Goal/1"}],
    }
    assert {FULL, "Practitioner?identifier=1", "urn:y", "urn:z"} == links_in(resource, {FULL, "urn:y", "urn:z"})


def test_links_are_absolute_or_relative_to_a_root() -> None:
    links = Links()
    links.add("http://a/fhir/Patient/1", NEW)
    links.add(FULL, "Patient/8")
    links.add("", "Patient/9")
    near = links.of("http://a/fhir/CarePlan/1")
    assert [NEW, NEW, "Patient/8"] == [near["http://a/fhir/Patient/1"], near["Patient/1"], near[FULL]]
    for other in ("http://b/fhir/CarePlan/1", FULL, ""):
        assert "Patient/1" not in links.of(other)
    assert {"http://a/fhir/Patient/1", "Patient/1", FULL} == links.names()


@pytest.mark.parametrize(
    "source",
    [
        '{"resourceType":"CarePlan", "subject" : {"reference": "FULL", "display":"\\u00e4"}, "created":"2026"}',
        '{"resourceType":"CarePlan","title":"\\"reference\\":\\"KEEP\\"","subject":{"reference":\n"FULL"}}',
        '{"resourceType":"CarePlan","contained":[{"resourceType":"Task","for":{"reference":"FULL"}}]}',
        '{"resourceType":"Observation","_status":{"extension":[{"url":"u","valueReference":{"reference":"FULL"}}]},'
        '"valueQuantity":{"value":1.10}}',
        '{"resourceType":"CarePlan","instantiatesUri":["FULL", "urn:x"],"subject":{"reference":"FULL"}}',
        '{"resourceType":"DocumentReference","content":[{"attachment":{"url":"FULL"}}]}',
        '{"resourceType":"Patient","text":{"div":"<div>KEEP <a href=\\"FULL\\">x</a> <img src=\'FULL\'/></div>"}}',
    ],
)
def test_relinked_changes_links_and_not_one_byte_else(source: str) -> None:
    """FULL is a link; KEEP is the same text where it is none."""
    resource, text = swapped(source.replace("FULL", FULL).replace("KEEP", FULL), {FULL: NEW})
    assert source.replace("FULL", NEW).replace("KEEP", FULL) == text
    assert body.parse(text.encode()).resource == resource


@pytest.mark.parametrize(
    "source",
    [
        '{"resourceType":"Patient","identifier":[{"value":"FULL"}]}',
        '{"resourceType":"CarePlan","instantiatesCanonical":["FULL"]}',
        '{"resourceType":"CarePlan","subject":{"display":"FULL"}}',
        '{"resourceType":"CarePlan","subject":{"reference":"FULL#x"}}',
        '{"resourceType":"CarePlan","description":"FULL"}',
        '{"resourceType":"Patient","text":{"div":"<div title=\\"FULL\\">FULL</div>"}}',
    ],
)
def test_relinked_leaves_what_is_no_link(source: str) -> None:
    found = body.parse(source.replace("FULL", FULL).encode())
    text = found.text("x")
    assert (found.resource, text) == relinked(found.resource, text, "x", {FULL: NEW})


@pytest.mark.parametrize(
    "source",
    [
        '{"resourceType":"CarePlan","subject":{"reference":"urn:uuid:\\u0030-1"},"description":"1"}',
        '{"resourceType":"CarePlan","subject":{"reference":"Patient?identifier=a\\/b|1"}}',
        '{"resourceType":"DocumentReference","identifier":[{"value":"urn:uuid:0-1"}],'
        '"content":[{"attachment":{"url":"urn:uuid:0-1"}}],"x":1.10}',
    ],
)
def test_relinked_writes_anew_what_has_no_plain_text(source: str) -> None:
    resource, text = swapped(source, {"urn:uuid:0-1": NEW, "Patient?identifier=a/b|1": NEW})
    found = body.parse(text.encode()).resource
    found.pop("id", None)
    found.pop("meta", None)
    assert resource == found
    assert NEW in text
    assert ("1.10" in source) == ("1.10" in text)


def test_relinked_takes_time_in_proportion() -> None:
    def linking(count: int) -> Body:
        attachments = [{"attachment": {"url": f"urn:uuid:{number}"}} for number in range(count)]
        return Body.of({"resourceType": "DocumentReference", "content": attachments})

    def relink(found: Body) -> None:
        links = {f"urn:uuid:{number}": f"Binary/{number}" for number in range(4 * len(found.resource["content"]))}
        resource, _ = relinked(found.resource, found.text("x"), "x", links)
        assert f"Binary/{len(links) // 4 - 1}" == resource["content"][-1]["attachment"]["url"]

    assert growth(linking, relink) < LINEAR
    relink(linking(50_000))
