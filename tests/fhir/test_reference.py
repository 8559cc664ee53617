"""Literal references to resources of this server."""

from __future__ import annotations

import pickle

import pytest

from server.fhir.reference import BaseUrl, is_id, is_under, local, own, under

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


IOWA = BaseUrl(f"{BASE}/ia", "/ia")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f"{BASE}/ia/Patient/1", True),
        ("http://localhost:8000/fhir/ia/Patient/1", True),
        (f"{BASE}/Patient/1", False),
        (f"{BASE}/ny/Patient/1", False),
        (f"{BASE}/iaPatient/1", False),
        ("http://localhost:8000/fhir/Patient/1", False),
        ("http://localhost:8000/fhir/ny/Patient/1", False),
        ("http://localhost:8000/fhir/iaPatient/1", False),
    ],
)
def test_local_in_a_partition(reference: str, expected: bool) -> None:
    assert expected == (local(reference, IOWA) is not None) == is_under(reference, IOWA)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{BASE}/Patient/1", True),
        (f"{BASE}/Nonsense/1", True),
        (f"{BASE}/ia/Patient/1", False),
        ("http://localhost/fhir/Organization/1", True),
        ("http://localhost/fhir/ia/Organization/1", False),
        ("https://elsewhere.example.org/Organization/1", False),
    ],
)
def test_what_is_below_a_partition_is_not_under_the_base_that_it_is_below(url: str, expected: bool) -> None:
    assert expected == is_under(url, BASE)


def test_local_without_a_base_is_local_to_what_is_worked_on() -> None:
    here = "http://localhost/fhir/Patient/1"
    assert local(here) == local("Patient/1")
    with under(IOWA):
        assert (None, IOWA) == (local(here), own())
        assert local(f"{BASE}/ia/Patient/1") == local("Patient/1")
        assert local(here, "") == local("Patient/1")
    assert "" == own()


def test_base_url_of_a_partition_is_sent_to_other_processes_whole() -> None:
    sent = pickle.loads(pickle.dumps(IOWA))
    assert (IOWA, "/ia") == (sent, sent.below)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a-B.9", True), ("x" * 64, True), ("x" * 65, False), ("", False), ("a_b", False), ("é", False)],
)
def test_is_id(text: str, expected: bool) -> None:
    assert expected == is_id(text)
