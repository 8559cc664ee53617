"""OpenAPI: the FHIR API for tools that do not read a CapabilityStatement, made from the same tables.

https://spec.openapis.org/oas/v3.1.0

In general a path has {type}; for one resource type it is written out, with its search parameters and operations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, NamedTuple

from server.fhir.datatype import PRIMITIVES
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.json_patch import MEDIA_TYPE as JSON_PATCH
from server.fhir.merge_patch import MEDIA_TYPE as MERGE_PATCH
from server.fhir.schema import REFERENCE, schemas
from server.fhir.summary import KINDS
from server.interactions.capabilities import MODES, is_for, search_parameters_of
from server.interactions.exchange import (
    ASYNC,
    ASYNC_OUTPUT,
    BASE,
    COMPARTMENT,
    COMPARTMENT_SEARCH,
    INSTANCE,
    INSTANCE_HISTORY,
    INSTANCE_OPERATION,
    METADATA,
    SEARCH,
    SYSTEM_HISTORY,
    SYSTEM_OPERATION,
    SYSTEM_SEARCH,
    TYPE,
    TYPE_HISTORY,
    TYPE_OPERATION,
    VERSION,
    Operation,
    Server,
)
from server.search.compartment import COMPARTMENTS

JSON = dict[str, Any]

FHIR = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
ANY = ""  # in general any type, else the one that the document is of
LEVELS = {"system": SYSTEM_OPERATION, "type": TYPE_OPERATION, "instance": INSTANCE_OPERATION}
OUTCOMES = {
    "400": "What cannot be read",
    "403": "Another host's name, while no authentication is configured",
    "404": "Nothing is there",
    "406": "A form that is not written",
    "413": "Too much at once",
    "503": "Too busy, or stopping: Retry-After says when",
}
SENT = {"408": "The body does not come", "415": "A body that is not read"}


class Described(NamedTuple):
    """What is said of an interaction: its name, what it does, its answers, its parameters, and what its body is."""

    id: str
    summary: str
    answers: Mapping[str, str]
    parameters: Sequence[str] = ()
    bodies: Sequence[str] = ()
    answer: str = ANY  # the types of what is answered, a bar between them
    media_type: str = FHIR  # of a 2xx


GONE = {"410": "It was deleted"}
READ = {"200": "The resource", "304": "The client has it already"} | GONE
LATER = {"202": "It is done later: Content-Location says where to ask"}
HISTORIES = {"200": "The versions"} | LATER
FOUND = {"200": "The matches", "304": "As before", "410": "The page is of too long ago"} | LATER
WRITTEN = {"200": "It is changed", "201": "It is created"}
DELETED = {"200": "It is not there; Prefer asked for an outcome", "204": "It is not there"}
REFUSED = {
    "409": "Another state",
    "412": "A condition fails",
    "422": "A rule is broken",
    "428": "If-Match is missing",
    "507": "The disk is full",
}
PART = ("_summary", "_elements")
WRITING = ("Prefer", "Idempotency-Key", "X-Provenance")
CHANGING = ("If-Match", "If-None-Match", *WRITING)
HISTORY = ("_since", "_at", "_list", "_count", "_summary", "_elements", "Prefer")
SEARCHING = ("_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "Prefer")
PATCHES = (JSON_PATCH, FHIR, MERGE_PATCH)

INTERACTIONS: Mapping[tuple[str, str], Described] = {
    ("GET", INSTANCE): Described(
        "read", "The resource as it is now", READ, (*PART, "If-None-Match", "If-Modified-Since")
    ),
    ("GET", VERSION): Described("vread", "One version of the resource", READ, PART),
    ("GET", INSTANCE_HISTORY): Described(
        "history-instance", "The versions of one resource", HISTORIES, HISTORY, (), "Bundle"
    ),
    ("GET", TYPE_HISTORY): Described(
        "history-type", "The versions of a type's resources", HISTORIES, HISTORY, (), "Bundle"
    ),
    ("GET", SYSTEM_HISTORY): Described(
        "history-system", "The versions of all resources", HISTORIES, HISTORY, (), "Bundle"
    ),
    ("GET", TYPE): Described("search-type", "Search one type", FOUND, (*SEARCHING, "If-None-Match"), (), "Bundle"),
    ("POST", SEARCH): Described(
        "search-type-by-post", "Search one type by a form", FOUND, SEARCHING, (FORM,), "Bundle"
    ),
    ("GET", BASE): Described("search-system", "Search several types", FOUND, ("_type", *SEARCHING), (), "Bundle"),
    ("POST", SYSTEM_SEARCH): Described(
        "search-system-by-post", "Search several types by a form", FOUND, ("_type", *SEARCHING), (FORM,), "Bundle"
    ),
    ("GET", COMPARTMENT): Described(
        "search-compartment", "Search a type within a compartment; * for all types", FOUND, SEARCHING, (), "Bundle"
    ),
    ("POST", COMPARTMENT_SEARCH): Described(
        "search-compartment-by-post",
        "Search a type within a compartment by a form",
        FOUND,
        SEARCHING,
        (FORM,),
        "Bundle",
    ),
    ("POST", TYPE): Described("create", "Create a resource", WRITTEN | REFUSED, ("If-None-Exist", *WRITING), (FHIR,)),
    ("PUT", INSTANCE): Described("update", "Update a resource, or create it", WRITTEN | REFUSED, CHANGING, (FHIR,)),
    ("PUT", TYPE): Described(
        "conditional-update", "Update the resource that a search finds", WRITTEN | REFUSED, CHANGING, (FHIR,)
    ),
    ("PATCH", INSTANCE): Described("patch", "Change parts of a resource", WRITTEN | REFUSED | GONE, CHANGING, PATCHES),
    ("PATCH", TYPE): Described(
        "conditional-patch", "Change parts of the resource that a search finds", WRITTEN | REFUSED, CHANGING, PATCHES
    ),
    ("DELETE", INSTANCE): Described("delete", "Delete a resource", DELETED | REFUSED, CHANGING, (), "OperationOutcome"),
    ("DELETE", TYPE): Described(
        "conditional-delete", "Delete what a search finds", DELETED | REFUSED, CHANGING, (), "OperationOutcome"
    ),
    ("POST", BASE): Described(
        "transaction",
        "A Bundle of type transaction, batch or history",
        {"200": "An answer to each entry"} | LATER | REFUSED,
        WRITING,
        (FHIR,),
        "Bundle",
    ),
    ("GET", ASYNC): Described(
        "async-status",
        "How far a request with Prefer: respond-async is, and where its answer is",
        {"200": "A manifest with the answer's place", "202": "It is being done", "500": "It was broken off"},
        media_type="application/json",
    ),
    ("DELETE", ASYNC): Described("async-cancel", "Break it off and forget it", {"202": "It is forgotten"}),
    ("GET", ASYNC_OUTPUT): Described(
        "async-output", "Its answer, as NDJSON", {"200": "A resource in a line"}, media_type="application/fhir+ndjson"
    ),
    ("GET", METADATA): Described(
        "capabilities",
        "The CapabilityStatement",
        {"200": "The statement", "304": "As before"},
        (*PART, "mode"),
        (),
        "CapabilityStatement|TerminologyCapabilities",
    ),
}
HEADERS = {
    "If-Match": 'Only if this version stands: W/"17", or * for any',
    "If-None-Match": 'Not if this version stands: W/"17", or * for any',
    "If-Modified-Since": "Only if it changed since",
    "If-None-Exist": "Only if this search finds none",
    "Prefer": "return=minimal, representation or OperationOutcome; handling=strict or lenient; respond-async",
    "Idempotency-Key": "Sent again with the same key, the first answer comes again",
    "X-Provenance": "A Provenance that is stored in the same commit",
}
QUERY = {
    "_summary": "true, text, data, count or false",
    "_elements": "The elements that are wanted",
    "_since": "Versions made since this instant",
    "_at": "Versions that were current at some time of this; with a prefix (ge2026) of an open period",
    "_list": "Versions of what a List names",
    "_count": "How many a page",
    "_sort": "Parameters to sort by, - for descending",
    "_include": "What the matches refer to: CarePlan:subject, :iterate, *",
    "_revinclude": "What refers to the matches: Provenance:target",
    "_total": "none, estimate or accurate",
    "_type": "The types that are searched",
    "mode": "full, normative, or terminology: TerminologyCapabilities",
}
INTEGERS = frozenset({"_count"})
ENUMS: Mapping[str, JSON] = {
    "_summary": {"type": "string", "enum": list(KINDS)},
    "_total": {"type": "string", "enum": ["none", "estimate", "accurate"]},
    "mode": {"type": "string", "enum": list(MODES)},
}


def document(server: Server, path: str, type: str = "") -> JSON:
    """The OpenAPI document of the service base at `path` ("/fhir"), in general or for one resource type."""
    paths: dict[str, JSON] = {}
    for (method, shape), described in INTERACTIONS.items():
        if (method, shape) in server.dispatch and (not type or "[type]" in shape):
            place = _place(path, shape, type)
            paths.setdefault(place, {})[method.lower()] = _interaction(shape, described, type)
    for operation in server.operations.values():
        for shape in _shapes(operation, type):
            _add_operation(paths, _place(path, shape, type), operation, shape, type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"careplan-server: {type or 'FHIR R4'}",
            "version": version("careplan-server"),
            "description": "FHIR R4 (4.0.1), as JSON or as application/fhir+xml. "
            "?type=CarePlan writes one type out, with its search parameters.",
        },
        "paths": paths,
        "components": {"schemas": {**SCHEMAS, **(schemas(type) if type else {})}},
    }


def _place(path: str, shape: str, type: str) -> str:
    """A shape as OpenAPI writes it: /fhir/{type}/{id}."""
    below = "" if shape == BASE else f"/{shape}"
    if type:
        below = below.replace("[type]", type)
    return path + re.sub(r"\[(\w+)\]", r"{\1}", below)


def _interaction(shape: str, described: Described, type: str) -> JSON:
    parameters = [*_path_parameters(shape, type), *map(_parameter, described.parameters)]
    if type and described.id == "search-type":
        known = {one["name"] for one in parameters}
        parameters += [
            {"name": one["name"], "in": "query", "schema": STRING, "description": _described(one)}
            for one in search_parameters_of(type)
            if one["name"] not in known
        ]
    made: JSON = {
        "operationId": described.id,
        "summary": described.summary,
        "parameters": parameters,
        "responses": _answers(described, type),
    }
    if described.bodies:
        sent = RESOURCE if described.id == "transaction" or len(described.bodies) > 1 else _resource(type)
        content = {media_type: {"schema": BODIES.get(media_type, sent)} for media_type in described.bodies}
        if type == "Binary" and described.bodies == (FHIR,):
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        made["requestBody"] = {"required": True, "content": content}
    if "201" in described.answers:
        made["responses"]["201"]["links"] = _links(type)
    return made


def _answers(described: Described, type: str) -> JSON:
    found = _responses({**described.answers, **(SENT if described.bodies else {})}, _answer(described, type))
    if described.media_type != FHIR:
        found["200"]["content"] = {described.media_type: {}}
    if type == "Binary" and described.answers == READ:
        found["200"]["content"]["*/*"] = {}
    return found


def _resource(type: str) -> JSON:
    return {"$ref": f"{REFERENCE}{type}"} if type else RESOURCE


def _answer(described: Described, type: str) -> JSON:
    """What a 2xx holds: the resource or, where it is written, what Prefer asks for in its place."""
    if described.answer:
        return {"type": "object", "properties": {"resourceType": {"enum": described.answer.split("|")}}}
    return {"anyOf": [_resource(type), OUTCOME]} if "Prefer" in described.parameters else _resource(type)


def _links(type: str) -> JSON:
    """Where what was created is read, changed and deleted."""
    named = {"id": "$response.body#/id"} | ({} if type else {"type": "$response.body#/resourceType"})
    return {id: {"operationId": id, "parameters": named} for id in ("read", "update", "delete", "history-instance")}


def _described(parameter: Mapping[str, str]) -> str:
    told = f"{parameter['type']}: {parameter['definition']}"
    return f"{told}; {parameter['documentation']}" if "documentation" in parameter else told


def _path_parameters(shape: str, type: str) -> list[JSON]:
    schemas: dict[str, JSON] = {
        "compartment": {"type": "string", "enum": sorted(COMPARTMENTS)},
        "type": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
        "id": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"},
        "vid": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }
    named = [name for name in re.findall(r"\[(\w+)\]", shape) if name in schemas]
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[name]}
        for name in named
        if not (type and name == "type")
    ]


def _parameter(name: str) -> JSON:
    if name in HEADERS:
        return {"name": name, "in": "header", "schema": STRING, "description": HEADERS[name]}
    schema: JSON = {"type": "integer", "minimum": 0} if name in INTEGERS else ENUMS.get(name, STRING)
    return {"name": name, "in": "query", "schema": schema, "description": QUERY[name]}


def _responses(answers: Mapping[str, str], answer: JSON) -> JSON:
    found: JSON = {}
    for status, words in {**answers, **OUTCOMES}.items():
        schema = OUTCOME if status >= "4" or status == "202" else answer
        found[status] = {"description": words}
        if status not in {"204", "304"}:
            found[status]["content"] = {FHIR: {"schema": schema}}
    return dict(sorted(found.items()))


def _shapes(operation: Operation, type: str) -> list[str]:
    """Where an operation is, of what the document is about."""
    definition = operation.definition
    if type:
        return [LEVELS[level] for level in ("type", "instance") if definition.get(level) and is_for(operation, type)]
    return [LEVELS[level] for level in LEVELS if definition.get(level)]


def _add_operation(paths: dict[str, JSON], place: str, operation: Operation, shape: str, type: str) -> None:
    definition = operation.definition
    code = definition["code"]
    level = next(name for name, own in LEVELS.items() if own == shape)
    made: JSON = {
        "operationId": f"{code}-{level}",
        "summary": definition["title"],
        "description": definition["description"],
        "tags": [f"${code}"],
        "parameters": _typed(_path_parameters(shape, type), definition.get("resource", ())),
        "responses": _responses({"200": "What it answers", "201": "What it made"} | LATER | GONE | REFUSED, RESOURCE),
    }
    at = paths.setdefault(place.replace("{name}", code), {})
    body = {"content": {FHIR: {"schema": RESOURCE}}}
    at["post"] = made | {"requestBody": body}
    if operation.gets:
        asked = [_input(one) for one in definition["parameter"] if one["use"] == "in" and _is_simple(one)]
        at["get"] = made | {"operationId": f"{code}-{level}-by-get", "parameters": [*made["parameters"], *asked]}


def _typed(parameters: Iterable[JSON], types: Sequence[str]) -> list[JSON]:
    """The path's parameters, the type among those that an operation is of."""
    if "Resource" in types:
        return list(parameters)
    schema = {"type": "string", "enum": sorted(types)}
    return [one | {"schema": schema} if one["name"] == "type" else one for one in parameters]


