"""[type]/$validate and [type]/[id]/$validate: would this resource be stored, as far as its structure goes?

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from server.fhir import body
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.outcome import Issue, Problem, outcome
from server.validation import element

MODES = ("create", "update", "delete")


async def validate(call: Call) -> Answer:
    """An OperationOutcome, always with 200: what was found, or that nothing was."""
    mode = call.inputs.one("mode")
    if mode is not None and mode not in MODES:
        raise Problem.of("invalid", f"{mode!r} is no mode; there are {', '.join(MODES)}", place("mode"))
    given = call.inputs.typed("resource")
    if given is None and call.id:
        resource = body.parse(call.repository.read(call.caller, call.type, call.id).body or b"").resource
    elif given is None:
        raise Problem.of("required", "resource is missing: the resource to validate", place("resource"))
    else:
        resource = given.value
    issues = [] if mode == "delete" else list(_found(call, resource))
    if profile := call.inputs.one("profile"):
        text = f"Profiles are not checked yet: nothing is said about {profile}"
        issues.append(Issue("not-supported", text, (place("profile"),), "warning"))
    if not issues:
        issues.append(Issue("informational", "Nothing is wrong with the resource's structure", severity="information"))
    return Answer([("return", outcome(issues))])


def _found(call: Call, resource: dict[str, object]) -> list[Issue]:
    issues = element.validate(resource)
    if call.type and resource["resourceType"] != call.type:
        text = f"The URL takes a {call.type}; this is a {resource['resourceType']}"
        issues = [Issue("invalid", text, (f"{resource['resourceType']}",)), *issues]
    if call.inputs.one("mode") == "update" and "id" not in resource:
        issues = [*issues, Issue("required", "An update names its resource's id", (f"{resource['resourceType']}.id",))]
    return issues
