"""Agreement: the contract on which the work of two organizations rests: what makes it sound, and when it is in force.

https://hl7.org/fhir/R4/contract.html

Its documents (Contract.legal) are those of a template, unaltered: the program's file has their hashes. What the two
parties settle for themselves stands in its appendices (Contract.term), which are free.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence

from server.coordination import period
from server.coordination.facts import Agreement, Designation, Role
from server.coordination.program.program import Part, Program, Rule
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Fact, Resource, View, micros
from server.outcome import Issue

EXECUTED = "executed"


def rule_of(program: Program) -> Rule | None:
    return next(program.of_kind("agreement"), None)


async def in_force(view: View, program: Program, parties: Sequence[str], at: int) -> str | None:
    """The agreement between two organizations at an instant, the one that began last; None where there is none."""
    found = [one for one in await _of(view, program, parties[:1], at) if set(one.organizations) == set(parties)]
    latest = max(found, key=lambda one: (period.starts(one.start, program.zone), one.contract), default=None)
    return latest.contract if latest else None


async def partners(view: View, program: Program, organizations: Sequence[str], at: int) -> frozenset[str]:
    """The organizations with which any of these has an agreement in force at an instant."""
    found = await _of(view, program, organizations, at)
    return frozenset(party for one in found for party in one.organizations).difference(organizations)


async def _of(view: View, program: Program, organizations: Sequence[str], at: int) -> list[Agreement]:
    """The agreements that any of these organizations has in force at an instant."""
    rule = rule_of(program)
    if rule is None:
        return []
    templates = {part.parameters["uri"] for part in rule.parts}
    return [
        one
        for rows in (await view.facts("agreement", organizations)).values()
        for one in map(Agreement.of, rows)
        if one.status == EXECUTED
        and rule.parameters["type"] in one.types
        and one.template in templates
        and period.holds([period.between(one.start, one.end, program.zone)], at)
    ]


async def sound(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse an executed agreement that is not as the program demands, and the deletion of one that a lead rests on."""
    if context.override is AS_RECORDED:
        return []
    now = micros(context.now)
    rules = [(program, rule) for url in programs if (rule := rule_of(program := programs.near(url, now)))]
    issues: list[Issue] = []
    for change in changes:
        if change.resource is None:
            issues += await _rested_on(before, change, rules)
        elif change.resource.get("status") == EXECUTED:
            issues += await _executed(change, change.resource, after, rules)
    return issues


async def _rested_on(before: View, change: Change, rules: Sequence[tuple[Program, Rule]]) -> list[Issue]:
    found = (await before.facts("designation", [change.reference]))[change.reference]
    resting = [one for one in map(Designation.of, found) if one.is_open or one.status == "completed"]
    if not resting or not rules:
        return []
    why = (
        f"{change.reference} is what {resting[0].task} rests on. End it instead (Contract.applies.end, or another "
        "status)."
    )
    return [refusal(*rules[0], why, Place(change.reference, "Contract"))]


async def _executed(
    change: Change, contract: Resource, after: View, rules: Sequence[tuple[Program, Rule]]
) -> list[Issue]:
    """What is wrong with it by the rule that it is nearest to keeping; nothing where it keeps one."""
    own = change.reference
    rows = (Fact(*row, own) for row in change.facts or () if row[:2] == ("agreement", own))
    found = next(map(Agreement.of, rows), None)
    if found is None:
        return []
    signed = await _signed(found, after)
    wrong = [
        [refusal(program, rule, why, Place(own, path)) for path, why in _wrong(contract, found, rule, signed)]
        for program, rule in rules
        if rule.parameters["type"] in found.types and _is_ruled(found, program, rule)
    ]
    return min(wrong, key=len, default=[])


def _is_ruled(found: Agreement, program: Program, rule: Rule) -> bool:
    """True where the rule is in force at some time that the agreement is for."""
    when = period.between(found.start, found.end, program.zone)
    return when.high <= when.low or bool(period.intersection([when], [rule.period]))


def _wrong(contract: Resource, found: Agreement, rule: Rule, signed: set[str]) -> Iterator[tuple[str, str]]:
    """(place, why)."""
    if not len(contract.get("subject", ())) == len(found.organizations) == 2:
        yield "Contract.subject", "An agreement is between two organizations of this server: two literal references."
    if unsigned := sorted(set(found.organizations) - signed):
        yield (
            "Contract.signer",
            f"{' and '.join(unsigned)} has not signed; a signer's party is the organization or a role there, or its "
            "signature is onBehalfOf it.",
        )
    if "start" not in contract.get("applies", {}):
        yield "Contract.applies", "An executed agreement says from when on it applies (applies.start)."
    template = next((one for one in rule.parts if one.parameters["uri"] == contract.get("instantiatesUri")), None)
    if template is None:
        known = ", ".join(one.parameters["uri"] for one in rule.parts)
        yield "Contract.instantiatesUri", f"An agreement is an instance of the template; accepted are {known}."
    else:
        yield from _documents(contract, template)


def _documents(contract: Resource, template: Part) -> Iterator[tuple[str, str]]:
    """Every document of the template is there as it was published, and nothing else."""
    there: set[str] = set()
    for index, legal in enumerate(contract.get("legal", ())):
        digest = _digest(legal.get("contentAttachment", {}))
        document = next((one for one in template.parts if digest in one.parameters["hash"]), None)
        if document:
            there.add(document.code)
        else:
            yield (
                f"Contract.legal[{index}]",
                f"This text has the hash {digest or 'of nothing'}, which no document of {template.title} has: the "
                "template may not be altered. What the parties settle goes into appendices (Contract.term).",
            )
    for document in template.parts:
        if document.code not in there:
            yield (
                "Contract.legal",
                f"{document.title} is missing: a contentAttachment with its data or its hash (SHA-1), "
                f"{' or '.join(document.parameters['hash'])}.",
            )


def _digest(attachment: Resource) -> str | None:
    """The SHA-1 of its content, as base64; what it says itself where the content is elsewhere."""
    if "data" in attachment:
        content = base64.b64decode(attachment["data"])
        return base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    found: str | None = attachment.get("hash")
    return found


async def _signed(found: Agreement, after: View) -> set[str]:
    """The organizations in whose name somebody signed."""
    roles = await after.facts("role", [one for one in found.signers if one.startswith("PractitionerRole/")])
    return {*found.signers, *(Role.of(row).organization or "" for rows in roles.values() for row in rows)}
