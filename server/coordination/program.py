"""Program: a state's or a plan's rules as a PlanDefinition, dated and cited; code knows only the kinds of rule.

https://hl7.org/fhir/R4/plandefinition.html

A program is a PlanDefinition of type eca-rule. One `action` is one rule: `id` is the requirement's, `code` the kind,
`trigger` and `condition` say which writes it looks at, `documentation` cites the source, and extensions carry the rest.
Programs are facts of the store: a rule reads those that are in force at the date that it judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.coordination import facts, period
from server.coordination.period import Interval
from server.fhir import body, fhirpath
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View
from server.outcome import Issue, Problem

STRUCTURE = f"{facts.BASE}/StructureDefinition"
TIME_ZONE = f"{STRUCTURE}/program-time-zone"
RULE_PERIOD = f"{STRUCTURE}/rule-period"
RULE_SEVERITY = f"{STRUCTURE}/rule-severity"
RULE_OVERRIDE = f"{STRUCTURE}/rule-override"
RULE_PARAMETER = f"{STRUCTURE}/rule-parameter"


# The kinds of rule, and what each takes


class Parameter(NamedTuple):
    """A rule-parameter that a kind declares: the FHIR type of its value, how often it stands, and its codes."""

    type: str
    required: bool = False
    repeats: bool = False
    codes: tuple[str, ...] = ()
    default: Any = None


class Kind(NamedTuple):
    """A kind of rule: its parameters, and the severities that it can have."""

    parameters: Mapping[str, Parameter]
    severities: tuple[str, ...]
    once: bool = False  # a program has at most one


KINDS: Mapping[str, Kind] = {
    "assignment": Kind(
        {
            "role": Parameter("Coding", required=True),
            "individual-role": Parameter("Coding", repeats=True),
            "direct-change": Parameter("boolean", default=False),
            "exclusive": Parameter("boolean", default=True),
        },
        ("block",),
        once=True,
    ),
    "caseload-cap": Kind(
        {
            "level": Parameter("code", required=True, codes=("manager", "average")),
            "limit": Parameter("integer", required=True),
            "counted": Parameter("code", codes=("program", "all"), default="program"),
        },
        ("block", "report"),
    ),
}


# A program, read


class Override(NamedTuple):
    """Who may override a rule, somebody in one of the roles, and the coded reasons for it (empty: any)."""

    roles: frozenset[str]
    reasons: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One action. `period` is when it is in force within its program."""

    id: str
    kind: str
    severity: str
    citation: str
    period: Interval
    override: Override | None
    parameters: Mapping[str, Any]
    triggers: frozenset[str]  # resource types; empty: every one that the kind looks at
    conditions: tuple[Callable[[Resource], Any], ...]

    def is_triggered(self, changes: Iterable[Change]) -> bool:
        """True where one of the changes is what the rule looks at."""
        return any(
            not self.triggers or (change.type in self.triggers and self._holds(change.resource)) for change in changes
        )

    def _holds(self, resource: Resource | None) -> bool:
        """A deletion, and a condition that fails, are looked at: no write escapes a rule by breaking it."""
        if resource is None:
            return True
        for condition in self.conditions:
            try:
                if condition(resource) != [True]:
                    return False
            except Exception:  # noqa: BLE001 - fhirpathpy raises what Python raises
                return True
        return True


@dataclass(frozen=True, slots=True)
class Program:
    """One business version of a program."""

    source: str  # "PlanDefinition/ia-hcbs"
    url: str
    version: str
    title: str
    zone: str
    period: Interval
    types: frozenset[str]  # EpisodeOfCare.type codings that enrol in it
    rules: tuple[Rule, ...]
    assignment: Rule | None = None  # the rule that says what an assignment of this program is
    role: str | None = None  # the CareTeam.participant.role of this program's managers

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url

    def of_kind(self, kind: str) -> Iterator[Rule]:
        return (rule for rule in self.rules if rule.kind == kind)

    def cite(self, rule: Rule) -> dict[str, Any]:
        """OperationOutcome.issue.details: which rule, in which version."""
        return {
            "coding": [{"system": facts.RULE_KIND, "code": rule.kind}],
            "text": f"{self.canonical}#{rule.id}",
        }


class Dated(NamedTuple):
    """A program and when it is the one in force."""

    period: Interval
    program: Program


