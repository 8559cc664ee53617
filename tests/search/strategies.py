"""Random resources, and random searches that may find them. Few values, so that they often meet.

Not every resource is valid, but each of its values is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from server.search.prefix import PREFIXES
from tests.search import naive

Strategy = st.SearchStrategy[Any]


def some(*values: Any) -> Strategy:
    return st.sampled_from(values)


def members(**strategies: Strategy) -> Strategy:
    """An element with some of these members; FHIR has no empty ones."""
    return st.fixed_dictionaries({}, optional=strategies).filter(bool)


def several(strategy: Strategy) -> Strategy:
    return st.lists(strategy, min_size=1, max_size=3)


TEXTS = some(
    *(
        "Ana",
        "ana maría",
        "ANA  MARIA",
        "Quiñones",
        "Carreño Quiñones",
        "Quinones-Vega",
        "de la Vega",
        "Straße",
        "STRASSE",
    ),
    *("ß", "Å", "Ångström", "ﬁn", "İnci", "李小龙", "O'Neil", "a", "x" * 127 + "é"),
)
SYSTEMS = some("urn:a", "urn:b", "http://loinc.org", "http://hl7.org/fhir/administrative-gender")
CODES = some("M", "m", "8480-6", "female", "true")
MOMENTS = some(
    *("2019", "2020", "2020-02", "2020-03", "2020-02-29", "2020-03-01", "2021-01-01", "1969-12-31", "0001", "9998-12"),
    *("2020-02-29T00:00:00Z", "2020-02-29T23:59:59Z", "2020-02-29T23:59:59.5Z", "2020-02-29T23:59:59.500Z"),
    *("2020-03-01T00:00:00+14:00", "2020-02-29T18:59:59-05:00", "2020-03-01T00:00:00.000001Z"),
)
ASKED_MOMENTS = some("2020-02-29T23:59", "2020-02-29T23:59:59", "2020-02-29T23:59Z") | MOMENTS
NUMBERS = some(
    "0", "5", "5.4", "5.40", "5.44", "5.45", "-3", "100", "1e2", "99.5", "100.5", "105", "95", "0.05", "1E-2"
)
DECIMALS = NUMBERS.map(Decimal)
URLS = some(
    *("http://a.org", "http://a.org/", "http://a.org/fhir", "http://a.org/fhir/", "http://a.org/fhir/ValueSet/1"),
    *(
        "http://a.org/fhirs",
        "http://b.org/fhir",
        "http://a.org/fhir/" + "v" * 130,
        "http://a.org/fhir/" + "v" * 130 + "w",
    ),
)
CANONICALS = URLS | st.builds("{}|{}".format, URLS, some("1", "1.0", "1.0.2", "10.0"))
NOTHING = some({"extension": [{"url": "http://a.org/why", "valueCode": "unknown"}]})

coding = members(system=SYSTEMS, code=CODES, display=TEXTS)
concept = members(coding=several(coding), text=TEXTS) | NOTHING
identifier = NOTHING | members(
    system=SYSTEMS,
    value=CODES,
    type=members(coding=several(st.fixed_dictionaries({"system": SYSTEMS, "code": CODES})), text=TEXTS),
)
name = members(family=TEXTS, given=several(TEXTS | st.none()), prefix=several(TEXTS), text=TEXTS, use=some("official"))
address = members(line=several(TEXTS), city=TEXTS, postalCode=TEXTS, use=some("home"))
period = (
    st.tuples(MOMENTS, MOMENTS).map(lambda ends: dict(zip(("start", "end"), sorted(ends, key=naive.day), strict=True)))
    | MOMENTS.map(lambda start: {"start": start})
    | MOMENTS.map(lambda end: {"end": end})
    | NOTHING
)
timing = several(MOMENTS).map(lambda events: {"event": events})
quantity = NOTHING | members(
    value=DECIMALS,
    comparator=some("<", "<=", ">", ">="),
    unit=some("mg", "milligram"),
    system=SYSTEMS,
    code=some("mg", "g"),
)
range_ = st.tuples(DECIMALS, DECIMALS).map(
    lambda ends: {"low": {"value": min(ends)}, "high": {"value": max(ends)}}
) | DECIMALS.map(lambda end: {"low": {"value": end}})
LITERALS = some("Patient/1", "Patient/2", "Group/1", "Patient/1/_history/2", f"{naive.BASE}/Patient/1", "#p")
ELSEWHERE = some("https://b.org/fhir/Patient/1")
reference = members(reference=LITERALS | ELSEWHERE, identifier=identifier, display=TEXTS) | NOTHING
component = members(code=concept, valueQuantity=quantity)

RESOURCES: dict[str, dict[str, Strategy]] = {
    "Patient": {
        "name": several(name),
        "address": several(address),
        "identifier": several(identifier),
        "gender": some("male", "female"),
        "active": st.booleans(),
        "communication": several(members(language=concept)),
        "birthDate": some("2019", "2020-02", "2020-02-29"),
        "meta": members(tag=several(coding), profile=several(URLS), source=URLS),
    },
    "Observation": {
        "code": concept,
        "component": several(component),
        "valueQuantity": quantity,
        "subject": reference,
        "effectiveDateTime": MOMENTS,
    },
    "QuestionnaireResponse": {"questionnaire": CANONICALS},
    "RiskAssessment": {
        "prediction": several(members(probabilityDecimal=DECIMALS) | members(probabilityRange=range_)),
    },
    "ValueSet": {"url": URLS, "description": TEXTS},
}
ALTERNATIVES: dict[str, Strategy] = {
    "Observation": members(effectivePeriod=period) | members(effectiveTiming=timing) | st.just({})
}


def resource(type: str) -> Strategy:
    """A resource of the type; not all are valid, but each value is."""

    def made(parts: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
        chosen = {key: value for key, value in parts[0].items() if not (key.startswith("effective") and parts[1])}
        return {"resourceType": type, **chosen, **parts[1]}

    some_of_them = st.fixed_dictionaries({}, optional=RESOURCES[type])
    return st.tuples(some_of_them, ALTERNATIVES.get(type, st.just({}))).map(made)


PREFIX = some("", *sorted(PREFIXES))
UNITS = some("", "||mg", "||milligram", "||g", "|urn:a|mg", "|urn:b|g", "||")
TOKENS = CODES | st.builds("{}|{}".format, SYSTEMS, CODES) | CODES.map("|{}".format) | SYSTEMS.map("{}|".format)
VALUE_SETS = some("urn:vs:few", "urn:vs:many", "urn:vs:none")
KNOWN = some("urn:a|M", "urn:a|m")
ASKED: dict[str, list[tuple[str, Strategy]]] = {
    "string": [("", TEXTS), (":exact", TEXTS), (":contains", TEXTS | some("an", "mar", "ñ", "Z"))],
    "token": [("", TOKENS), (":not", TOKENS), (":text", TEXTS)],
    "concept": [(":in", VALUE_SETS), (":not-in", VALUE_SETS), (":below", KNOWN), (":above", KNOWN)],
    "date": [("", st.builds("{}{}".format, PREFIX, ASKED_MOMENTS))],
    "number": [("", st.builds("{}{}".format, PREFIX, NUMBERS))],
    "quantity": [("", st.builds("{}{}{}".format, PREFIX, NUMBERS, UNITS))],
    "reference": [("", LITERALS.filter(lambda literal: literal != "#p") | ELSEWHERE | some("1", "2"))],
    "uri": [("", URLS), (":below", URLS), (":above", URLS)],
}
ASKED["code-value-quantity"] = [
    (
        "",
        st.builds(
            "{}${}{}{}".format,
            TOKENS.filter(lambda token: not token.endswith("|")),
            PREFIX,
            NUMBERS,
            UNITS.filter(lambda unit: unit != "||"),
        ),
    )
]
MORE: dict[str, list[tuple[str, Strategy]]] = {
    "Patient.identifier": [(":of-type", st.builds("{}|{}|{}".format, SYSTEMS, CODES, CODES))],
    "Observation.subject": [(":identifier", TOKENS), (":Patient", some("1", "2")), (":Group", some("1"))],
    "Encounter.status": [(modifier, some("planned", "finished")) for modifier in ("", ":not")],
    "List.status": [(modifier, some("current", "retired")) for modifier in ("", ":not")],
    "QuestionnaireResponse.questionnaire": [("", CANONICALS), (":below", CANONICALS)],
}


CONCEPTS = {"Patient._tag", "Patient.gender", "Patient.language", "Observation.code", "Observation.combo-code"}
PAIRS = sorted(pair for pair in naive.PARAMETERS if pair[0] in RESOURCES)  # (type, code)


def single(type: str) -> list[str]:
    """The codes of a type's parameters that are not composite: those that have an order, and operators."""
    return [code for of, code in sorted(naive.PARAMETERS) if of == type and not code.endswith("code-value-quantity")]


