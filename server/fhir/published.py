"""CodeSystem and ValueSet: those that R4 itself publishes, read from the table that scripts/make_r4.py makes.

https://hl7.org/fhir/R4/terminologies-systems.html, https://hl7.org/fhir/R4/terminologies-valuesets.html

A worker that is asked for none reads none. The table has a line for each; only the lines asked for are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "4.0.1"  # R4's own, which a canonical may name in the place of the definition's
_FILES = {"CodeSystem": "code_systems", "ValueSet": "value_sets"}


def find(resource_type: str, url: str, version: str = "") -> dict[str, Any] | None:
    """R4's definition under a URL; None where R4 publishes none, or not in that version."""
    line = _lines(resource_type).get(url) if resource_type in _FILES else None
    if line is None:
        return None
    found: dict[str, Any] = json.loads(line)
    return found if version in {"", VERSION, found.get("version")} else None


@cache
def systems() -> tuple[tuple[str, str], ...]:
    """(URL, version) of each CodeSystem of R4's whose codes are known."""
    read = (json.loads(line) for line in _lines("CodeSystem").values())
    return tuple(sorted((one["url"], one.get("version", "")) for one in read if one["content"] in _WITH_CODES))


_WITH_CODES = frozenset({"complete", "fragment", "example"})


@cache
def _lines(resource_type: str) -> Mapping[str, bytes]:
    text = files("server.fhir").joinpath(f"r4/{_FILES[resource_type]}.json").read_bytes()
    return dict(_split(text))


def _split(text: bytes) -> Iterator[tuple[str, bytes]]:
    for line in text.splitlines()[1:-1]:
        key, _, rest = line.partition(b":{")
        yield json.loads(key), b"{" + rest.rstrip(b",")
