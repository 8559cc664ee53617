"""PlanDefinition: how a program is written down.

https://hl7.org/fhir/R4/plandefinition.html

A program is a PlanDefinition of type eca-rule. One `action` is one rule: `id` is the requirement's, `code` the kind,
`trigger` and `condition` say which writes it looks at, `documentation` cites the source, and extensions carry the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from server.coordination import facts, period
from server.coordination.communication import template
from server.coordination.period import Interval
from server.coordination.program import transfer
from server.coordination.program.kind import KINDS, Level, Parameter
from server.coordination.program.program import Override, Part, Program, Rule
from server.fhir import fhirpath
from server.ledger import Resource
from server.outcome import Issue

STRUCTURE = f"{facts.BASE}/StructureDefinition"
TIME_ZONE = f"{STRUCTURE}/program-time-zone"
RULE_PERIOD = f"{STRUCTURE}/rule-period"
RULE_SEVERITY = f"{STRUCTURE}/rule-severity"
RULE_OVERRIDE = f"{STRUCTURE}/rule-override"
RULE_PARAMETER = f"{STRUCTURE}/rule-parameter"
SHA1 = re.compile(r"[A-Za-z0-9+/]{27}=")


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
        if "lead" in kinds and "agreement" not in kinds:
            self.wrong(
                "required",
                "A lead is named under an agreement: the program needs a rule of that kind",
                "PlanDefinition.action",
            )
        if kinds & {"responsibility", "duplication", "shared-plan", "notification"} and "lead" not in kinds:
            self.wrong(
                "required",
                "Two organizations work together: the program needs a rule of the kind lead, which names the partner",
                "PlanDefinition.action",
            )
        if "transfer" in kinds and "assignment" not in kinds:
            self.wrong(
                "required",
                "A transfer moves an assignment: the program needs a rule of that kind, which names the role",
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
        citation = _citation(action)
        if not citation:
            self.wrong(
                "required", "A rule cites its source: a documentation of type citation", f"{place}.documentation"
            )
        periods = _values(action, RULE_PERIOD, "valuePeriod")
        parameters = self.parameters(action, kind, KINDS[kind].parameters, place)
        severity = self.severity(action, kind, place)
        rule = Rule(
            id,
            kind,
            severity,
            citation,
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
            self.parts(action, KINDS[kind].levels, place),
        )
        self.check(rule, place)
        return rule

    def check(self, rule: Rule, place: str) -> None:
        """What some kinds ask beyond their parameters' types."""
        if rule.kind == "caseload-cap" and rule.parameters.get("level") == "average" and rule.severity != "report":
            self.wrong(
                "value",
                "An average is only reported: refusing would leave a member without a manager; its severity is report",
                f"{place}.extension('{RULE_SEVERITY}')",
            )
        if rule.kind == "agreement" and not (rule.parts and all(part.parts for part in rule.parts)):
            self.wrong(
                "required",
                "An agreement has a template, and each template its documents, whose hashes tell an altered one",
                f"{place}.action",
            )
        if rule.kind == "eligibility" and not (rule.parameters["code"] or rule.parameters["item"]):
            self.wrong("required", "Eligibility has evidence: a code, or an item of a questionnaire", place)
        if rule.kind == "eligibility" and bool(rule.parameters["item"]) != bool(rule.parameters["questionnaire"]):
            self.wrong("required", "An item is one of a questionnaire: name both or neither", place)
        if rule.kind == "notification" and not rule.triggers:
            self.wrong("required", "A notification names what it tells of: a trigger with data", f"{place}.trigger")
        if rule.kind == "notification":
            for why in filter(None, map(template.wrong, rule.parameters["notice-text"])):
                self.wrong("value", f"notice-text: {why}", place)
        if rule.kind == "lead":
            for name in ("notice-text", "lapse-text"):
                for why in filter(None, map(template.wrong, rule.parameters[name])):
                    self.wrong("value", f"{name}: {why}", place)
        if rule.kind == "transfer":
            for found in transfer.wrong(rule.parts):
                self.wrong(found.code, found.why, f"{place}{found.place}")

    def parts(self, action: Resource, levels: tuple[Level, ...], place: str) -> tuple[Part, ...]:
        """The actions inside, each known by its one code."""
        if not levels:
            return ()
        found: list[Part] = []
        for index, inner in enumerate(action.get("action", ())):
            where = f"{place}.action[{index}]"
            codes = facts.tokens(inner.get("code"))
            if len(codes) != 1 or codes[0] in {part.code for part in found}:
                self.wrong("required", f"A {levels[0].name} has one code, which no other one has", f"{where}.code")
                continue
            parameters = self.parameters(inner, levels[0].name, levels[0].parameters, where)
            if not all(map(SHA1.fullmatch, parameters.get("hash", ()))):
                self.wrong("value", "A hash is the SHA-1 of a text in base64, as Attachment.hash: 28 letters", where)
            inside = self.parts(inner, levels[1:], where)
            title = str(inner.get("title") or codes[0].rpartition("|")[2])
            found.append(Part(str(inner.get("id", "")), codes[0], title, parameters, inside, _citation(inner)))
        return tuple(found)

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

    def parameters(self, action: Resource, kind: str, declared: Mapping[str, Parameter], place: str) -> dict[str, Any]:
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


def _citation(action: Resource) -> str:
    """Where a rule, or a part of one, says that it is from."""
    cited = (one for one in action.get("documentation", ()) if one.get("type") == "citation")
    return "; ".join(filter(None, (one.get("citation") or one.get("display") or one.get("url") for one in cited)))


def _codings(element: Resource, url: str) -> list[Resource]:
    return [coding for coding in _values(element, url, "valueCoding") if "code" in coding]
