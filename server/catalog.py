"""Catalog: the API for a person, page by page, made from the CapabilityStatement and the OperationDefinitions.

https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from server.fhir.definition import SPECIFICATION, search_parameters
from server.interactions.capabilities import is_for, statement
from server.interactions.exchange import Operation, Server

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "ul.types{columns:4 12rem;list-style:none;padding:0}code{overflow-wrap:anywhere}"
)
LEVELS = {"system": "[base]", "type": "[base]/{type}", "instance": "[base]/{type}/[id]"}


def front(places: Mapping[str, str]) -> str:
    """Where everything is."""
    rows = "".join(
        f'<li><a href="{escape(path)}">{escape(path)}</a> {escape(what)}</li>' for what, path in places.items()
    )
    return _page("careplan-server", f"<h1>careplan-server</h1><ul>{rows}</ul>")


def index(server: Server, path: str, below: str) -> str:
    """All types and all operations, of the partition that is `below` the service base: "" or "/ia"."""
    rest = statement(server, path + below)["rest"][0]
    of = f"?partition={below[1:]}" if below else ""
    types = "".join(f'<li><a href="/api/{one["type"]}{of}">{one["type"]}</a></li>' for one in rest["resource"])
    operations = "".join(map(_row_of, sorted(server.operations.values(), key=lambda one: str(one.definition["code"]))))
    return _page(
        "API",
        f"<h1>The API at {escape(path + below)}</h1><h2>Types</h2><ul class=types>{types}</ul>"
        f"<h2>Operations</h2>{_table(('', 'on', 'does'), operations)}"
        f"<h2>Of all types</h2>{_interactions(rest)}",
    )


def page(server: Server, path: str, below: str, type: str) -> str | None:
    """What can be done with one type; None where it is none."""
    base = path + below
    of = f"&amp;partition={below[1:]}" if below else ""
    resources = statement(server, base)["rest"][0]["resource"]
    found = next((one for one in resources if one["type"] == type), None)
    if found is None:
        return None
    operations = "".join(_operation(row, type) for row in server.operations.values() if is_for(row, type))
    includes = ", ".join(f"<code>{escape(one)}</code>" for one in found["searchInclude"])
    return _page(
        type,
        f'<h1>{type}</h1><p><a href="{SPECIFICATION}{type.lower()}.html">R4</a> · '
        f'<a href="{base}/{type}?_count=10">{base}/{type}</a> · <a href="/openapi.json?type={type}{of}">OpenAPI</a></p>'
        f"<h2>Interactions</h2>{_interactions(found)}<p>Versioning {found['versioning']}, conditional delete "
        f"{found['conditionalDelete']}, conditional read {found['conditionalRead']}; so are create, update, patch."
        f"</p><h2>Search</h2>{_table(('parameter', 'type', 'looks at'), _parameters(found))}<p>_include: {includes}</p>"
        f"<h2>Operations</h2>{operations}",
    )


def _interactions(found: Mapping[str, Any]) -> str:
    return f"<p>{', '.join(one['code'] for one in found['interaction'])}</p>"


def _parameters(found: Mapping[str, Any]) -> str:
    known = search_parameters(found["type"])
    return "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['type']}</td>"
        f"<td><code>{escape(known[one['name']].expression)}</code></td></tr>"
        for one in found["searchParam"]
    )


def _row_of(operation: Operation) -> str:
    definition = operation.definition
    types = ", ".join(definition.get("resource", ()))
    return (
        f"<tr><td><code>${escape(definition['code'])}</code></td><td>{escape(types)}</td>"
        f"<td>{escape(definition['description'])}</td></tr>"
    )


def _operation(operation: Operation, type: str) -> str:
    definition = operation.definition
    method = "GET or POST" if operation.gets else "POST"
    places = ", ".join(
        f"<code>{method} {escape(place.replace('{type}', type))}/${escape(definition['code'])}</code>"
        for level, place in LEVELS.items()
        if definition.get(level)
    )
    rows = "".join(
        f"<tr><td>{one['use']}</td><td><code>{escape(one['name'])}</code></td><td>{one['min']}..{one['max']}</td>"
        f"<td>{escape(one.get('type', ''))}</td><td>{escape(one.get('documentation', ''))}</td></tr>"
        for one in definition.get("parameter", ())
    )
    return (
        f"<h3>${escape(definition['code'])}</h3><p>{escape(definition['description'])}</p><p>{places}</p>"
        f"{_table(('', 'name', '', 'type', ''), rows)}"
    )


def _table(heads: Iterable[str], rows: str) -> str:
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)} - careplan-server</title>'
        f'<style>{STYLE}</style><p><a href="/">Start</a> · <a href="/api">API</a> · <a href="/docs">Guide</a></p>'
        f"{content}"
    )
