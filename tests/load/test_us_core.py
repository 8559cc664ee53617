"""HL7's US Core 6.1.0: every example is taken, comes back as it was, and is found by the searches that US Core demands.

https://hl7.org/fhir/us/core/STU6.1/CapabilityStatement-us-core-server.html
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import httpx
import pytest
from fhirpathpy import evaluate
from fhirpathpy.models import models

from server.fhir.definition import SearchParameter, search_parameters
from tests.process import STARTED, serving
from tests.us_core import PACKAGE, ROOT, needed

Resource = dict[str, Any]

# US Core's own: its SearchParameters are not R4's, and R4's servers need not know them
OWN = {
    ("CareTeam", "role"),
    ("Condition", "asserted-date"),
    ("Encounter", "discharge-disposition"),
    ("Goal", "description"),
}


@cache
def package() -> dict[str, bytes]:
    with tarfile.open(needed()) as archive:
        read = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in read.items() if file and name.endswith(".json")}


def test_package_is_the_one_that_make_fetches() -> None:
    named = re.search(r"^US_CORE_SHA256 := (\w{64})$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named
    assert named[1] == hashlib.sha256(needed().read_bytes()).hexdigest()


def examples() -> dict[str, bytes]:
    return {name: data for name, data in package().items() if name.startswith("package/example/")}


@pytest.fixture(scope="module")
def server(new_store: Callable[[], str]) -> Iterator[httpx.Client]:
    """A server on a store into which `careplan load` has put the package."""
    package()
    store = new_store()
    command = [sys.executable, "-m", "server.cli", "load", str(PACKAGE)]
    loaded = subprocess.run(
        command, env=os.environ | {"CAREPLAN_STORE": store}, capture_output=True, text=True, timeout=2 * STARTED
    )
    assert (0, "") == (loaded.returncode, loaded.stdout.partition("; 0 refused")[2].strip()), loaded.stdout
    with serving(store=store, demo=False) as base, httpx.Client(base_url=base, timeout=STARTED) as client:
        yield client


def members(data: bytes) -> dict[str, str]:
    """The text of each member of a JSON object, in order, as it was written."""
    text, decoder = data.decode(), json.JSONDecoder()
    found: dict[str, str] = {}
    at = text.index("{") + 1
    while True:
        at = skipped(text, at)
        name, at = decoder.raw_decode(text, at)
        start = skipped(text, skipped(text, at) + 1)
        _, at = decoder.raw_decode(text, start)
        found[name] = text[start:at]
        at = skipped(text, at)
        if text[at] == "}":
            return found
        at += 1


def skipped(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def test_package_has_its_examples() -> None:
    assert 183 == len(examples())


def test_examples_come_back_byte_for_byte_but_for_id_and_meta(server: httpx.Client) -> None:
    for name, data in examples().items():
        sent = members(data)
        type, id = json.loads(sent["resourceType"]), json.loads(sent["id"])
        got = members(server.get(f"{type}/{id}").raise_for_status().content)
        assert own(sent.pop("meta", "{}")) == own(got.pop("meta")), name
        assert list(sent.items()) == list(got.items()), name


def own(meta: str) -> Resource:
    """Of meta, what the server does not set."""
    return {name: value for name, value in json.loads(meta).items() if name not in ("versionId", "lastUpdated")}


def test_examples_are_found_by_the_searches_that_us_core_demands(server: httpx.Client) -> None:
    asked = missing = 0
    for name, data in examples().items():
        resource = json.loads(data)
        for codes in demanded().get(resource["resourceType"], ()):
            values = {code: value for code in codes if (value := searched(resource, code)) is not None}
            if values.keys() != set(codes):
                continue  # the example has nothing to search for
            found = server.get(resource["resourceType"], params=values | {"_count": "200"}).raise_for_status().json()
            asked += 1
            if resource["id"] not in {entry["resource"]["id"] for entry in found.get("entry", ())}:
                missing += 1
                print(f"{name} is not found by {values}")
    assert missing == 0
    assert asked > 1000


def test_only_us_cores_own_parameters_are_left_out() -> None:
    unknown = {
        (rest["type"], parameter["name"])
        for rest in capabilities()
        for parameter in rest.get("searchParam", ())
        if parameter["name"] not in search_parameters(rest["type"])
    }
    assert OWN == unknown


def capabilities() -> list[Resource]:
    statement = json.loads(package()["package/CapabilityStatement-us-core-server.json"])
    return list(statement["rest"][0]["resource"])


@cache
def demanded() -> Mapping[str, list[tuple[str, ...]]]:
    """Type -> the parameters, alone and combined, that the CapabilityStatement names and R4 defines."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for rest in capabilities():
        alone = [(parameter["name"],) for parameter in rest.get("searchParam", ())]
        combined = [
            tuple(part["valueString"] for part in extension["extension"] if "valueString" in part)
            for extension in rest.get("extension", ())
            if extension["url"].endswith("capabilitystatement-search-parameter-combination")
        ]
        known = search_parameters(rest["type"])
        found[rest["type"]] = [codes for codes in alone + combined if all(code in known for code in codes)]
    return found


def searched(resource: Resource, code: str) -> str | None:
    """What a client would ask for to find this resource: the parameter's first value, by a FHIRPath evaluator."""
    parameter = search_parameters(resource["resourceType"])[code]
    if code == "_id":
        return str(resource["id"])
    expression = parameter.expression.replace(".where(resolve() is Patient)", "")
    nodes = evaluate(resource, expression, model=models["r4"])
    if expression != parameter.expression:
        nodes = [node for node in nodes if node.get("reference", "").startswith("Patient/")]
    texts = (text(node, parameter) for node in nodes)
    return next((found for found in texts if found), None)


def text(node: Any, parameter: SearchParameter) -> str | None:
    if isinstance(node, dict):
        return BY_TYPE[parameter.type](node)
    return escaped(str(node))


def token(node: Resource) -> str | None:
    if "coding" in node:
        return next((token(coding) for coding in node["coding"] if "code" in coding), None)
    code = node.get("code", node.get("value"))
    if code is None:
        return None
    return f"{escaped(node['system'])}|{escaped(code)}" if "system" in node else escaped(code)


def date(node: Resource) -> str | None:
    """A Period's start is in it."""
    return f"ge{node['start']}" if "start" in node else None


def string(node: Resource) -> str | None:
    name = node.get("family") or node.get("city") or node.get("text")
    return escaped(name) if name else None


BY_TYPE = {
    "token": token,
    "date": date,
    "string": string,
    "reference": lambda node: node.get("reference"),
    "uri": lambda node: None,
}


def escaped(value: str) -> str:
    for mark in "\\,$|":
        value = value.replace(mark, f"\\{mark}")
    return value
