"""Reading bodies: strictly, and keeping what the client sent."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir import body
from server.outcome import Problem


def test_parse_keeps_decimals_and_order() -> None:
    read = body.parse(b'{"resourceType":"Observation","valueQuantity":{"value":1.10,"x":1e2},"status":"final","n":3}')
    assert Decimal("1.10") == read.resource["valueQuantity"]["value"]
    assert "1.10" == str(read.resource["valueQuantity"]["value"])
    assert [int, Decimal] == [type(read.resource["n"]), type(read.resource["valueQuantity"]["x"])]
    assert ["resourceType", "valueQuantity", "status", "n"] == list(read.resource)


@pytest.mark.parametrize(
    ("source", "head", "tail"),
    [
        ('{"resourceType":"P"}', '{"resourceType":"P","id":"i","meta":{', "}}"),
        ('{"resourceType":"P","a":1}', '{"resourceType":"P","id":"i","meta":{', '},"a":1}'),
        ('{"id":"old","resourceType":"P"}', '{"id":"i","resourceType":"P","meta":{', "}}"),
        (
            '{"resourceType":"P","id":"old","z":"\\u00e9 é"}',
            '{"resourceType":"P","meta":{',
            '},"id":"i","z":"\\u00e9 é"}',
        ),
        (
            '{"meta":{"versionId":"7","lastUpdated":"x"},"resourceType":"P"}',
            '{"meta":{',
            '},"resourceType":"P","id":"i"}',
        ),
        (
            ' {\n "resourceType" : "P",\n "meta" : { "profile" : [ "u" ], "versionId":"1" } ,\n "id":"old"}\n',
            ' {\n "resourceType" : "P",\n "meta" : {',
            ',"profile":[ "u" ]} ,\n "id":"i"}\n',
        ),
    ],
)
def test_text_sets_id_and_meta_in_place(source: str, head: str, tail: str) -> None:
    read = body.parse(source.encode())
    found_head, found_tail = (part.decode() for part in read.text("i"))
    assert (head, tail) == (found_head, found_tail)
    stamped = json.loads(found_head + '"versionId":"9"' + found_tail)
    assert ("i", "9") == (stamped["id"], stamped["meta"]["versionId"])
    kept = read.resource.keys() - {"id", "meta"}
    assert {name: read.resource[name] for name in kept} == {name: stamped[name] for name in kept}


def _deep(levels: int) -> bytes:
    return b'{"resourceType":"P","a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"nonsense",
        b'{"resourceType":"P"',
        b'{"resourceType":"P",}',
        b'{"resourceType":"P"} x',
        b'{"a":1}',
        b'{"resourceType":1}',
        b'{"resourceType":"P","a":NaN}',
        b'{"resourceType":"P","a":-Infinity}',
        b'{"resourceType":"P","a":1,"a":2}',
        b'{"resourceType":"P","b":{"a":1,"a":2}}',
        b'{"resourceType":"P","meta":{"a":1,"a":2}}',
        b'{"resourceType":"P","resourceType":"P"}',
        b'{"resourceType":"P","a":"\xff"}',
        b'{"resourceType":"P","a":"\xc3"}',
        b'{"resourceType":"P","a":"\\ud800"}',
        b'{"resourceType":"P","a":"raw\nnewline"}',
        b'{"resourceType":"P","a":01}',
        b'{"resourceType":"P","a":' + b"9" * 5000 + b"}",
        b'{"resourceType":"P","a":1e99999999999999999999}',
        b'{"resourceType":"P","a":0E-99999999999999999999}',
        _deep(101),
        _deep(5000),
        b'{"resourceType":"P","a":["]","}",' + b"[" * 100 + b"]" * 100 + b"]}",
        b"[" * 1_000_000,
        b'{"resourceType":"P","a":"\\\\",' + b'"x":[' * 200 + b"]" * 200 + b"}",
        b'{"resourceType":"P","a":' + b"{" * 200,
    ],
)
def test_parse_refuses(data: bytes) -> None:
    with pytest.raises(Problem) as refused:
        body.parse(data)
    assert "malformed" == refused.value.kind


@pytest.mark.parametrize(
    "data",
    [
        _deep(100),
        b'{"resourceType":"P","a":["]]]}}}",' + b"[" * 98 + b"]" * 98 + b"]}",
        b'{"resourceType":"P","a":"' + b'{\\"[' * 20_000 + b'"}',
        b'{"resourceType":"P","a":[' + _deep(98) + (b"," + _deep(98)) * 200 + b"]}",
        b'\xef\xbb\xbf{"resourceType":"P"}',
        b'{"resourceType":"P","a":"\\ud83d\\ude00"}',
        b'{"resourceType":"P","a":1e400,"b":-0.0}',
    ],
)
def test_parse_accepts(data: bytes) -> None:
    assert "P" == body.parse(data).type


@pytest.mark.parametrize("digits", ["9223372036854775807", "-18446744073709551616", "9" * 4000])
def test_long_integers_are_written_as_they_were_read(digits: str) -> None:
    value = body.parse(b'{"resourceType":"P","a":%b}' % digits.encode()).resource["a"]
    assert digits.encode() == body.dumps(value)
    assert digits.encode() in body.indented(b'{"a":%b}' % digits.encode())


def test_name_that_stands_twice_is_found_among_very_many() -> None:
    """In time that grows with the object: counting each name by itself takes hours here."""
    names = ",".join(f'"n{number}":1' for number in range(300_000))
    with pytest.raises(Problem) as refused:
        body.parse(f'{{"resourceType":"P","a":{{{names},"n299999":1}}}}'.encode())
    assert "malformed" == refused.value.kind


def test_bundle_entries_keep_their_text() -> None:
    source = (
        '{ "resourceType":"Bundle", "type":"batch", "entry" : [ {"fullUrl":"urn:uuid:1", "resource" : '
        '{ "resourceType" : "Patient", "x": 1.10 } , "request":{"method":"POST","url":"Patient"} }, {"fullUrl":"2"} ] }'
    )
    bundle, entries = body.parse_bundle(source.encode())
    assert {"resourceType": "Bundle", "type": "batch"} == bundle
    first, second = entries
    assert {"fullUrl": "urn:uuid:1", "request": {"method": "POST", "url": "Patient"}} == first.members
    assert first.resource is not None
    assert '{ "resourceType" : "Patient", "x": 1.10 }' == first.resource.source
    assert '"Patient"' == first.resource.source[slice(*first.resource.spans["resourceType"])]
    assert second.resource is None


@pytest.mark.parametrize("entry", ['[{"resource":1}]', "[1]", '[{"resource":{"a":1}}]', '[{"resource":{}},]'])
def test_bundle_refuses(entry: str) -> None:
    with pytest.raises(Problem) as refused:
        body.parse_bundle(b'{"resourceType":"Bundle","entry":%b}' % entry.encode())
    assert "malformed" == refused.value.kind


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


@given(_json)
def test_dumps_then_loads_is_the_same(value: object) -> None:
    written = body.dumps(value)
    assert written == body.dumps(body.loads(written))
    assert json.loads(written) == json.loads(body.dumps(body.loads(written)))


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ u0dE-1.', max_size=60).map(str.encode))
def test_parse_never_fails_otherwise(data: bytes) -> None:
    with contextlib.suppress(Problem):
        body.parse(data)
