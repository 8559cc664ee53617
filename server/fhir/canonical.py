"""canonical: a URL that names a definition wherever it is stored, with or without a business version.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Canonical(NamedTuple):
    """`version` is "" where none is asked for: the latest then counts."""

    url: str
    version: str = ""


def parse(text: str) -> Canonical:
    """ "http://…/us-core-careplan|6.1.0#fragment" without its fragment."""
    url, _, version = text.partition("#")[0].partition("|")
    return Canonical(url, version)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """An order of versions in which 1.10.0 is after 1.9.0."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"[.\-+_]", version)]
