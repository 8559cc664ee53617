"""Invariants of TestScript and TestReport: https://hl7.org/fhir/R4/testscript.html

tst-6, tst-8, tst-9, tst-11 and tst-13 say of elements that refer to others what tst-5, tst-7, tst-10 and tst-12 say of
those.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import Invariant, Json, either, has

_TARGETS = ("targetId", "url", "params")
_CALLS = {"capabilities", "search", "transaction", "history"}
_ASSERTED = """
    contentType expression headerField minimumId navigationLinks path requestMethod resource responseCode response
    validateProfileId
"""


def _operated(it: Json) -> bool:
    named = sum(has(it, name) for name in _TARGETS) == 1
    return has(it, "sourceId") or named or it.get("type", {}).get("code") in _CALLS


def _asserted(it: Json) -> bool:
    return "extension" in it or sum(has(it, name) for name in _ASSERTED.split()) <= 1


def _compared(it: Json) -> bool:
    expressed = has(it, "compareToSourceExpression") or has(it, "compareToSourcePath")
    return has(it, "compareToSourceId") == expressed


def _directed(it: Json) -> bool:
    return it.get("direction") != "request" or not (has(it, "response") or has(it, "responseCode"))


def _asserts(key: str) -> tuple[Invariant, ...]:
    return (Invariant(key, either("operation", "assert"), "an action is an operation or an assert"),)


_ASSERT = (
    Invariant("tst-5", _asserted, "an assert asserts one thing"),
    Invariant("tst-10", _compared, "compareToSourceId stands with an expression or a path"),
    Invariant("tst-12", _directed, "what is asserted of a response is not of a request"),
)


_OPERATION = Invariant("tst-7", _operated, "an operation has a sourceId, or one of targetId, url and params")


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "TestReport.setup.action": _asserts("inv-1"),
    "TestReport.test.action": _asserts("inv-2"),
    "TestScript.metadata": (
        Invariant(
            "tst-4",
            lambda it: any(has(one, name) for one in it.get("capability", ()) for name in ("required", "validated")),
            "a capability is required or validated",
        ),
    ),
    "TestScript.setup.action": _asserts("tst-1"),
    "TestScript.setup.action.assert": _ASSERT,
    "TestScript.setup.action.operation": (_OPERATION,),
    "TestScript.test.action": _asserts("tst-2"),
    "TestScript.variable": (
        Invariant(
            "tst-3",
            lambda it: not all(has(it, name) for name in ("expression", "headerField", "path")),
            "a variable has one of expression, headerField and path",
        ),
    ),
}