@st.composite
def asked(draw: st.DrawFn, type: str, code: str) -> tuple[str, str]:
    """(name, value) of one parameter, with or without a modifier."""
    ways = [
        *ASKED[naive.PARAMETERS[type, code][0]],
        *MORE.get(f"{type}.{code}", []),
        *([(":missing", some("true", "false"))] if code in single(type) else []),
    ]
    if f"{type}.{code}" in CONCEPTS:
        ways += ASKED["concept"]
    modifier, values = draw(st.sampled_from(ways))
    count = 1 if modifier == ":missing" else draw(st.integers(1, 2))
    return code + modifier, ",".join(draw(values) for _ in range(count))


def asked_of(type: str) -> Strategy:
    """(name, value) of any parameter of the type."""
    return some(*(pair for pair in PAIRS if pair[0] == type)).flatmap(lambda pair: asked(*pair))


@st.composite
def searches(draw: st.DrawFn) -> tuple[dict[str, Any], str, str]:
    """(resource, name, value)"""
    type, code = draw(st.sampled_from(PAIRS))
    return draw(resource(type)), *draw(asked(type, code))


def stepping(type: str) -> Strategy:
    """(name, value) of a chain or of _has, where the type has one here."""
    if type == "Observation":
        return asked_of("Patient").map(lambda found: (f"subject:Patient.{found[0]}", found[1]))
    if type == "Patient":
        return asked_of("Observation").map(lambda found: (f"_has:Observation:subject:{found[0]}", found[1]))
    return st.nothing()