def _is_simple(parameter: Mapping[str, Any]) -> bool:
    return parameter.get("type") in PRIMITIVES or parameter.get("type") == "Reference"


def _input(parameter: Mapping[str, Any]) -> JSON:
    return {
        "name": parameter["name"],
        "in": "query",
        "required": parameter["min"] > 0,
        "schema": STRING,
        "description": f"{parameter['type']}: {parameter['documentation']}",
    }


STRING: JSON = {"type": "string"}
RESOURCE: JSON = {"$ref": "#/components/schemas/Resource"}
OUTCOME: JSON = {"$ref": "#/components/schemas/OperationOutcome"}
BODIES: Mapping[str, JSON] = {
    JSON_PATCH: {"$ref": "#/components/schemas/JsonPatch"},
    MERGE_PATCH: {"type": "object"},
    FORM: {"type": "object", "additionalProperties": STRING},
}
SCHEMAS: JSON = {
    "Resource": {
        "type": "object",
        "description": "A FHIR R4 resource; [base]/$validate says whether it is one.",
        "required": ["resourceType"],
        "properties": {"resourceType": {"type": "string", "enum": sorted(RESOURCE_TYPES)}},
    },
    "OperationOutcome": {
        "type": "object",
        "required": ["resourceType", "issue"],
        "properties": {
            "resourceType": {"const": "OperationOutcome"},
            "issue": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["severity", "code"],
                    "properties": {
                        "severity": {"enum": ["fatal", "error", "warning", "information"]},
                        "code": STRING,
                        "diagnostics": STRING,
                        "expression": {"type": "array", "items": STRING},
                    },
                },
            },
        },
    },
    "Extension": {"type": "object", "required": ["url"], "properties": {"url": STRING}},
    "JsonPatch": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": {
                "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": STRING,
                "from": STRING,
                "value": {},
            },
        },
    },
}


@lru_cache(16)
def written(server: Server, path: str, type: str) -> JSON:
    """The document, made once."""
    return document(server, path, type)