class Programs:
    """Every active program, by url, each version in its own time."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.by_url = {
            url: timeline([program for program in programs if program.url == url])
            for url in sorted({program.url for program in programs})
        }
        self.roles = frozenset(program.role for program in programs if program.role)

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_url)

    def meant(self, canonical: str) -> str:
        """The url of the program that an operation names. Problem unprocessable where there is none."""
        url = canonical.partition("|")[0]
        if url not in self.by_url:
            raise _unknown(f"There is no active program {canonical}; there are: {', '.join(self.by_url) or 'none'}")
        return url

    def chosen(self, canonical: str, at: int) -> Program:
        """The program that an operation names, as it is at an instant, which has to be the version that it names."""
        program = self.near(self.meant(canonical), at)
        _, mark, version = canonical.partition("|")
        if mark and version != program.version:
            raise _unknown(f"In force at that time is {program.canonical}, not {canonical}")
        return program

    def at(self, url: str, at: int) -> Program | None:
        """The version in force at an instant."""
        return next((dated.program for dated in self.by_url.get(url, ()) if period.holds([dated.period], at)), None)

    def near(self, url: str, at: int) -> Program:
        """The version in force; where none is, the next to come; else the last. It says what a count then means."""
        dated = self.by_url[url]
        return next((one.program for one in dated if at < one.period.high), dated[-1].program)

    def instant(self, url: str, as_of: str | None, now: int) -> int:
        """An `asOf`: a date is its first instant in the program's time zone; now, where it is not given."""
        return period.starts(as_of, self.near(url, now).zone) if as_of else now

    def assigning(self, roles: Collection[str], at: int) -> tuple[Program, Rule]:
        """The program whose managers have one of these roles, and its rule about assignments."""
        for url in self.by_url:
            program = self.near(url, at)
            if program.assignment and program.role in roles:
                return program, program.assignment
        return next(
            (dated.program, dated.program.assignment)
            for url in self.by_url
            for dated in self.by_url[url]
            if dated.program.assignment and dated.program.role in roles
        )

    def in_force(self, kind: str, since: int) -> Iterator[tuple[Interval, Program, Rule]]:
        """Every rule of a kind, with when it is in force from an instant on."""
        for url in self.by_url:
            for dated in self.by_url[url]:
                for rule in dated.program.of_kind(kind):
                    low = max(dated.period.low, rule.period.low, since)
                    high = min(dated.period.high, rule.period.high)
                    if low < high:
                        yield Interval(low, high), dated.program, rule


def _unknown(diagnostics: str) -> Problem:
    return Problem.with_issues(
        "unprocessable", [Issue("not-found", diagnostics, ("Parameters.parameter.where(name='program')",))]
    )


def timeline(programs: Sequence[Program]) -> list[Dated]:
    """Which version of one program is in force when: the latest start, then the highest version."""
    ranked = sorted(programs, key=_rank, reverse=True)
    taken: list[Interval] = []
    found: list[Dated] = []
    for program in ranked:
        found += [Dated(left, program) for left in period.difference([program.period], taken)]
        taken = period.union([*taken, program.period])
    return sorted(found, key=lambda dated: dated.period)


