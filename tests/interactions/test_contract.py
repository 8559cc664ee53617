"""The contract: a real server answers as its own OpenAPI says, to whatever schemathesis asks.

https://schemathesis.readthedocs.io

What it asks is drawn from the document, fitting and unfitting, and the same in every run. Of ids, versions and
resources it is given some that are there, for those that it makes up lead nowhere.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from tests.process import serving

Json = dict[str, Any]
SETTINGS = hypothesis.settings(
    max_examples=3,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
IDS = ("a", "b")
CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ORDER = ("PUT", "POST", "PATCH", "GET", "DELETE")  # so that what is read was written
TAGGED = {"name": "meta", "valueMeta": {"tag": [{"system": "urn:tags", "code": "x"}]}}
RESOURCES: dict[str, Json] = {
    "CarePlan": {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/a"},
        "period": {"start": "2026"},
    },
    "Observation": {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": "Patient/a"},
        "valueQuantity": {"value": 81.5, "unit": "kg"},
    },
    "Binary": {"resourceType": "Binary", "contentType": "text/plain", "data": "QQ=="},
    "": {"resourceType": "Patient", "name": [{"family": "Ä", "given": ["A", "B"]}]},
}
PARAMETERS: list[Json] = [
    {"resourceType": "Parameters"},
    {"resourceType": "Parameters", "parameter": [TAGGED]},
    {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": RESOURCES[""]}]},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("contract") / "careplan.db"
    with serving(store=f"sqlite:///{path}") as found:
        yield found.removesuffix("/fhir")


@pytest.mark.parametrize("type", RESOURCES)
def test_server_answers_as_its_openapi_says(base: str, type: str) -> None:
    assert [] == broken(base, fitted(document(base, type), RESOURCES[type]))


def test_answer_that_is_not_described_is_noticed(base: str) -> None:
    wrong = fitted(document(base, "CarePlan"), RESOURCES["CarePlan"])
    read = wrong["paths"]["/fhir/CarePlan/{id}"]["get"]
    wrong["paths"] = {"/fhir/CarePlan/{id}": {"get": read | {"responses": {"204": {"description": "Nothing"}}}}}
    assert any("UndefinedStatusCode" in line for line in broken(base, wrong))


def test_what_is_created_is_there_until_it_is_deleted(base: str) -> None:
    """It follows the links of OpenAPI: what an answer names is read, patched, deleted, and asked for again."""
    schema = schemathesis.openapi.from_dict(fitted(document(base, "CarePlan"), RESOURCES["CarePlan"]))
    schema.config.update(base_url=base)
    asked: set[tuple[str, int]] = set()

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            asked.add((case.method, response.status_code))
            case.validate_response(response, checks=[*CHECKED, use_after_free, ensure_resource_availability])

    settings = hypothesis.settings(SETTINGS, max_examples=10, stateful_step_count=6)
    run_state_machine_as_test(Machine, settings=settings)
    assert {("POST", 201), ("GET", 200)} <= asked


def document(base: str, type: str) -> Json:
    found: Json = httpx.get(f"{base}/openapi.json", params={"type": type} if type else {}).json()
    return found


def fitted(document: Json, resource: Json) -> Json:
    """The document with ids, versions, headers and resources that lead somewhere, beside those that it allows."""
    fitting = [resource | {"id": id} for id in IDS]
    known = {
        "id": {"enum": [*IDS, "nobody"]},
        "type": {"const": resource["resourceType"]},
        "vid": {"enum": ["1", "2", "3", "4"]},
        "If-Match": {"anyOf": [{"enum": ["*", 'W/"3"']}, {"type": "string"}]},
        "Prefer": {
            "enum": ["return=OperationOutcome", "handling=strict"]
        },  # by return=minimal there is no body to check
    }
    for path, methods in document["paths"].items():
        for one in (one for one in methods.values() if isinstance(one, dict) and "_async" not in path):
            for parameter in one.get("parameters", ()):
                parameter["schema"] = known.get(parameter["name"], parameter["schema"])
            for media_type, sent in one.get("requestBody", {}).get("content", {}).items():
                if "$ref" in sent["schema"] and "fhir" in media_type:
                    sent["schema"] = {"enum": [*fitting, *(PARAMETERS if "$" in path else [])]}
    return document


def broken(base: str, document: Json) -> list[str]:
    """What of the document does not hold, in words."""
    schema = schemathesis.openapi.from_dict(copy.deepcopy(document))
    schema.config.update(base_url=base)
    operations = [found.ok() for found in schema.get_all_operations()]
    operations.sort(key=lambda one: ORDER.index(one.method.upper()))
    return [line for one in operations for mode in GenerationMode for line in _broken(one, mode)]


def _broken(asked: Any, mode: GenerationMode) -> list[str]:
    found: list[str] = []

    @SETTINGS
    @hypothesis.given(case=asked.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(timeout=30)
        try:
            case.validate_response(response, checks=CHECKED)
        except FailureGroup as failed:
            name = operator.attrgetter("__class__.__name__")
            found.extend(f"{name(one)}: {case.as_curl_command()}: {response.status_code}" for one in failed.exceptions)

    with suppress(Unsatisfiable):  # where there is nothing that would not fit
        ask()
    return found
