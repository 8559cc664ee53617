"""capabilities: what this server can do, made from the tables that make it do so, and what is loaded.

https://hl7.org/fhir/R4/http.html#capabilities, https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, NamedTuple

from server.fhir import body, summary
from server.fhir.definition import BASE as CANONICAL
from server.fhir.definition import RESOURCE_TYPES, search_parameters
from server.interactions import terminology_capabilities
from server.interactions.exchange import (
    BASE,
    INSTANCE,
    INSTANCE_HISTORY,
    SYSTEM_HISTORY,
    TYPE,
    TYPE_HISTORY,
    VERSION,
    Operation,
    Request,
    Response,
    Server,
)
from server.interactions.read import subset
from server.outcome import Problem
from server.search.compartment import COMPARTMENTS
from server.search.custom import Definitions
from server.search.parameter import TEXTS, parameters
from server.search.reference import PARENTS, hierarchies

TYPE_INTERACTIONS = {  # (method, shape) -> TypeRestfulInteraction
    ("GET", INSTANCE): "read",
    ("GET", VERSION): "vread",
    ("PUT", INSTANCE): "update",
    ("PATCH", INSTANCE): "patch",
    ("DELETE", INSTANCE): "delete",
    ("GET", INSTANCE_HISTORY): "history-instance",
    ("GET", TYPE_HISTORY): "history-type",
    ("POST", TYPE): "create",
    ("GET", TYPE): "search-type",
}
SYSTEM_INTERACTIONS = {
    ("POST", BASE): ("transaction", "batch"),
    ("GET", SYSTEM_HISTORY): ("history-system",),
    ("GET", BASE): ("search-system",),
}
PARTITIONS = 32  # whose statements are kept
MODES = ("full", "normative", "terminology")
SECURITY = (
    "No authentication is configured: the server listens on loopback alone. X-Acting-As names who acts; behind an "
    "authenticating proxy, that proxy sets it."
)
STARTED = datetime.now(UTC).replace(microsecond=0).isoformat()


async def capabilities(server: Server, request: Request) -> Response:
    """GET [base]/metadata, whole or as _summary or _elements asks for it."""
    mode = request.parameter("mode") or "full"
    if mode not in MODES:
        raise Problem.invalid(f"mode is one of {', '.join(MODES)}; {mode[:40]!r} is none", "mode")
    kind = request.parameter("_summary") or None
    summary.check(kind)
    if mode == "terminology":
        whole = _terminology(server, request.base_url, await server.repository.conformance.code_systems())
    else:
        whole = _statement(server, request.base_url, await _stored(server))
    content, tag = _part(whole, kind, request.parameter("_elements") or "")
    if tag in {part.strip() for part in request.headers.get(b"if-none-match", b"").split(b",")}:
        return Response(304, headers=((b"etag", tag),))
    return Response(200, content, headers=((b"etag", tag),))


class Custom(NamedTuple):
    """A stored SearchParameter of one type, and how far it is indexed."""

    type: str
    code: str
    url: str
    kind: str
    followed: float
    targets: frozenset[str]  # of a reference


async def _custom(server: Server, definitions: Definitions) -> tuple[Custom, ...]:
    following = await server.repository.store.following() if definitions.parameters else {}
    return tuple(
        Custom(
            type,
            code,
            definitions.urls[type, code],
            found.kind,
            following.get(found.index, 0.0),
            found.targets if found.kind == "reference" else frozenset(),
        )
        for (type, code), found in sorted(definitions.parameters.items())
    )


class Stored(NamedTuple):
    """What a statement has of what is stored: parameters, (type, URL) of profiles, (URL, version) of guides."""

    parameters: tuple[Custom, ...]
    profiles: tuple[tuple[str, str], ...]
    guides: tuple[tuple[str, str], ...]


async def _stored(server: Server) -> Stored:
    repository = server.repository
    custom = await _custom(server, await repository.conformance.parameters())
    return Stored(custom, await repository.conformance.profiles(), await repository.conformance.guides())


# Made once for each partition, for monitors ask for them again and again


@lru_cache(PARTITIONS)
def _statement(server: Server, base_url: str, stored: Stored) -> bytes:
    return body.dumps(_with_stored(statement(server, base_url), stored))


@lru_cache(PARTITIONS)
def _terminology(server: Server, base_url: str, systems: tuple[tuple[str, str], ...]) -> bytes:
    told = terminology_capabilities.told(server.operations["expand"], systems)
    return body.dumps({"resourceType": "TerminologyCapabilities", **_of_all(base_url), **told})


@lru_cache(2 * PARTITIONS)
def _part(whole: bytes, kind: str | None, elements: str) -> tuple[bytes, bytes]:
    """What is asked for of a statement, and its ETag."""
    content = subset(whole, kind, elements.split(","))
    return content, b'W/"%08x"' % zlib.crc32(content)


def statement(server: Server, base_url: str) -> dict[str, Any]:
    """The CapabilityStatement of a server, as seen at this base URL."""
    return {
        "resourceType": "CapabilityStatement",
        **_of_all(base_url),
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": [
            "application/json-patch+json",
            "application/fhir+json",
            "application/fhir+xml",
            "application/merge-patch+json",
        ],
        "rest": [_rest(server)],
    }


def _of_all(base_url: str) -> dict[str, Any]:
    """What every statement of this server begins with."""
    return {
        "name": "CareplanServer",
        "title": "careplan-server: care coordination over FHIR R4",
        "status": "active",
        "date": STARTED,
        "kind": "instance",
        "software": {"name": "careplan-server", "version": version("careplan-server")},
        "implementation": {"description": "careplan-server", "url": base_url},
    }


def _with_stored(statement: dict[str, Any], stored: Stored) -> dict[str, Any]:
    """The statement with the parameters, the profiles and the guides that are stored here."""
    further: dict[str, list[dict[str, str]]] = {}
    for one in stored.parameters:
        told = "Indexed" if one.followed == 1 else f"Being indexed: {one.followed:.1%} is done"
        row = {"name": one.code, "definition": one.url, "type": one.kind, "documentation": told}
        further.setdefault(one.type, []).append(row)
    references = [one for one in stored.parameters if one.targets]
    supported: dict[str, list[str]] = {}
    for type, url in stored.profiles:
        supported.setdefault(type, []).append(url)
    rest = statement["rest"][0]
    resources = [
        {
            **one,
            **_unless_empty("supportedProfile", supported.get(one["type"], [])),
            "searchInclude": [
                *one["searchInclude"],
                *(f"{on.type}:{on.code}" for on in references if on.type == one["type"]),
            ],
            "searchRevInclude": [
                *one["searchRevInclude"],
                *(f"{on.type}:{on.code}" for on in references if one["type"] in on.targets),
            ],
            "searchParam": [*one["searchParam"], *further.get(one["type"], ())],
        }
        for one in rest["resource"]
    ]
    guides = [f"{url}|{number}" if number else url for url, number in stored.guides]
    return {
        **statement,
        **_unless_empty("implementationGuide", guides),
        "rest": [{**rest, "resource": resources}],
    }


@lru_cache(PARTITIONS)
def _rest(server: Server) -> dict[str, Any]:
    system = [code for place, codes in SYSTEM_INTERACTIONS.items() if place in server.dispatch for code in codes]
    return {
        "mode": "server",
        "documentation": "Made from the tables that the server works by. /docs on this host is the guide.",
        "security": {"cors": server.has_cors, "description": SECURITY},
        "resource": [_resource(server, type) for type in sorted(RESOURCE_TYPES)],
        "interaction": [{"code": code} for code in system],
        "searchParam": search_parameters_of("DomainResource"),
        **_operations(found for found in server.operations.values() if found.definition.get("system")),
        "compartment": [f"{CANONICAL}CompartmentDefinition/{code.lower()}" for code in COMPARTMENTS],
    }


def _resource(server: Server, type: str) -> dict[str, Any]:
    references = [found for found in search_parameters(type).values() if found.type == "reference"]
    return {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "interaction": [{"code": code} for place, code in TYPE_INTERACTIONS.items() if place in server.dispatch],
        "versioning": "versioned-update" if server.is_versioned(type) else "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": ("PUT", TYPE) in server.dispatch,
        "conditionalDelete": "multiple" if server.deletes_several else "single",
        "referencePolicy": ["literal", "logical", "local"],
        "searchInclude": ["*", *(f"{type}:{found.code}" for found in references)],
        "searchRevInclude": [*_pointing("Resource"), *_pointing(type)],
        "searchParam": search_parameters_of(type),
        **_operations(found for found in server.operations.values() if is_for(found, type)),
    }


def search_parameters_of(type: str) -> list[dict[str, str]]:
    """CapabilityStatement.rest.resource.searchParam; `documentation` where there is more to say."""
    compiled = parameters(type)
    rows = []
    for found in search_parameters(type).values():
        if found.expression or found.code in TEXTS:
            row = {"name": found.code, "definition": found.url, "type": found.type}
            along = hierarchies(compiled[found.code]) if found.type == "reference" else ()
            if along:
                row["documentation"] = f":above, :below along {', '.join(f'{one}.{PARENTS[one]}' for one in along)}"
            rows.append(row)
    return rows


def is_for(operation: Operation, type: str) -> bool:
    """True where the operation is of this resource type or its instances."""
    definition = operation.definition
    if not (definition.get("type") or definition.get("instance")):
        return False
    return bool({type, "Resource"} & set(definition.get("resource", ())))


def _operations(found: Iterable[Operation]) -> dict[str, Any]:
    listed = [{"name": row.definition["code"], "definition": row.definition["url"]} for row in found]
    return _unless_empty("operation", listed)


@cache
def _pointing(target: str) -> tuple[str, ...]:
    """The reference parameters of all types that may point to this one."""
    return tuple(
        f"{type}:{found.code}"
        for type in sorted(RESOURCE_TYPES)
        for found in search_parameters(type).values()
        if found.type == "reference" and target in found.target
    )


def _unless_empty(name: str, values: Sequence[Any]) -> dict[str, Any]:
    return {name: list(values)} if values else {}
