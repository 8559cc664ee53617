from __future__ import annotations

from typing import Any

import pytest

from server.search.string import LENGTH, normalized, soundex
from tests.search.asked import finds, places, refused

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [
        {"family": "Carreño Quiñones", "given": ["Ana  María", None, "Evelyn"], "suffix": ["MD"], "use": "official"},
        {"text": "Müller-Straße"},
    ],
    "address": [{"line": ["12 Oak St"], "city": "Des Moines", "postalCode": "50309", "use": "home"}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller", b"muller"),
        ("STRASSE", b"strasse"),
        ("Straße", b"strasse"),
        ("  a \t\n b  ", b"a b"),
        ("Ångström", b"angstrom"),
        ("ﬁ", b"fi"),
        ("İ", b"i"),
        ("", b""),
        ("李", "李".encode()),
        ("x" * 1000, b"x" * LENGTH),
    ],
)
def test_normalized(text: str, expected: bytes) -> None:
    assert expected == normalized(text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "carreno", True),
        ("name", "CARREÑO QUI", True),
        ("name", "quinones", True),  # each part of a family name by itself
        ("name", "ana maria", True),
        ("name", "maria", False),  # a string starts with what is sought
        ("name", "md", True),
        ("name", "mull", True),
        ("name", "official", False),  # use is no string of the name
        ("family", "quinones", True),
        ("family", "ana", False),
        ("given", "eve", True),
        ("given", "eve,zoe", True),
        ("given", "zoe", False),
        ("name:contains", "maria", True),
        ("name:contains", "rre", True),
        ("name:contains", "zz", False),
        ("family:exact", "Carreño Quiñones", True),
        ("family:exact", "Carreno Quinones", False),
        ("family:exact", "Quiñones", False),
        ("family:exact", "Carreño", False),
        ("given:exact", "Evelyn", True),
        ("given:exact", "evelyn", False),
        ("address", "12 oak", True),
        ("address", "des", True),
        ("address", "503", True),
        ("address", "home", False),
        ("address-city", "moines", False),
        ("address-postalcode", "50309", True),
        ("family:missing", "false", True),
        ("family:missing", "true", False),
        ("address-country:missing", "true", True),
        ("phonetic", "Kareno", False),
        ("phonetic", "Carrenno", True),
        ("phonetic", "evelin karreno", False),
        ("phonetic", "evelin carreno", True),
    ],
)
def test_string_finds(name: str, value: str, expected: bool) -> None:
    assert expected == finds(PATIENT, (name, value))


def test_string_repeated_asks_for_both() -> None:
    assert finds(PATIENT, ("given", "ana"), ("given", "evelyn"))
    assert not finds(PATIENT, ("given", "ana"), ("given", "zoe"))


def test_string_beyond_its_key_is_told_apart_by_exact_alone() -> None:
    plan = {"resourceType": "ActivityDefinition", "description": "a" * 200 + "b"}
    assert finds(plan, ("description", "a" * 200 + "c"))
    assert finds(plan, ("description:exact", "a" * 200 + "b"))
    assert not finds(plan, ("description:exact", "a" * 200 + "c"))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("name", " ", "invalid"),
        ("name", "a\\b", "invalid"),
        ("name:text", "a", "not-supported"),
        ("name:Patient", "a", "not-supported"),
        ("name:missing", "maybe", "invalid"),
        ("phonetic:exact", "a", "not-supported"),
    ],
)
def test_string_refuses(name: str, value: str, code: str) -> None:
    problem = refused("Patient", (name, value))
    assert 400 == problem.status
    assert [(code, f"http.{name}")] == places(problem)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Robert", b"r163"),
        ("Rupert", b"r163"),
        ("Rubin", b"r150"),
        ("Ashcraft", b"a261"),
        ("Tymczak", b"t522"),
        ("Pfister", b"p236"),
        ("Honeyman", b"h555"),
        ("李", "李".encode()),
    ],
)
def test_soundex(word: str, expected: bytes) -> None:
    assert expected == soundex(word)


def test_string_of_a_name_without_a_string_is_there() -> None:
    patient = {"resourceType": "Patient", "name": [{"use": "official", "given": [None]}]}
    assert finds(patient, ("name:missing", "false"))
    assert finds(patient, ("given:missing", "true"))
    assert not finds(patient, ("name:contains", "official"))
