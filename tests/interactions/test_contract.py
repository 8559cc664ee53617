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
from random import Random
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

from tests.process import STARTED, serving

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
JUNK = [
    None,
    True,
    -1,
    1.5,
    "",
    [],
    {},
    "x",
    [None],
    {"a": None},
    "urn:uuid:1",
    "Patient/a",
    "\0",
    "*",
    "GET",
    "?",
    "%zz",
]
NAMED = {"resourceType": "Patient", "id": "a", "link": [{"type": "seealso", "other": {"reference": "urn:uuid:1"}}]}
REPLACED = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Patient.id"}]
BUNDLE: Json = {
    "resourceType": "Bundle",
    "entry": [
        {
            "fullUrl": "urn:uuid:1",
            "resource": NAMED | {"text": {"status": "generated", "div": "<div><a href='urn:uuid:1'>x</a></div>"}},
            "request": {"method": "PUT", "url": "Patient/a", "ifMatch": "*", "ifNoneMatch": 'W/"1"'},
        },
        {
            "resource": {"resourceType": "Group", "type": "person", "actual": True},
            "request": {"method": "POST", "url": "Group", "ifNoneExist": "type=person"},
        },
        {"request": {"method": "GET", "url": "Patient?_count=1", "ifModifiedSince": "2026-01-01T00:00:00Z"}},
        {"request": {"method": "DELETE", "url": "Patient?identifier=x"}},
        {
            "resource": {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": REPLACED}]},
            "request": {"method": "PATCH", "url": "Patient/b"},
        },
    ],
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
    schema.config.update(base_url=base, request_timeout=STARTED)
    asked: set[tuple[str, int]] = set()

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            asked.add((case.method, response.status_code))
            case.validate_response(response, checks=[*CHECKED, use_after_free, ensure_resource_availability])

    settings = hypothesis.settings(SETTINGS, max_examples=10, stateful_step_count=6)
    run_state_machine_as_test(Machine, settings=settings)
    assert {("POST", 201), ("GET", 200)} <= asked


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_a_bundle_may_say_makes_the_server_fail(base: str, seed: int) -> None:
    """Transactions, batches and histories of which some places hold something else, or are gone or more."""
    random = Random(seed)
    with httpx.Client(base_url=base, timeout=STARTED) as client:
        for _ in range(150):
            bundle = mutated(BUNDLE | {"type": random.choice(["batch", "transaction", "history"])}, random)
            response = client.post("/fhir", json=bundle)
            entries = response.json().get("entry", ()) if response.status_code == 200 else ()
            told = [response.status_code, *(int(one["response"]["status"][:3]) for one in entries)]
            assert max(told) < 500, (told, bundle)


def mutated(value: Any, random: Random) -> Any:
    """A copy in which one to three places are another value, are gone, or stand in a list."""
    made = copy.deepcopy(value)
    for _ in range(random.randint(1, 3)):
        inside, key = random.choice(list(places(made)))
        change = random.random()
        if change < 0.2:
            del inside[key]
        elif change < 0.3:
            inside[key] = [inside[key]]
        else:
            inside[key] = copy.deepcopy(random.choice(JUNK))
    return made


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what is inside of what, under which name or number)."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def document(base: str, type: str) -> Json:
    found: Json = httpx.get(f"{base}/openapi.json", params={"type": type} if type else {}, timeout=STARTED).json()
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
    schema.config.update(base_url=base, request_timeout=STARTED)
    operations = [found.ok() for found in schema.get_all_operations()]
    operations.sort(key=lambda one: ORDER.index(one.method.upper()))
    return [line for one in operations for mode in GenerationMode for line in _broken(one, mode)]


def _broken(asked: Any, mode: GenerationMode) -> list[str]:
    found: list[str] = []

    @SETTINGS
    @hypothesis.given(case=asked.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(timeout=STARTED)
        try:
            case.validate_response(response, checks=CHECKED)
        except FailureGroup as failed:
            name = operator.attrgetter("__class__.__name__")
            found.extend(f"{name(one)}: {case.as_curl_command()}: {response.status_code}" for one in failed.exceptions)

    with suppress(Unsatisfiable):  # where there is nothing that would not fit
        ask()
    return found
