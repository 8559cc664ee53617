"""Agreement: the contract on which the work of two organizations rests: what makes it sound, and when it is in force.

https://hl7.org/fhir/R4/contract.html

Its documents (Contract.legal) are those of a template, unaltered: the program's file has their hashes. What the two
parties settle for themselves stands in its appendices (Contract.term), which are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.coordination import period
from server.coordination.agreement.document import digest, is_untrue
from server.coordination.facts import Agreement, Designation, Role
from server.coordination.facts.contract import template as template_of
from server.coordination.program.program import Part, Program, Rule
from server.coordination.program.programs import Programs
from server.coordination.stored import read
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Fact, Resource, View, micros
from server.outcome import Issue

EXECUTED = "executed"
TOLD = 5  # Contracts that a refusal names


def rule_of(program: Program) -> Rule | None:
    return next(program.of_kind("agreement"), None)


async def in_force(view: View, program: Program, parties: Sequence[str], at: int) -> str | None:
    """The agreement between two organizations at an instant, the one that began last; None where there is none."""
    found = [one for one in await _of(view, program, parties[:1], at) if set(one.organizations) == set(parties)]
    latest = max(found, key=lambda one: (period.starts(one.start, program.zone), one.contract), default=None)
    return latest.contract if latest else None


async def may_share(view: View, program: Program, parties: Sequence[str], at: int) -> bool:
    """True where two organizations have an agreement in force at an instant, or the program asks for none then."""
    rule = rule_of(program)
    asks = rule is not None and period.holds([rule.period], at)
    return not asks or await in_force(view, program, parties, at) is not None


async def lacking(view: View, program: Program, parties: Sequence[str], at: int) -> str:
    """The Contracts of exactly these organizations, and why each is no agreement in force then: sentences, or ""."""
    rule = rule_of(program)
    rows = (await view.facts("agreement", parties[:1]))[parties[0]] if rule else []
    between = (one for one in map(Agreement.of, rows) if set(one.organizations) == set(parties))
    known = sorted(between, key=lambda one: one.contract)[:TOLD]
    signed = [await _signed(one, view) for one in known]
    return "".join(
        f" {one.contract}: {'; '.join(_lacks(one, by, program, rule, at))}."
        for one, by in zip(known, signed, strict=True)
        if rule
    )


def _lacks(one: Agreement, signed: set[str], program: Program, rule: Rule, at: int) -> Iterator[str]:
    """Why a Contract is no agreement in force at an instant."""
    if rule.parameters["type"] not in one.types:
        yield f"its type is not {rule.parameters['type']}"
    if one.status != EXECUTED:
        yield f"its status is {one.status or 'not told'}, not {EXECUTED}"
    if unsigned := sorted(set(one.organizations) - signed):
        yield f"{' and '.join(unsigned)} has not signed"
    if one.template not in (known := [part.parameters["uri"] for part in rule.parts]):
        yield f"it is an instance (instantiatesUri) of {one.template or 'nothing'}, not of {' or '.join(known)}"
    if not period.holds([period.between(one.start, one.end, program.zone)], at):
        yield f"it applies from {one.start or 'ever'} to {one.end or 'ever'}"


async def partners(view: View, program: Program, organizations: Sequence[str], at: int) -> frozenset[str]:
    """The organizations with which any of these has an agreement in force at an instant."""
    found = await _of(view, program, organizations, at)
    return frozenset(party for one in found for party in one.organizations).difference(organizations)


async def _of(view: View, program: Program, organizations: Sequence[str], at: int) -> list[Agreement]:
    """The agreements that any of these organizations has in force at an instant."""
    if rule_of(program) is None:
        return []
    rows = (await view.facts("agreement", organizations)).values()
    return [one for some in rows for one in map(Agreement.of, some) if is_in_force(one, program, at)]


def is_in_force(one: Agreement, program: Program, at: int) -> bool:
    """True of what is an agreement by the program's rule, at an instant for which it is."""
    rule = rule_of(program)
    return (
        rule is not None
        and one.status == EXECUTED
        and rule.parameters["type"] in one.types
        and one.template in {part.parameters["uri"] for part in rule.parts}
        and period.holds([period.between(one.start, one.end, program.zone)], at)
    )


