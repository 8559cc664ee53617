"""Operations: a table row each: a code, its OperationDefinition, and the function that does it.

https://hl7.org/fhir/R4/operations.html

How a request gets here is the interactions' (`app` lets the two meet); a function sees only a Call.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.fhir.body import Body
from server.operations import parameters
from server.operations.advance import advance
from server.operations.assign_care_manager import assign_care_manager
from server.operations.call import Answer, Call
from server.operations.care_manager import care_manager
from server.operations.caseload import caseload
from server.operations.caseload_report import caseload_report
from server.operations.comprehensive_plan import comprehensive_plan
from server.operations.convert import convert, table
from server.operations.coordination_check import coordination_check
from server.operations.document import document
from server.operations.evaluate_measure import evaluate_measure
from server.operations.everything import everything
from server.operations.expand import expand
from server.operations.graph import graph
from server.operations.handoff import handoff
from server.operations.lastn import last
from server.operations.lead import lead
from server.operations.lookup import lookup
from server.operations.match import match_of
from server.operations.meeting_coverage import meeting_coverage
from server.operations.member_file import member_file
from server.operations.meta import meta, meta_add, meta_delete
from server.operations.outcome_indicators import outcome_indicators
from server.operations.parameters import Inputs
from server.operations.propose_lead import propose_lead
from server.operations.rebalance import rebalance
from server.operations.respond import respond
from server.operations.snapshot import snapshot_of
from server.operations.subsumes import subsumes
from server.operations.translate import translate
from server.operations.unassigned import unassigned
from server.operations.validate import validate
from server.operations.validate_code import validate_code

PROFILES = Path(__file__).resolve().parents[2] / "profiles"


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table."""

    definition: Mapping[str, Any]
    function: Callable[[Call], Awaitable[Answer]]
    gets: bool  # takes GET, by which it only reads
    searches: bool = False  # takes search parameters beside what its definition lists
    judges: bool = False  # says itself who may call it, and so of what is absent what it says of what is hidden

    def inputs(self, body: Body | None, query: Sequence[tuple[str, str]], base_url: str = "") -> Inputs:
        """What is given, read by the OperationDefinition."""
        return parameters.read(self.definition, body, query, base_url, searches=self.searches)

    def resource(self, answer: Answer) -> dict[str, Any]:
        """The outputs as the resource that is answered."""
        return parameters.written(self.definition, answer.outputs)


def _row(
    id: str,
    function: Callable[[Call], Awaitable[Answer]],
    *,
    gets: bool = False,
    searches: bool = False,
    judges: bool = False,
) -> Operation:
    """`gets` is for what writes by POST alone; what never writes takes GET in any case."""
    definition = json.loads((PROFILES / f"OperationDefinition-{id}.json").read_text())
    return Operation(definition, function, gets or not definition["affectsState"], searches, judges)


_ROWS = (
    _row("advance", advance),
    _row("assign-care-manager", assign_care_manager),
    _row("care-manager", care_manager),
    _row("caseload", caseload),
    _row("caseload-report", caseload_report, gets=True),
    _row("outcome-indicators", outcome_indicators),
    _row("comprehensive-plan", comprehensive_plan, gets=True),
    _row("convert", convert),
    _row("coordination-check", coordination_check, gets=True),
    _row("document", document, gets=True),
    _row("evaluate-measure", evaluate_measure),
    _row("everything", everything),
    _row("expand", expand),
    _row("graph", graph),
    _row("handoff", handoff),
    _row("lastn", last, searches=True),
    _row("lead", lead),
    _row("lookup", lookup),
    _row("match", match_of),
    _row("meeting-coverage", meeting_coverage),
    _row("member-file", member_file, judges=True),
    _row("meta", meta),
    _row("meta-add", meta_add),
    _row("meta-delete", meta_delete),
    _row("snapshot", snapshot_of),
    _row("subsumes", subsumes),
    _row("translate", translate),
    _row("propose-lead", propose_lead),
    _row("rebalance", rebalance, gets=True),
    _row("respond", respond),
    _row("table", table),
    _row("unassigned", unassigned),
    _row("validate", validate),
    _row("validate-code", validate_code),
)
OPERATIONS: Mapping[str, Operation] = {row.definition["code"]: row for row in _ROWS}
