"""Transfers in a ledger in memory: opened, advanced and written plainly, as the operations and a client would."""

from __future__ import annotations

import uuid
from typing import Any

from server.coordination.communication.letter import Letter
from server.coordination.facts import Step, Transfer
from server.coordination.handoff import advance
from server.coordination.handoff.made import Printed, Unprinted
from server.coordination.handoff.request import Wanted, requested
from server.ledger import Plan, Resource, View, micros
from tests.coordination.memory import IA_HCBS, Memory, coding, fill, iowa, practitioner, role

A, B, LEA = "PractitionerRole/a", "PractitionerRole/b", "PractitionerRole/lea"
TELECOM = [{"system": "phone", "value": "1-515-555-0100"}]
REASON = coding("ia-transfer-reason", "area-member-needs")
CONSIDERED = coding("ia-reassign-consideration", "cm-location")
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"


async def directory(limit: int = 3) -> Memory:
    """Managers a, b and c, who can be reached; Lea, who manages their area; members m1, m2 … of a, up to the limit."""
    memory = await iowa(limit, managers=())
    for id in "abc":
        await memory.put(practitioner(id), role(id, telecom=TELECOM))
    await memory.put(practitioner("lea"), role("lea", code=[coding("cm-role", "area-manager")]))
    await fill(memory, "a", *[f"m{number}" for number in range(1, limit + 1)])
    return memory


async def opened(
    memory: Memory, member: str = "m1", to: str = B, id: str = "t", actor: str | None = None, **more: Any
) -> str:
    """The reference of a transfer that is opened."""
    program, reason = more.pop("program", IA_HCBS), more.pop("reason", REASON)
    change = requested(Wanted(f"Patient/{member}", program, to, reason, **more), id)

    async def decide(view: View) -> Plan:
        return Plan([change])

    await memory.commit(decide, actor)
    return change.reference


async def steps(memory: Memory, transfer: str) -> dict[str, Resource]:
    """A transfer's steps, by the last part of their code."""
    found = [Step.of(fact) for fact in (await memory.facts("step", [transfer]))[transfer]]
    return {str(one.code).rpartition("|")[2]: memory.get(one.task) for one in found}


async def advanced(memory: Memory, task: str, *evidence: Resource | str, actor: str | None = None, **more: Any) -> None:
    """$advance, with evidence that is stored first."""
    references = []
    for one in evidence:
        if not isinstance(one, str):
            await memory.put(one)
            one = f"{one['resourceType']}/{one['id']}"
        references.append(one)
    letters: dict[Letter, Printed] = {}
    seed = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{task} {memory.position}"))
    wanted = advance.Wanted(task, tuple(references), actor=actor, seed=seed, printed=letters, **more)

    async def decide(view: View) -> Plan:
        at = micros(memory.now)
        return Plan(await advance.advanced(view, wanted, await advance.stage(view, task, at), at))

    try:
        await memory.commit(decide, actor)
    except Unprinted as unprinted:
        letters[unprinted.letter] = b"<p>A letter</p>", b"%PDF"
        await memory.commit(decide, actor)


async def step(memory: Memory, transfer: str, code: str, *evidence: Resource | str, **more: Any) -> None:
    """$advance on a step of a transfer."""
    task = (await steps(memory, transfer))[code]
    await advanced(memory, f"Task/{task['id']}", *evidence, **more)


def told(id: str, sender: str | None, *recipients: str, medium: str | None = None, **more: Any) -> Resource:
    """A Communication that is completed."""
    return {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "recipient": [{"reference": one} for one in recipients],
        **({"sender": {"reference": sender}} if sender else {}),
        **({"medium": [{"coding": [{"system": PARTICIPATION, "code": medium}]}]} if medium else {}),
        **more,
    }


def inside(former: str = A, following: str = B) -> list[Resource]:
    """The evidence of step 3."""
    return [
        told("inside", LEA, former, following),
        told("warm", former, following, medium="PHONE"),
    ]


def introduced(member: str = "m1", former: str = A, following: str = B, **more: Any) -> Resource:
    """The evidence of step 4 that the server does not make."""
    return told("introduction", former, f"Patient/{member}", following, medium="PHONE", **more)


async def run(
    memory: Memory, transfer: str, until: int = 5, member: str = "m1", former: str = A, following: str = B
) -> None:
    """Complete the steps of Iowa up to one."""
    done = sum(one["status"] == "completed" for one in (await steps(memory, transfer)).values())
    for number in range(done + 1, until + 1):
        if number == 2:
            await step(memory, transfer, "2", considerations=(CONSIDERED,))
        elif number == 3:
            await step(memory, transfer, "3", *inside(former, following))
        elif number == 4:
            await step(memory, transfer, "4", introduced(member, former, following), mode="phone-both")
        else:
            await step(memory, transfer, str(number))


async def transfer_of(memory: Memory, reference: str) -> Transfer:
    return Transfer.of((await memory.facts("transfer", [reference]))[reference][0])


def participants(memory: Memory, team: str = "m1") -> list[tuple[str, str | None, str | None]]:
    """(who, start, end) of each assignment of a team."""
    return [
        (one["member"]["reference"], one["period"].get("start"), one["period"].get("end"))
        for one in memory.get(f"CareTeam/{team}")["participant"]
    ]