def _rank(program: Program) -> tuple[int, list[tuple[int, int, str]]]:
    return program.period.low, version_key(program.version)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """An order of versions in which 1.10.0 is after 1.9.0."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"[.\-+_]", version)]


async def programs(view: View) -> Programs:
    """The active programs. Their content is read once for each digest; each commit asks only which there are."""
    found = (await view.facts("program", (facts.ALL_PROGRAMS,)))[facts.ALL_PROGRAMS]
    known = tuple(sorted((fact.source, str(fact.data)) for fact in found))
    cached = _PROGRAMS.get(known)
    if cached is None:
        read = []
        for source, _ in known:
            version = await view.read(*source.split("/"))
            assert version, "a fact is of a current resource"
            assert version.body, "a fact is of a resource that is there"
            program, issues = parse(body.parse(version.body).resource)
            if program is None:
                raise Problem.of("internal", f"{source} is active, and no program: {issues[0].diagnostics}")
            read.append(program)
        if len(_PROGRAMS) > 64:
            _PROGRAMS.clear()
        cached = _PROGRAMS[known] = Programs(read)
    return cached


_PROGRAMS: dict[tuple[tuple[str, str], ...], Programs] = {}


# Reading a PlanDefinition


def parse(plan: Resource) -> tuple[Program | None, list[Issue]]:
    """A program, or everything that is wrong with it, each with its place."""
    reader = _Reader(plan)
    program = reader.program()
    return (None, reader.issues) if reader.issues else (program, [])


class _Reader:
    """Reads one PlanDefinition and collects what is wrong."""

    def __init__(self, plan: Resource) -> None:
        self.plan = plan
        self.issues: list[Issue] = []

    def wrong(self, code: str, diagnostics: str, *expression: str) -> None:
        self.issues.append(Issue(code, diagnostics, expression))

    def program(self) -> Program:
        plan = self.plan
        url = plan.get("url", "")
        if not url:
            self.wrong("required", "A program has a url: rules and operations name it so", "PlanDefinition.url")
        zone = self.zone()
        types = frozenset(
            code
            for context in plan.get("useContext", ())
            if context.get("code", {}).get("code") == "program"
            for code in facts.tokens([context.get("valueCodeableConcept", {})])
        )
        if not types:
            self.wrong(
                "required",
                "A program names the EpisodeOfCare.type that enrols in it: a useContext with code program and a coding",
                "PlanDefinition.useContext",
            )
        when = self.interval(plan.get("effectivePeriod", {}), zone, "PlanDefinition.effectivePeriod")
        rules = tuple(self.rules(zone))
        assignment = next((rule for rule in rules if rule.kind == "assignment"), None)
        return Program(
            f"PlanDefinition/{plan['id']}",
            url,
            plan.get("version", ""),
            str(plan.get("title") or url),
            zone,
            when,
            types,
            rules,
            assignment,
            assignment.parameters.get("role") if assignment else None,
        )

    def zone(self) -> str:
        place = f"PlanDefinition.extension('{TIME_ZONE}')"
        found = _values(self.plan, TIME_ZONE, "valueCode")
        zone = found[0] if len(found) == 1 else None
        if not isinstance(zone, str):
            self.wrong("required", "A program has one time zone (valueCode, such as America/Chicago)", place)
            return "UTC"
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.wrong("value", f"{zone!r} is no time zone of the IANA's database", place)
            return "UTC"
        return zone

    def interval(self, when: Resource, zone: str, place: str) -> Interval:
        interval = period.between(when.get("start"), when.get("end"), zone)
        if interval.high <= interval.low:
            self.wrong("value", "The period ends before it starts", place)
        return interval

    def rules(self, zone: str) -> Iterator[Rule]:
        ids: set[str] = set()
        kinds: set[str] = set()
        for index, action in enumerate(self.plan.get("action", ())):
            place = f"PlanDefinition.action[{index}]"
            rule = self.rule(action, zone, place)
            if rule is None:
                continue
            if rule.id in ids:
                self.wrong("duplicate", f"Two rules have the id {rule.id}", f"{place}.id")
            if KINDS[rule.kind].once and rule.kind in kinds:
                self.wrong("duplicate", f"A program has one rule of the kind {rule.kind}", f"{place}.code")
            ids.add(rule.id)
            kinds.add(rule.kind)
            yield rule
        if "caseload-cap" in kinds and "assignment" not in kinds:
            self.wrong(
                "required",
                "A caseload cap counts assignments: the program needs a rule of that kind, which names the role",
                "PlanDefinition.action",
            )

    def rule(self, action: Resource, zone: str, place: str) -> Rule | None:
        kind = self.kind(action, place)
        if kind is None:
            return None
        id = action.get("id", "")
        if not id:
            self.wrong(
                "required", "A rule has an id: that of the requirement that it keeps, such as IA-04", f"{place}.id"
            )
        citations = [
            related.get("citation") or related.get("display") or related.get("url")
            for related in action.get("documentation", ())
            if related.get("type") == "citation"
        ]
        if not any(citations):
            self.wrong(
                "required", "A rule cites its source: a documentation of type citation", f"{place}.documentation"
            )
        periods = _values(action, RULE_PERIOD, "valuePeriod")
        parameters = self.parameters(action, kind, place)
        severity = self.severity(action, kind, place)
        if kind == "caseload-cap" and parameters.get("level") == "average" and severity != "report":
            self.wrong(
                "value",
                "An average is only reported: refusing would leave a member without a manager; its severity is report",
                f"{place}.extension('{RULE_SEVERITY}')",
            )
        return Rule(
            id,
            kind,
            severity,
            "; ".join(filter(None, citations)),
            self.interval(periods[0] if periods else {}, zone, f"{place}.extension('{RULE_PERIOD}')"),
            self.override(action, place),
            parameters,
            frozenset(
                data["type"]
                for trigger in action.get("trigger", ())
                for data in trigger.get("data", ())
                if data.get("type")
            ),
            tuple(self.conditions(action, place)),
        )

    def kind(self, action: Resource, place: str) -> str | None:
        codes = [
            coding.get("code", "")
            for code in action.get("code", ())
            for coding in code.get("coding", ())
            if coding.get("system") == facts.RULE_KIND
        ]
        known = ", ".join(KINDS)
        if len(codes) != 1:
            self.wrong("required", f"A rule has one code of {facts.RULE_KIND}; there are {known}", f"{place}.code")
            return None
        if codes[0] not in KINDS:
            self.wrong("code-invalid", f"{codes[0]!r} is no kind of rule; there are {known}", f"{place}.code")
            return None
        return str(codes[0])

    def severity(self, action: Resource, kind: str, place: str) -> str:
        found = _values(action, RULE_SEVERITY, "valueCode")
        possible = KINDS[kind].severities
        if len(found) != 1 or found[0] not in possible:
            self.wrong(
                "value",
                f"A rule of the kind {kind} has one severity, of: {', '.join(possible)}",
                f"{place}.extension('{RULE_SEVERITY}')",
            )
            return possible[0]
        return cast(str, found[0])

    def override(self, action: Resource, place: str) -> Override | None:
        found = [extension for extension in action.get("extension", ()) if extension.get("url") == RULE_OVERRIDE]
        if not found:
            return None
        roles = frozenset(map(facts.token, _codings(found[0], "role")))
        if not roles or len(found) > 1:
            self.wrong(
                "required",
                "An override stands once and names the roles that may: its extension role (valueCoding)",
                f"{place}.extension('{RULE_OVERRIDE}')",
            )
        return Override(roles, frozenset(map(facts.token, _codings(found[0], "reason"))))

    def parameters(self, action: Resource, kind: str, place: str) -> dict[str, Any]:
        declared = KINDS[kind].parameters
        given: dict[str, list[Any]] = {}
        for index, extension in enumerate(action.get("extension", ())):
            if extension.get("url") != RULE_PARAMETER:
                continue
            name, value = self.parameter(extension, declared, f"{place}.extension[{index}]")
            if name:
                given.setdefault(name, []).append(value)
        for name, parameter in declared.items():
            count = len(given.get(name, ()))
            where = f"{place}.extension('{RULE_PARAMETER}')"
            if parameter.required and not count:
                self.wrong("required", f"A rule of the kind {kind} has the parameter {name} ({parameter.type})", where)
            if count > 1 and not parameter.repeats:
                self.wrong("duplicate", f"The parameter {name} stands once", where)
        return {
            name: given.get(name, []) if parameter.repeats else given.get(name, [parameter.default])[0]
            for name, parameter in declared.items()
        }

    def parameter(self, extension: Resource, declared: Mapping[str, Parameter], place: str) -> tuple[str, Any]:
        names = _values(extension, "name", "valueCode", "valueString")
        name = str(names[0]) if len(names) == 1 else ""
        if name not in declared:
            self.wrong(
                "not-supported", f"{name!r} is no parameter of this kind; there are {', '.join(declared)}", place
            )
            return "", None
        parameter = declared[name]
        member = f"value{parameter.type[0].upper()}{parameter.type[1:]}"
        values = [inner[member] for inner in extension["extension"] if inner.get("url") == "value" and member in inner]
        if len(values) != 1:
            self.wrong("value", f"The parameter {name} has one value, a {parameter.type} ({member})", place)
            return "", None
        value = values[0]
        if parameter.codes and value not in parameter.codes:
            self.wrong("code-invalid", f"{value!r} is no {name}; there are {', '.join(parameter.codes)}", place)
        if parameter.type == "integer" and value < 0:
            self.wrong("value", f"{name} is {value}; it is 0 or more", place)
        if parameter.type == "Coding" and not {"system", "code"} <= value.keys():
            self.wrong("value", f"{name} has a system and a code", place)
            return "", None
        return name, facts.token(value) if parameter.type == "Coding" else value

    def conditions(self, action: Resource, place: str) -> Iterator[Callable[[Resource], Any]]:
        for index, condition in enumerate(action.get("condition", ())):
            where = f"{place}.condition[{index}].expression"
            expression = condition.get("expression", {})
            if condition.get("kind") != "applicability" or expression.get("language") != "text/fhirpath":
                self.wrong("not-supported", "A condition is of kind applicability and in text/fhirpath", where)
                continue
            try:
                holds = fhirpath.compiled(expression.get("expression", ""))
                holds({"resourceType": "CareTeam"})
            except Exception as error:  # noqa: BLE001 - an evaluation raises what Python raises
                self.wrong("value", f"The condition is no FHIRPath: {error}", where)
            else:
                yield holds


def _values(element: Resource, url: str, *members: str) -> list[Any]:
    """The values, of these types, of the extensions with a url."""
    return [
        extension[member]
        for extension in element.get("extension", ())
        if extension.get("url") == url
        for member in members
        if member in extension
    ]


def _codings(element: Resource, url: str) -> list[Resource]:
    return [coding for coding in _values(element, url, "valueCoding") if "code" in coding]


# What is refused, and kept, when a program is written


async def checked(context: Context, before: View, changes: Sequence[Change], after: View) -> list[Change]:
    """Refuse a malformed program; keep, as versions of their own, those that a change in place would overwrite."""
    issues: list[Issue] = []
    written: list[Program] = []
    kept: list[Change] = []
    for change in changes:
        if change.resource is None:
            continue
        if change.facts:
            program, found = parse(change.resource)
            issues += [replace(issue, resources=(change.reference,) * len(issue.expression)) for issue in found]
            written += [program] if program else []
        kept += await _earlier(context, before, change.reference, change.resource)
    if not issues and written:
        issues = await _equals(after, written)
    if issues:
        raise Problem.with_issues("unprocessable", issues)
    there = {change.reference for change in changes}
    return [change for change in kept if change.reference not in there]


async def _equals(after: View, written: list[Program]) -> list[Issue]:
    """Two versions of which neither is the one in force."""
    found = await after.facts("program", (facts.ALL_PROGRAMS,))
    issues = []
    for fact in found[facts.ALL_PROGRAMS]:
        other = await _active(after, fact.source)
        issues += [
            Issue(
                "duplicate",
                f"{other.source} is {other.canonical} too, from the same date on: neither would be the one in force. "
                "Give this one another version, a later effectivePeriod.start, or end the other's effectivePeriod.",
                ("PlanDefinition.version",),
                resources=(program.source,),
            )
            for program in written
            if other and other.source != program.source and other.url == program.url and _equal(program, other)
        ]
    return issues


def _equal(one: Program, other: Program) -> bool:
    return _rank(one) == _rank(other) and one.period.low < other.period.high and other.period.low < one.period.high


async def _active(view: View, source: str) -> Program | None:
    stored = await _stored(view, source)
    return parse(stored)[0] if stored and stored.get("status") == "active" and facts.is_program(stored) else None


async def _stored(view: View, source: str) -> Resource | None:
    version = await view.read(*source.split("/"))
    return None if version is None or version.body is None else body.parse(version.body).resource


async def _earlier(context: Context, before: View, source: str, plan: Resource) -> list[Change]:
    """The version that a change in place replaces, for the dates before the change holds."""
    replaced = await _active(before, source)
    start = plan.get("effectivePeriod", {}).get("start")
    if replaced is None or start is None or plan.get("url") != replaced.url:
        return []
    until = period.starts(start, replaced.zone)
    if until <= replaced.period.low:
        return []
    stored = await _stored(before, source)
    assert stored is not None, "it was just read"
    version = replaced.version
    if version == plan.get("version", ""):
        version = f"{version}-until-{start[:10]}".lstrip("-")
    end = period.text(min(replaced.period.high, until), replaced.zone)
    kept = {
        **stored,
        "id": context.derive(f"{source} before {start}"),
        "version": version,
        "effectivePeriod": {**stored.get("effectivePeriod", {}), "end": end},
    }
    return [Change("PUT", "PlanDefinition", kept["id"], kept, Body.of(kept).text(kept["id"]))]