# _filter

Asks = Callable[[dict[str, Any]], bool]

OPERATORS: dict[str, list[tuple[str, Strategy]]] = {
    "string": [("eq ne co sw ew gt ge lt le", TEXTS | some("an", "mar", "Z", "maría", "x)"))],
    "token": [("eq", TOKENS), ("ne", TOKENS.filter(lambda token: not token.endswith("|")))],
    "concept": [("in ni", VALUE_SETS), ("ss sb", KNOWN)],
    "date": [("eq ne gt ge lt le sa eb co po", ASKED_MOMENTS)],
    "number": [("eq ne gt ge lt le sa eb ap", NUMBERS)],
    "quantity": [("eq ne gt ge lt le sa eb ap", st.builds("{}{}".format, NUMBERS, UNITS))],
    "reference": [("re eq", ASKED["reference"][0][1])],
    "uri": [("eq ne", URLS)],
}


@st.composite
def comparisons(draw: st.DrawFn, type: str) -> tuple[str, Asks]:
    """(text, what it says of a resource)"""
    code = draw(st.sampled_from(single(type)))
    kind = naive.PARAMETERS[type, code][0]
    ways = [*OPERATORS[kind], ("pr", some("true", "false"))]
    if f"{type}.{code}" in CONCEPTS:
        ways += OPERATORS["concept"]
    operators, values = draw(st.sampled_from(ways))
    operator, value = draw(st.sampled_from(operators.split())), draw(values)
    written = json.dumps(value, ensure_ascii=draw(st.booleans())) if kind == "string" else value
    return f"{code} {operator} {written}", lambda resource: naive.compares(resource, code, operator, value)


def expressions(type: str) -> Strategy:
    """(text, what it says of a resource): and and or are taken from left to right."""
    return st.recursive(comparisons(type), _logical, max_leaves=5)


def _logical(part: Strategy) -> Strategy:
    negated = part.map(lambda found: (f"not({found[0]})", lambda resource: not found[1](resource)))
    grouped = part.map(lambda found: (f"( {found[0]})", found[1]))
    further = st.lists(st.tuples(some("and", "or"), negated | grouped), min_size=1, max_size=3)
    return negated | st.tuples(negated | grouped, further).map(lambda found: _joined(*found))


def _joined(first: tuple[str, Asks], further: list[tuple[str, tuple[str, Asks]]]) -> tuple[str, Asks]:
    text = " ".join([first[0], *(f"{word} {part[0]}" for word, part in further)])

    def asks(resource: dict[str, Any]) -> bool:
        found = first[1](resource)
        for word, (_, part) in further:
            found = (found and part(resource)) if word == "and" else (found or part(resource))
        return found

    return text, asks


@st.composite
def filtered(draw: st.DrawFn) -> tuple[dict[str, Any], str, bool]:
    """(resource, an expression, whether it holds)"""
    type = draw(st.sampled_from(sorted(RESOURCES)))
    found = draw(resource(type))
    text, asks = draw(expressions(type))
    return found, text, asks(found)
