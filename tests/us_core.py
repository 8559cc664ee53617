"""HL7's examples of US Core 6.1.0 (CC0), which stand beside the repository, not in it."""

from __future__ import annotations

import re
import tarfile
from functools import cache
from pathlib import Path

import pytest

from server.fhir import body
from server.ledger import Resource

PACKAGE = Path(__file__).parents[2] / "shared/igs/hl7.fhir.us.core-6.1.0.tgz"


@cache
def definitions(types: str = "StructureDefinition|ValueSet|CodeSystem") -> list[Resource]:
    """What the package defines; the test is skipped where the package is not at hand."""
    if not PACKAGE.exists():
        pytest.skip("the package of US Core 6.1.0 is not beside the repository")
    with tarfile.open(PACKAGE) as package:
        files = [(member.name, package.extractfile(member)) for member in package.getmembers() if member.isfile()]
        wanted = re.compile(rf"package/({types})-[^/]*\.json").fullmatch
        return [body.parse(file.read()).resource for name, file in files if file and wanted(name)]


@cache
def examples() -> dict[str, Resource]:
    """File name -> resource; the test is skipped where the package is not at hand."""
    if not PACKAGE.exists():
        pytest.skip("the package of US Core 6.1.0 is not beside the repository")
    with tarfile.open(PACKAGE) as package:
        files = {member.name: package.extractfile(member) for member in package.getmembers() if member.isfile()}
        return {
            Path(name).stem: body.parse(file.read()).resource
            for name, file in sorted(files.items())
            if file and name.startswith("package/example/") and name.endswith(".json")
        }
