"""HL7's package of US Core 6.1.0 (CC0), which stands beside the repository, not in it."""

from __future__ import annotations

import re
import tarfile
from functools import cache
from pathlib import Path

import pytest

from server.fhir import body
from server.ledger import Resource

ROOT = Path(__file__).parents[1]
BESIDE = ROOT.parent / "shared"
FILE = "hl7.fhir.us.core-6.1.0.tgz"
FETCHED = ROOT / ".cache" / FILE  # by make us-core
PACKAGE = FETCHED if FETCHED.exists() else BESIDE / "igs" / FILE


def needed() -> Path:
    """The package. Without it the test is skipped, but fails where it should stand beside the repository."""
    if not PACKAGE.exists():
        text = f"{FILE} is missing: make us-core fetches it"
        pytest.fail(text) if BESIDE.exists() else pytest.skip(text)
    return PACKAGE


@cache
def definitions(types: str = "StructureDefinition|ValueSet|CodeSystem") -> list[Resource]:
    """What the package defines."""
    with tarfile.open(needed()) as package:
        files = [(member.name, package.extractfile(member)) for member in package.getmembers() if member.isfile()]
        wanted = re.compile(rf"package/({types})-[^/]*\.json").fullmatch
        return [body.parse(file.read()).resource for name, file in files if file and wanted(name)]


@cache
def examples() -> dict[str, Resource]:
    """File name -> resource."""
    with tarfile.open(needed()) as package:
        files = {member.name: package.extractfile(member) for member in package.getmembers() if member.isfile()}
        return {
            Path(name).stem: body.parse(file.read()).resource
            for name, file in sorted(files.items())
            if file and name.startswith("package/example/") and name.endswith(".json")
        }
