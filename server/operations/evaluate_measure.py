"""Measure/[id]/$evaluate-measure: one of the Measures that this server computes, of an organization over a period.

https://hl7.org/fhir/R4/measure-operation-evaluate-measure.html

The numbers are those of $caseload-report and $outcome-indicators, by the name that FHIR has for asking.
"""

from __future__ import annotations

from dataclasses import replace

from server.coordination.facts import BASE
from server.coordination.program.programs import active
from server.fhir.reference import local
from server.ledger import Resource
from server.operations import outcome_indicators
from server.operations.call import Answer, Call
from server.operations.caseload_report import caseload_report
from server.operations.parameters import Given, Inputs, place
from server.outcome import Issue, Problem

CASELOAD = "caseload"
MEASURES = (CASELOAD, "contact-answer", "contact-unanswered", "plan-review", "plan-follow-up")
TYPES = ("subject", "subject-list", "population")


async def evaluate_measure(call: Call) -> Answer:
    """A summary; a subject-list where that is the reportType."""
    measure, asked = _measure(call), await _of_organization(call)
    if measure == CASELOAD:
        return await caseload_report(asked)

    def only(reports: list[Resource]) -> Resource:
        return next(one for one in reports if one["measure"] == f"{BASE}/Measure/{measure}")

    return await outcome_indicators.answered(asked, only)


def _measure(call: Call) -> str:
    """The id of the Measure that is named: on the type by `measure`, its reference or canonical."""
    given: str | None = call.id or call.inputs.one("measure")
    if given is None:
        raise Problem.of("required", "On the type it takes the measure, such as Measure/caseload", place("measure"))
    id = given.partition("|")[0].rpartition("/")[2]
    if id not in MEASURES:
        text = f"This server computes the Measures {', '.join(MEASURES)}, and not {given[:80]}"
        raise Problem.with_issues("unprocessable", [Issue("not-supported", text, (place("measure"),))])
    return id


async def _of_organization(call: Call) -> Call:
    """The same as a call of a report on the organization."""
    given = call.inputs.one("subject")
    subject = local(given, call.base_url) if given else None
    if subject is None or subject.type != "Organization":
        raise Problem.of("required", "The subject is an organization, such as Organization/7", place("subject"))
    kind = call.inputs.one("reportType")
    if kind is not None and kind not in TYPES:
        raise Problem.invalid(f"reportType is one of {', '.join(TYPES)}", place("reportType"))
    over = {name: call.inputs.one(f"period{name.title()}") for name in ("start", "end")}
    times = {name: call.inputs.given[name] for name in ("asOf", "at") if name in call.inputs.given}
    inputs = {
        **times,
        "program": [Given("canonical", await _program(call))],
        "period": [Given("Period", over)],
        "detail": [Given("boolean", kind == "subject-list")],
    }
    return replace(call, type="Organization", id=subject.id, inputs=Inputs(inputs), writes=False)


async def _program(call: Call) -> str:
    """The program that is named, or the only one that limits caseloads."""
    given: str | None = call.inputs.one("program")
    if given is not None:
        return given
    view, now = await call.view()
    known = await active(view)
    limiting = [url for url in known if any(known.near(url, now).of_kind("caseload-cap"))]
    if len(limiting) != 1:
        raise Problem.of("required", f"Name the program, of {', '.join(known) or 'none'}", place("program"))
    return limiting[0]
