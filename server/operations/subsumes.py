"""CodeSystem/$subsumes: how two codes of one system stand to one another.

https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from server.fhir import body
from server.operations.call import Answer, Call
from server.operations.terminology import Coded, answer, not_loaded
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import code_system


async def subsumes(call: Call) -> Answer:
    """`outcome`: equivalent, subsumes, subsumed-by or not-subsumed. Problem not_found (404) for what is not loaded."""
    given = None
    if call.id:
        given = code_system.read(
            body.parse((await call.repository.read(call.caller, call.type, call.id)).body or b"").resource
        )
    first, second = _asked(call, "A"), _asked(call, "B")
    system = first.system or (given.url if given else None)
    if system is None or (second.system or system) != system:
        raise Problem.invalid("Both codes are of one system, which is given")

    def ask(definitions: Definitions) -> str:
        found = given or code_system.find(definitions, system, call.inputs.one("version") or first.version)
        absent = [one.code for one in (first, second) if found is None or found.find(one.code) is None]
        if found is None or absent:
            not_loaded(definitions, f"{system} is not loaded, or has no code {' and no '.join(absent)}")
            return ""
        return found.subsumes(first.code, second.code)

    return Answer([("outcome", await answer(call, ask))])


def _asked(call: Call, which: str) -> Coded:
    code, coding = call.inputs.one(f"code{which}"), call.inputs.one(f"coding{which}")
    if (code is None) == (coding is None):
        raise Problem.invalid(f"Either code{which}, with system, or coding{which} is given")
    found = Coded(call.inputs.one("system"), code) if coding is None else Coded.of(coding)
    if not found.code:
        raise Problem.invalid(f"coding{which} has no code")
    return found
