from __future__ import annotations

from typing import Any

import pytest

from server.coordination import period
from server.coordination.caseload.transfer_report import Transfers, transfers
from server.coordination.period import Interval
from server.coordination.program.programs import active
from server.ledger import Resource, micros
from tests.coordination.memory import IA_HCBS, PROJECTIONS, Memory, change, coding, iowa, patient

IOWA = "America/Chicago"
REALIGNMENT = "https://careplan-server.org/fhir/CodeSystem/ia-transfer-reason|ratio-realignment"


def transfer(id: str, member: str, reason: str, **more: Any) -> Resource:
    """Task/<id>: the member goes from a to b, opened on 2026-02-01."""
    references = {"from": "PractitionerRole/a", "organization": "Organization/mco"}
    return {
        "resourceType": "Task",
        "id": id,
        "status": "in-progress",
        "intent": "order",
        "code": coding("cm-task", "case-manager-transfer"),
        "instantiatesCanonical": f"{IA_HCBS}|1.0.0",
        "for": {"reference": f"Patient/{member}"},
        "owner": {"reference": "PractitionerRole/b"},
        "authoredOn": "2026-02-01T09:00:00-06:00",
        "reasonCode": coding("ia-transfer-reason", reason),
        "input": [
            {"type": coding("cm-transfer-input", name), "valueReference": {"reference": reference}}
            for name, reference in references.items()
        ],
        **more,
    }


def ended(at: str, status: str = "completed") -> dict[str, Any]:
    return {"status": status, "executionPeriod": {"end": at}}


async def stored(*tasks: Resource) -> Memory:
    """The Tasks as they stand, however they came to be: what makes one lawful is the rules' own tests' matter."""
    memory = await iowa()
    for task in tasks:
        written = change(task)
        PROJECTIONS.fill(written)
        memory.position += 1
        memory._apply(written, 0)
    return memory


async def made(memory: Memory, start: str = "2025-01-01", end: str = "2026-12-31") -> Transfers:
    known = await active(memory)
    wanted = known.near(IA_HCBS, micros(memory.now))
    found = await transfers(memory, ["Organization/mco"], wanted, micros(memory.now), period.between(start, end, IOWA))
    return found["Organization/mco"]


def tasks(found: list[Any]) -> list[str]:
    return [one.transfer.task.partition("/")[2] for one in found]


@pytest.mark.requirement("IA-06")
async def test_transfers_are_counted_by_when_they_were_opened_and_ended() -> None:
    memory = await stored(
        transfer("t1", "m1", "area-cm-staffing"),
        transfer("t2", "m2", "area-cm-staffing", **ended("2026-02-10T09:00:00-06:00")),
        transfer("t3", "m3", "area-cm-staffing", **ended("2026-02-10T09:00:00-06:00", "cancelled")),
        transfer("t4", "m4", "area-cm-staffing", status="draft"),
    )
    found = await made(memory)
    assert (["t1", "t2", "t3"], ["t2"], ["t3"], ["t1"]) == (
        *(tasks(found.opened), tasks(found.completed)),
        *(tasks(found.given_up), tasks(found.open)),
    )
    assert ("Practitioner/a", "Practitioner/b") == (found.completed[0].sender, found.completed[0].receiver)
    later = await made(memory, "2026-02-05", "2026-02-28")
    assert ([], ["t2"]) == (tasks(later.opened), tasks(later.completed))


@pytest.mark.requirement("IA-06", "IA-09")
async def test_churn_is_members_with_more_than_one_completed_transfer_with_and_without_a_reason() -> None:
    on = ended("2026-02-10T09:00:00-06:00")
    memory = await stored(
        transfer("t1", "m1", "ratio-realignment", **on),
        transfer("t2", "m1", "area-cm-staffing", **on),
        transfer("t3", "m2", "area-cm-staffing", **on),
        transfer("t4", "m2", "area-member-needs", **on),
    )
    found = await made(memory)
    assert ["Patient/m1", "Patient/m2"] == found.again()
    assert ["Patient/m2"] == found.but(REALIGNMENT).again()
    assert ["t1"] == tasks(found.of(REALIGNMENT).completed)


@pytest.mark.requirement("IA-06")
async def test_churn_counts_merged_records_as_one_member() -> None:
    on = ended("2026-02-10T09:00:00-06:00")
    memory = await stored(
        transfer("t1", "m1", "area-cm-staffing", **on), transfer("t2", "m2", "area-cm-staffing", **on)
    )
    await memory.put(patient("m1", link=[{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]))
    assert ["Patient/m2"] == (await made(memory)).again()


async def test_transfers_ask_a_handful_of_queries_whatever_their_number() -> None:
    memory = await stored(*(transfer(f"t{number}", "m1", "area-cm-staffing") for number in range(40)))
    known = await active(memory)
    memory.queries = 0
    wanted = known.near(IA_HCBS, micros(memory.now))
    await transfers(memory, ["Organization/mco"], wanted, micros(memory.now), Interval(0, 1))
    assert 3 >= memory.queries