async def sound(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse an executed agreement that is not as the program demands, and the undoing of one that a lead rests on."""
    if context.override is AS_RECORDED:
        return []
    rules = _rules(context, programs)
    issues: list[Issue] = []
    for change in changes:
        own = change.reference
        if change.resource is None:
            issues += await _rested_on(before, change, rules)
            continue
        issues += await _undone(before, change, rules, micros(context.now))
        if change.resource.get("status") == EXECUTED:
            rows = [Fact(*row, own) for row in change.facts or () if row[:2] == ("agreement", own)]
            issues += await _executed(context, change.resource, rows, after, rules, own)
    return issues


async def texts(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse to alter a document that an executed agreement names, wherever it is kept."""
    if context.override is AS_RECORDED:
        return []
    rules, issues = _rules(context, programs), list[Issue]()
    for document, named in (await before.facts("document", [change.reference for change in changes])).items():
        for contract in [row.source for row in named]:
            rows = (await after.facts("agreement", [contract]))[contract]
            found = await read(after, contract)
            if found and rows and Agreement.of(rows[0]).status == EXECUTED:
                issues += await _executed(context, found, rows, after, rules, document)
    return issues


def _rules(context: Context, programs: Programs) -> list[tuple[Program, Rule]]:
    near = (programs.near(url, micros(context.now)) for url in programs)
    return [(program, rule) for program in near if (rule := rule_of(program))]


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


async def _undone(before: View, change: Change, rules: Sequence[tuple[Program, Rule]], now: int) -> list[Issue]:
    """An agreement that would not have been in force when a lead began who rests on it."""
    own = change.reference
    resting = map(Designation.of, (await before.facts("designation", [own]))[own])
    was = next(map(Agreement.of, (await before.facts("agreement", [own]))[own]), None)
    is_now = next((Agreement.of(Fact(*row, own)) for row in change.facts or () if row[:2] == ("agreement", own)), None)
    known = {program.url: (program, rule) for program, rule in rules}
    for one in resting:
        if one.status != "completed" or one.program not in known or was is None:
            continue
        program, rule = known[one.program]
        at = period.starts(one.since, program.zone)
        if (
            at <= now
            and _covers(was, one, at, program, rule)
            and not (is_now and _covers(is_now, one, at, program, rule))
        ):
            why = (
                f"{own} is what {one.task} rests on, by which {one.lead} leads from {one.since} on: it was in force "
                "then, between these two. It may end today or later (applies.end, or another status)."
            )
            return [refusal(program, rule, why, Place(own, "Contract.applies"))]
    return []


def _covers(one: Agreement, found: Designation, at: int, program: Program, rule: Rule) -> bool:
    """True of an agreement of the two who named a lead, whose time holds an instant."""
    parties = {found.proposer, found.answerer}
    is_theirs = rule.parameters["type"] in one.types and set(one.organizations) == parties
    return is_theirs and period.holds([period.between(one.start, one.end, program.zone)], at)


async def _executed(
    context: Context,
    contract: Resource,
    rows: Sequence[Fact],
    after: View,
    rules: Sequence[tuple[Program, Rule]],
    written: str,
) -> list[Issue]:
    """What is wrong with it by the rule that it is nearest to keeping; nothing where it keeps one."""
    found = next(map(Agreement.of, rows), None)
    if found is None:
        return []
    signed = await _signed(found, after)
    digests = [await digest(after, legal, context.base_url) for legal in contract.get("legal", ())]
    wrong = [
        [
            refusal(program, rule, why, Place(written, path), part=part)
            for path, why, part in _wrong(contract, found, rule, signed, digests)
        ]
        for program, rule in rules
        if rule.parameters["type"] in found.types and _is_ruled(found, program, rule)
    ]
    return min(wrong, key=len, default=[])


def _is_ruled(found: Agreement, program: Program, rule: Rule) -> bool:
    """True where the rule is in force at some time that the agreement is for."""
    when = period.between(found.start, found.end, program.zone)
    return when.high <= when.low or bool(period.intersection([when], [rule.period]))


def _wrong(
    contract: Resource, found: Agreement, rule: Rule, signed: set[str], digests: Sequence[str | None]
) -> Iterator[tuple[str, str, Part | None]]:
    """(place, why, the part of the rule that says so: of the template, where that is altered)."""
    if not len(contract.get("subject", ())) == len(found.organizations) == 2:
        yield (
            "Contract.subject",
            "An agreement is between two organizations of this server: two literal references.",
            None,
        )
    if unsigned := sorted(set(found.organizations) - signed):
        yield (
            "Contract.signer",
            f"{' and '.join(unsigned)} has not signed; a signer's party is the organization or a role there, or its "
            "signature is onBehalfOf it.",
            None,
        )
    if "start" not in contract.get("applies", {}):
        yield "Contract.applies", "An executed agreement says from when on it applies (applies.start).", None
    for index, legal in enumerate(contract.get("legal", ())):
        if is_untrue(legal):
            yield (
                f"Contract.legal[{index}].contentAttachment.hash",
                f"The hash of these data is {digests[index]} (SHA-1, base64), and the agreement says another.",
                None,
            )
    template = next((one for one in rule.parts if one.parameters["uri"] == template_of(contract)), None)
    if template is None:
        known = ", ".join(one.parameters["uri"] for one in rule.parts)
        yield "Contract.instantiatesUri", f"An agreement is an instance of the template; accepted are {known}.", None
    else:
        yield from ((path, why, template) for path, why in _documents(digests, template))


def _documents(digests: Sequence[str | None], template: Part) -> Iterator[tuple[str, str]]:
    """Every document of the template is there as it was published, and nothing else."""
    there: set[str] = set()
    for index, found in enumerate(digests):
        document = next((one for one in template.parts if found in one.parameters["hash"]), None)
        if document:
            there.add(document.code)
        elif found is None:
            yield (
                f"Contract.legal[{index}]",
                "No text is to be read here: give its data, a DocumentReference or Binary of this server that has it "
                "and is no error, or, of a text that is kept elsewhere, its hash.",
            )
        else:
            yield (
                f"Contract.legal[{index}]",
                f"This text has the hash {found}, which no document of {template.title} has: the "
                "template may not be altered. What the parties settle goes into appendices (Contract.term).",
            )
    for document in template.parts:
        if document.code not in there:
            yield (
                "Contract.legal",
                f"{document.title} is missing: its data, a DocumentReference or Binary with it, or its hash (SHA-1), "
                f"{' or '.join(document.parameters['hash'])}.",
            )


async def _signed(found: Agreement, after: View) -> set[str]:
    """The organizations in whose name somebody signed."""
    roles = await after.facts("role", [one for one in found.signers if one.startswith("PractitionerRole/")])
    return {*found.signers, *(Role.of(row).organization or "" for rows in roles.values() for row in rows)}
