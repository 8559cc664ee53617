"""Patient/[id]/$coordination-check: what two organizations do for a member twice, wrongly, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination.responsibility.check import When
from server.coordination.responsibility.detected_issue import due, issues_of, judged
from server.ledger import Plan, Resource, View, micros
from server.operations.call import Answer, Call

READING = ("asOf", "at", "period")  # what is asked about another time than now is read, and not kept


async def coordination_check(call: Call) -> Answer:
    """A Bundle of DetectedIssues. A POST as of now keeps them too, with a Task for each, and resolves what is over."""
    return _answer(call, await (_kept(call) if is_kept(call) else _read(call)))


def is_kept(call: Call) -> bool:
    return call.writes and not any(call.inputs.typed(name) for name in READING)


async def _read(call: Call) -> list[Resource]:
    view, now = await call.view()
    await call.here(view)
    when = When(now, call.inputs.one("asOf"), call.inputs.one("period"))
    return issues_of(await judged(view, [call.reference], when))


async def _kept(call: Call) -> list[Resource]:
    now = datetime.now(UTC)

    async def decide(view: View) -> Plan:
        await call.here(view)
        found = await judged(view, [call.reference], When(micros(now)))
        return Plan(await due(view, [call.reference], found, micros(now)), issues_of(found))

    output: list[Resource] = (await call.commit(decide, now)).output
    return output


def _answer(call: Call, issues: list[Resource]) -> Answer:
    entries = [{"fullUrl": f"{call.base_url}/DetectedIssue/{one['id']}", "resource": one} for one in issues]
    return Answer(
        [("return", {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})})]
    )
