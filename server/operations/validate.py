"""[type]/$validate and [type]/[id]/$validate: would this resource be stored, as far as its own content goes?

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from dataclasses import replace

from server.fhir import body
from server.ledger import Resource, View
from server.operations.call import LARGE, Answer, Call, aside
from server.operations.parameters import place
from server.outcome import Issue, Problem, outcome
from server.validation import element
from server.validation.conformance import answered
from server.validation.profile.judgement import Claim, judge

MODES = ("create", "update", "delete", "profile")


async def validate(call: Call) -> Answer:
    """An OperationOutcome, always with 200: what was found, or that nothing was."""
    mode = call.inputs.one("mode")
    if mode is not None and mode not in MODES:
        raise Problem.of("invalid", f"{mode!r} is no mode; there are {', '.join(MODES)}", place("mode"))
    given = call.inputs.typed("resource")
    stored = b""
    if given is None:
        if not call.id:
            raise Problem.of("required", "resource is missing: the resource to validate", place("resource"))
        stored = (await call.repository.read(call.caller, call.type, call.id)).body or b""

    async def find(view: View) -> list[Issue]:
        resource = given.value if given else body.parse(stored).resource
        return await _found(call, view, resource)

    view = await call.repository.view(call.caller)
    is_large = max(call.size, len(stored)) >= LARGE
    issues = [] if mode == "delete" else await (aside(view, find) if is_large else find(view))
    if not any(issue.severity in {"error", "warning"} for issue in issues):
        issues = [Issue("informational", "Nothing is wrong with the resource", severity="information"), *issues]
    return Answer([("return", outcome(issues))])


async def _found(call: Call, view: View, resource: Resource) -> list[Issue]:
    issues = element.validate(resource)
    if not issues:
        issues = await _by_profile(call, view, resource)
    if call.type and resource["resourceType"] != call.type:
        text = f"The URL takes a {call.type}; this is a {resource['resourceType']}"
        issues = [Issue("invalid", text, (f"{resource['resourceType']}",)), *issues]
    if call.inputs.one("mode") == "update" and "id" not in resource:
        issues = [*issues, Issue("required", "An update names its resource's id", (f"{resource['resourceType']}.id",))]
    return issues


async def _by_profile(call: Call, view: View, resource: Resource) -> list[Issue]:
    """By the profiles that it declares, and by the one that is named; that one has to be loaded."""
    named = call.inputs.one("profile")
    claims = [Claim(named, place("profile"))] if named else []
    issues = await answered(view, lambda definitions: judge(definitions, resource, claims))
    return [replace(issue, severity="error") if issue.expression == (place("profile"),) else issue for issue in issues]
