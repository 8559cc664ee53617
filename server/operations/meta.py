"""$meta, $meta-add, $meta-delete: the profiles, tags and security labels of a resource, of a type's, or of all.

https://hl7.org/fhir/R4/resource-operation-meta.html, https://hl7.org/fhir/R4/resource-operation-meta-add.html,
https://hl7.org/fhir/R4/resource-operation-meta-delete.html

A change of them is a version like any other: what the ledger has is never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from server.fhir import body
from server.fhir.body import Body
from server.fhir.definition import RESOURCE_TYPES
from server.ledger import Change, Plan, Resource, Version, View
from server.operations.call import Answer, Call
from server.outcome import Problem
from server.search.filter import Or, Present

LABELS = ("profile", "security", "tag")
MOST = 10_000  # resources that are looked through

Meta = dict[str, Any]


async def meta(call: Call) -> Answer:
    """Of an instance its meta; of a type, or of all types, each profile, label and tag that some resource has.

    Where there is none, nothing is returned: R4's JSON has no empty objects.
    """
    view = await call.repository.view(call.caller)
    if call.id:
        return Answer([("return", _meta(await call.here(view)))])
    found: Meta = {}
    for type in [call.type] if call.type else sorted(RESOURCE_TYPES):
        for version in await _labelled(view, type):
            found = joined(found, _meta(version))
    return Answer([("return", found or None)])


async def meta_add(call: Call) -> Answer:
    """The resource's meta, with what the input has besides."""
    return await _changed(call, joined)


async def meta_delete(call: Call) -> Answer:
    """The resource's meta, without what the input has."""
    return await _changed(call, without)


def joined(meta: Meta, more: Mapping[str, Any]) -> Meta:
    """`meta` with the profiles, labels and tags of `more` that it does not have."""
    return _with(meta, {name: _distinct([*meta.get(name, ()), *more.get(name, ())]) for name in LABELS})


def without(meta: Meta, less: Mapping[str, Any]) -> Meta:
    """`meta` without the profiles, labels and tags of `less`."""
    dropped = {name: {_identity(one) for one in less.get(name, ())} for name in LABELS}
    return _with(
        meta, {name: [one for one in meta.get(name, ()) if _identity(one) not in dropped[name]] for name in LABELS}
    )


def _with(meta: Meta, labels: Mapping[str, list[Any]]) -> Meta:
    rest = {name: value for name, value in meta.items() if name not in LABELS}
    return rest | {name: values for name, values in labels.items() if values}


def _distinct(items: Iterable[Any]) -> list[Any]:
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(_identity(item), item)
    return list(found.values())


def _identity(item: Any) -> Any:
    """A label or tag is its system and code; a display does not make it another."""
    return (item.get("system"), item.get("code")) if isinstance(item, dict) else item


async def _labelled(view: View, type: str) -> list[Version]:
    """The resources of a type that have any. Problem too_costly where there are more than are looked through."""
    found = await view.search(type, Or(tuple(Present(f"{type}._{name}") for name in LABELS)), MOST + 1)
    if len(found) > MOST:
        raise Problem.of(
            "too_costly",
            f"More than {MOST} {type} resources have labels: search by _tag, _profile and _security instead",
        )
    return found


async def _changed(call: Call, change: Callable[[Meta, Mapping[str, Any]], Meta]) -> Answer:
    given = call.inputs.one("meta")

    async def decide(view: View) -> Plan:
        resource = _resource(await call.here(view))
        before = resource["meta"]
        after = change(before, given)
        if after == before:
            return Plan(output=after)
        made = Body.of({**resource, "meta": after})
        return Plan([Change("PUT", call.type, call.id, made.resource, made.text(call.id))], after)

    commit = await call.commit(decide, datetime.now(UTC))
    return Answer([("return", _meta(commit.versions[0]) if commit.versions else commit.output)])


def _meta(version: Version) -> Meta:
    found: Meta = _resource(version)["meta"]
    return found


def _resource(version: Version) -> Resource:
    found: Resource = body.loads(version.body or b"")
    return found
