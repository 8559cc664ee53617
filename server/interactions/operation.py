"""Operations: how `$name` is reached, at the base, a type or an instance. What they do is their own room's.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from server.interactions.exchange import (
    INSTANCE_OPERATION,
    SYSTEM_OPERATION,
    TYPE_OPERATION,
    Operation,
    Request,
    Response,
    Server,
)
from server.interactions.headers import CSV, acceptable, not_acceptable
from server.outcome import Problem

LEVELS = {SYSTEM_OPERATION: "system", TYPE_OPERATION: "type", INSTANCE_OPERATION: "instance"}


async def invoke(server: Server, request: Request) -> Response:
    """POST [base]/[type]/[id]/$[name], or GET where the operation only reads."""
    operation = server.operations.get(request.place.operation)
    if operation is None or not _is_at(operation, request):
        where = "/".join(part for part in request.place[1:3] if part) or "[base]"
        raise Problem.not_found(f"There is no operation ${request.place.operation[:80]} at {where}")
    if request.method != "POST" and not operation.gets:
        raise Problem.of(
            "not_supported",
            f"${request.place.operation} writes: POST it, with its Parameters in the body",
            headers={"Allow": "POST"},
        )
    _read_format(request)
    response = await operation(server, request)
    if request.media_type == CSV and not response.media_type:
        raise not_acceptable("text/csv", "http.Accept")
    return response


def _is_at(operation: Operation, request: Request) -> bool:
    """True where the OperationDefinition names this level and this type."""
    definition, place = operation.definition, request.place
    return bool(definition.get(LEVELS[place.shape])) and (
        not place.type or place.type in (types := definition.get("resource", ())) or "Resource" in types
    )


def _read_format(request: Request) -> None:
    """`_format` in the Parameters, where the URL has none: the form of the answer. A Bundle's entry has none."""
    if request.format or request.parsed is not None or not request.content:
        return
    given = request.body().resource.get("parameter")
    for one in given if isinstance(given, list) else ():
        if isinstance(one, dict) and one.get("name") == "_format":
            format = one.get("valueCode", one.get("valueString"))
            if not isinstance(format, str):
                raise Problem.invalid("_format is a code, such as json or csv", "Parameters.parameter")
            request.media_type = acceptable(None, format, tabular=True)
