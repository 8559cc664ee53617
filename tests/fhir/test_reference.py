"""Literal references to resources of this server."""

from __future__ import annotations

import pytest

from server.fhir.reference import is_id, local

BASE = "https://care.example.org/fhir"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", ("Patient", "1", None)),
        ("Patient/1/_history/3", ("Patient", "1", "3")),
        (f"{BASE}/Patient/1", ("Patient", "1", None)),
        (f"{BASE}/Patient/1/_history/3", ("Patient", "1", "3")),
        ("http://127.0.0.1:8000/fhir/Patient/1", ("Patient", "1", None)),
        ("http://localhost/fhir/Patient/1/_history/3", ("Patient", "1", "3")),
        ("http://LocalHost/fhir/Patient/1", ("Patient", "1", None)),
        ("http://localhost.evil.example.org/fhir/Patient/1", None),
        ("http://localhost:8000/fhirPatient/1", None),
        (f"{BASE}Patient/1", None),
        ("https://elsewhere.example.org/fhir/Patient/1", None),
        ("Nonsense/1", None),
        ("Patient", None),
        ("Patient/", None),
        ("Patient/a b", None),
        ("Patient/1/x/3", None),
        ("Patient?identifier=1", None),
        ("#contained", None),
        ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", None),
        ("", None),
    ],
)
def test_local_reads_what_is_ours(reference: str, expected: tuple[str, str, str | None] | None) -> None:
    assert expected == local(reference, BASE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a-B.9", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("a_b", False), ("é", False)],
)
def test_is_id(text: str, expected: bool) -> None:
    assert expected == is_id(text)
