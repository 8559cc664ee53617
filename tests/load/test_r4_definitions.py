"""R4's own definitions, as HL7 publishes them, stored as resources: built in before, and searched then."""

from __future__ import annotations

import runpy
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.fhir import body, xml

Json = dict[str, Any]
MAKE = runpy.run_path(str(Path(__file__).parents[2] / "scripts/make_r4.py"))
R4 = "http://hl7.org/fhir"
JSON = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module")
def definitions() -> dict[str, Json]:
    """URL -> definition, of HL7's extensions and of the value sets beside R4."""
    if not MAKE["JAR"].exists():
        pytest.skip("HL7's definitions are not in the local Maven repository")
    with zipfile.ZipFile(MAKE["JAR"]) as archive:
        sources = [
            archive.read(f"{MAKE['MODEL']}/{name}.xml")
            for name in ("extension/extension-definitions", "valueset/valuesets")
        ]
    bundles = [body.loads(xml.read(source)) for source in sources]
    return {entry["resource"]["url"]: entry["resource"] for bundle in bundles for entry in bundle["entry"]}


async def test_hl7s_value_sets_conform_to_hl7s_extensions_and_are_found(
    client: httpx.AsyncClient, definitions: dict[str, Json]
) -> None:
    expand = f"ValueSet/$expand?url={R4}/ValueSet/goal-achievement"
    before = (await client.get(expand)).json()["expansion"]["contains"]
    assert 0 == (await client.get(f"ValueSet?url={R4}/ValueSet/goal-achievement")).json()["total"]
    for url in (
        f"{R4}/StructureDefinition/structuredefinition-fmm",  # for any Element, by which R4 means resources too
        f"{R4}/StructureDefinition/structuredefinition-standards-status",
        f"{R4}/StructureDefinition/structuredefinition-wg",
        f"{R4}/ValueSet/goal-achievement",
        "http://terminology.hl7.org/CodeSystem/goal-achievement",
    ):
        resource = definitions[url]
        stored = await client.put(
            f"{resource['resourceType']}/{resource['id']}", content=body.dumps(resource), headers=JSON
        )
        assert 201 == stored.status_code, stored.text
        found = (await client.get(resource["resourceType"], params={"url": url})).json()
        assert [resource["id"]] == [entry["resource"]["id"] for entry in found["entry"]]
    assert before == (await client.get(expand)).json()["expansion"]["contains"]
