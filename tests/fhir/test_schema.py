"""JSON Schema of resource types: https://json-schema.org/draft/2020-12"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from server.fhir.definition import RESOURCE_TYPES
from server.fhir.schema import OPEN, REFERENCE, schemas
from server.validation.element import validate

PLAN = {
    "resourceType": "CarePlan",
    "status": "active",
    "_status": {"extension": [{"url": "https://example.org/why", "valueString": "x"}]},
    "intent": "plan",
    "subject": {"reference": "Patient/1"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "period": {"start": "2026-02", "end": "2026-03-31T10:00:00.5+13:45"},
    "activity": [{"detail": {"status": "scheduled", "quantity": {"value": 2}}}],
}


def conforms(resource: dict[str, Any]) -> bool:
    return bool(validator(resource["resourceType"]).is_valid(resource))


def validator(type: str) -> Any:
    anything = {name: {"type": "object"} for name in OPEN}
    document = {"$ref": f"{REFERENCE}{type}", "components": {"schemas": {**schemas(type), **anything}}}
    return jsonschema_rs.Draft202012Validator(document)


def test_every_type_has_a_schema_whose_references_lead_somewhere() -> None:
    for type in sorted(RESOURCE_TYPES):
        assert not validator(type).is_valid({}), type


def test_schema_takes_what_is_valid() -> None:
    assert [] == validate(PLAN)
    assert conforms(PLAN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "begun"},
        {"status": None},
        {"colour": "red"},
        {"intent": ["plan"]},
        {"period": {}},
        {"period": {"start": "2026-13"}},
        {"period": {"start": "2026-01-01T10:00:00"}},
        {"title": ""},
        {"title": "\u0007"},
        {"note": {"text": "x"}},
        {"note": []},
        {"instantiatesUri": ["a b"]},
        {"activity": [{"detail": {"status": "scheduled", "quantity": {"value": "1"}}}]},
    ],
)
def test_schema_refuses_what_is_invalid(wrong: dict[str, Any]) -> None:
    assert [] != validate(PLAN | wrong)
    assert not conforms(PLAN | wrong)
