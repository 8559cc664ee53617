"""What a search means, said again straight from https://hl7.org/fhir/R4/search.html over a resource's JSON.

It knows a few parameters of a few types, has no keys, no index and no table, and takes its time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import inf
from typing import Any

Json = dict[str, Any]
Interval = tuple[Any, Any]  # both ends may be None: unbounded


def satisfies(resource: Json, name: str, value: str) -> bool:
    """Whether the resource is among the matches of `name=value`, no value of which holds a comma."""
    code, _, modifier = name.partition(":")
    kind, select = PARAMETERS[resource["resourceType"], code]
    found = [element for element in select(resource) if _says_something(element)]
    if modifier == "missing":
        return (not found) == (value == "true")
    sought = value.split(",")
    if modifier == "not-in":
        return not any(token(element, "in", each) for element in found for each in sought)
    if modifier == "not":
        return not any(MATCHES[kind](element, "", each) for element in found for each in sought)
    return any(MATCHES[kind](element, modifier, each) for element in found for each in sought)


def _says_something(element: Any) -> bool:
    return element is not None and not (isinstance(element, dict) and set(element) <= {"id", "extension"})


# string


def folded(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).casefold().split())


def string(element: Any, modifier: str, value: str) -> bool:
    return any(_string(text, whole, modifier, value) for text, whole in _texts(element))


def _texts(element: Any) -> Iterator[tuple[str, bool]]:
    """(text, whether it is the whole of what was written)"""
    if isinstance(element, str):
        yield element, True
    elif isinstance(element, tuple):  # a family name
        yield element[0], True
        yield from ((part, False) for part in element[0].replace("-", " ").split())
    else:
        for name, part in element.items():
            if name == "family":
                yield from _texts((part,))
            elif name not in ("use", "period", "type"):
                yield from ((text, True) for text in (part if isinstance(part, list) else [part]) if text)


def _string(text: str, whole: bool, modifier: str, value: str) -> bool:
    if modifier == "exact":
        return whole and text == value
    if modifier == "contains":
        return folded(value) in folded(text)
    return folded(text).startswith(folded(value))


# token


def token(element: Any, modifier: str, value: str) -> bool:
    if modifier == "text":
        return any(folded(text).startswith(folded(value)) for text in _readable(element))
    if modifier == "of-type":
        system, code, identifier = value.split("|")
        types = element.get("type", {}).get("coding", [])
        return element.get("value") == identifier and {"system": system, "code": code} in types
    if modifier in ("in", "below", "above"):
        return any((have[0], have[1]) in CONCEPTS[modifier, value] for have in _codes(element))
    system, bar, code = value.rpartition("|")
    return any(_token(have, bar, system, code) for have in _codes(element))


GENDER = "http://hl7.org/fhir/administrative-gender"
# What a terminology may say, as (relation, value) -> concepts
CONCEPTS = {
    ("in", "urn:vs:few"): [("urn:a", "M"), (GENDER, "female")],
    ("in", "urn:vs:many"): [("urn:a", "M"), ("urn:a", "m"), ("urn:b", "8480-6"), (GENDER, "male")],
    ("in", "urn:vs:none"): [],
    ("below", "urn:a|M"): [("urn:a", "M"), ("urn:a", "m")],
    ("below", "urn:a|m"): [("urn:a", "m")],
    ("above", "urn:a|M"): [("urn:a", "M")],
    ("above", "urn:a|m"): [("urn:a", "m"), ("urn:a", "M")],
}


def _token(have: tuple[str | None, str | None], bar: str, system: str, code: str) -> bool:
    if not bar:
        return have[1] == code
    if not code:
        return have[0] == system
    return have == (system or None, code)


def _codes(element: Any) -> Iterator[tuple[str | None, str | None]]:
    if element is True or element is False:
        yield None, str(element).lower()
        yield "http://terminology.hl7.org/CodeSystem/special-values", str(element).lower()
    elif isinstance(element, str):
        yield None, element
        yield GENDER if element in ("male", "female") else None, element
    elif "coding" in element or "text" in element:
        yield from ((coding.get("system"), coding.get("code")) for coding in element.get("coding", []))
    else:
        yield element.get("system"), element.get("value", element.get("code"))


def _items(element: Any) -> list[Any]:
    """The codings of a concept, each by itself; those that name no code are none."""
    if isinstance(element, dict) and ("coding" in element or "text" in element):
        return [coding for coding in element.get("coding", []) if coding.get("code")]
    return [element] if not isinstance(element, dict) or element.get("value", element.get("code")) else []


def _readable(element: Any) -> list[str]:
    if not isinstance(element, dict):
        return []
    texts = [element.get("text"), element.get("display"), element.get("type", {}).get("text")]
    return [text for text in [*texts, *(c.get("display") for c in element.get("coding", []))] if text]


# date


def day(text: str) -> Interval:
    """What a date of any precision covers, from the first microsecond to before the last."""
    low, high = _moments(text)
    return _micros(low), _micros(high)


def _micros(moment: datetime) -> int:
    return (moment - datetime.min.replace(tzinfo=UTC)) // timedelta(microseconds=1)


def _moments(text: str) -> tuple[datetime, datetime]:
    if "T" not in text:
        parts = [int(part) for part in text.split("-")]
        year, month, first = (*parts, 1, 1)[:3]
        low = datetime(year, month, first, tzinfo=UTC)
        if len(parts) == 3:
            return low, low + timedelta(days=1)
        months = low.year * 12 + low.month - 1 + (1 if len(parts) == 2 else 12)
        return low, datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    low = datetime.fromisoformat(text)
    low = low if low.tzinfo else low.replace(tzinfo=UTC)
    clock = text.partition("T")[2].partition("Z")[0].partition("+")[0].partition("-")[0]
    if "." in clock:
        return low, low + timedelta(seconds=1) / 10 ** len(clock.partition(".")[2])
    return low, low + timedelta(seconds=1 if clock.count(":") == 2 else 60)


def covered(element: Any) -> Interval:
    """What a date, a period or a timing covers."""
    if isinstance(element, str):
        return day(element)
    if "event" in element:
        return min(day(e)[0] for e in element["event"]), max(day(e)[1] for e in element["event"])
    return day(element["start"])[0] if "start" in element else -inf, day(element["end"])[1] if "end" in element else inf


def date(element: Any, modifier: str, value: str) -> bool:
    prefix, text = (value[:2], value[2:]) if value[0].isalpha() else ("eq", value)
    low, high = day(text)
    start, end = covered(element)
    contained = low <= start and end <= high
    match prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return end > high
        case "lt":
            return start < low
        case "ge":
            return end > high or contained
        case "le":
            return start < low or contained
        case "sa":
            return start >= high
        case "eb":
            return end <= low
    now = _micros(datetime.now(UTC))
    gap = max(low - now, now - high, 0) / 10
    return start - high < gap and low - end < gap


# number, quantity


def precision(text: str) -> Interval:
    """[99.5, 100.5) for 100; where a power of ten is printed, as the specification prints it for 1e2: [95, 105)."""
    mantissa, _, exponent = text.lower().partition("e")
    unit = int(exponent or 0) - len(mantissa.partition(".")[2])
    half = Fraction(10) ** unit / (2 if unit <= 0 else 20)
    return Fraction(text) - half, Fraction(text) + half


def number(element: Any, modifier: str, value: str) -> bool:
    prefix, text = (value[:2], value[2:]) if value[0].isalpha() else ("eq", value)
    ends = element
    if not isinstance(element, tuple):
        low_high = (element.get("low", {}), element.get("high", {})) if isinstance(element, dict) else ()
        ends = tuple(end.get("value") for end in low_high) or (element, element)
        if ends == (None, None):
            return False
    start, end = (None if e is None else Fraction(str(e)) for e in ends)
    exact, (low, high) = Fraction(text), precision(text)
    contained = start is not None and end is not None and low <= start and end < high
    match prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return end is None or end > exact
        case "lt":
            return start is None or start < exact
        case "ge":
            return end is None or end >= exact
        case "le":
            return start is None or start <= exact
        case "sa":
            return start is not None and start > exact
        case "eb":
            return end is not None and end < exact
    low, high = min(low, exact - abs(exact) / 10), max(high, exact + abs(exact) / 10)
    return (end is None or end >= low) and (start is None or start <= high)


def quantity(element: Any, modifier: str, value: str) -> bool:
    text, *unit = value.split("|")
    if "value" not in element:
        return False
    comparator = element.get("comparator", "")
    ends = (None if "<" in comparator else element["value"], None if ">" in comparator else element["value"])
    if unit and unit[0] and (element.get("system"), element.get("code")) != tuple(unit):
        return False
    if unit and not unit[0] and unit[1] and unit[1] not in (element.get("code"), element.get("unit")):
        return False
    return number(ends, "", text)


# reference, uri


def reference(element: Any, modifier: str, value: str) -> bool:
    if modifier == "below":
        return canonical_below(element, value)
    if modifier == "identifier":
        return "identifier" in element and token(element["identifier"], "", value)
    literal = (element if isinstance(element, str) else element.get("reference", "")).removeprefix(f"{BASE}/")
    literal = literal if literal.startswith("http") else literal.partition("/_history")[0]
    sought = value.removeprefix(f"{BASE}/").partition("/_history")[0]
    if modifier:
        sought = f"{modifier}/{sought}"
    if isinstance(element, str) and literal.partition("|")[0] == sought:
        return True
    return literal == sought or (
        "/" not in sought and not literal.startswith("http") and literal.endswith(f"/{sought}")
    )


def canonical_below(element: str, value: str) -> bool:
    """Whether a canonical is of the URL, and of the version or of one that begins with its parts."""
    (url, _, version), (sought, _, leading) = element.partition("|"), value.partition("|")
    return url == sought and (not leading or f"{version}.".startswith(f"{leading}."))


BASE = "https://care.example.org/fhir"


def uri(element: Any, modifier: str, value: str) -> bool:
    if modifier == "below":
        return bool(element == value or element.startswith(value.rstrip("/") + "/"))
    if modifier == "above":
        host = value.index("/", value.index("//") + 2) if value.count("/") > 2 else len(value)
        return element == value or (len(element.rstrip("/")) >= host and value.startswith(element.rstrip("/") + "/"))
    return bool(element == value)


# _filter


def compares(resource: Json, code: str, operator: str, value: str) -> bool:
    """Whether `code operator value` holds: https://hl7.org/fhir/R4/search_filter.html#ops"""
    kind, select = PARAMETERS[resource["resourceType"], code]
    found = [element for element in select(resource) if _says_something(element)]
    if operator == "pr":
        return bool(found) == (value == "true")
    match kind, operator:
        case "string", _:
            whole = [text for element in found for text, is_whole in _texts(element) if is_whole]
            return any(_compares_text(folded(text), operator, folded(value)) for text in whole)
        case "date", "po" | "co":
            return any(_compares_period(element, operator, day(value)) for element in found)
        case "token", "ne":
            return any(not token(item, "", value) for element in found for item in _items(element))
        case "token", "ni":
            return not any(token(element, "in", value) for element in found)
        case "token", _:
            modifier = {"eq": "", "in": "in", "ss": "below", "sb": "above"}[operator]
            return any(token(element, modifier, value) for element in found)
        case "uri", "ne":
            return any(element != value for element in found)
        case (("uri" | "reference"), _):
            return any(MATCHES[kind](element, "", value) for element in found)
    return any(MATCHES[kind](element, "", operator + value) for element in found)


def _compares_text(text: str, operator: str, value: str) -> bool:
    encoded, sought = text.encode(), value.encode()
    return {
        "eq": text == value,
        "ne": text != value,
        "co": value in text,
        "sw": text.startswith(value),
        "ew": text.endswith(value),
        "gt": encoded > sought,
        "ge": encoded >= sought,
        "lt": encoded < sought,
        "le": encoded <= sought,
    }[operator]


def _compares_period(element: Any, operator: str, sought: Interval) -> bool:
    start, end = covered(element)
    if operator == "po":
        return bool(start < sought[1] and end > sought[0])
    return bool(start <= sought[0] and end >= sought[1])


def code_value_quantity(element: Any, modifier: str, value: str) -> bool:
    """A composite of both: each in one and the same element."""
    code, amount = value.split("$")
    return token(element.get("code", {}), "", code) and quantity(element.get("valueQuantity", {}), "", amount)


MATCHES: dict[str, Callable[[Any, str, str], bool]] = {
    "code-value-quantity": code_value_quantity,
    "string": string,
    "token": token,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "uri": uri,
}


def _at(*names: str) -> Callable[[Json], list[Any]]:
    """What stands at the members by these names, one below the other."""

    def select(resource: Json) -> list[Any]:
        found: list[Any] = [resource]
        for name in names:
            below = [element[name] for element in found if name in element]
            found = [item for each in below for item in (each if isinstance(each, list) else [each])]
        return found

    return select


def _either(*selects: Callable[[Json], Iterable[Any]]) -> Callable[[Json], list[Any]]:
    return lambda resource: [element for select in selects for element in select(resource)]


def _patients(name: str) -> Callable[[Json], list[Any]]:
    """What refers to a Patient: a parameter that is of no other type."""
    return lambda resource: [each for each in _at(name)(resource) if "Patient/" in each.get("reference", "")]


PARAMETERS: dict[tuple[str, str], tuple[str, Callable[[Json], list[Any]]]] = {
    ("Patient", "name"): ("string", _at("name")),
    ("Patient", "family"): ("string", lambda r: [(family,) for family in _at("name", "family")(r)]),
    ("Patient", "given"): ("string", _at("name", "given")),
    ("Patient", "address"): ("string", _at("address")),
    ("Patient", "identifier"): ("token", _at("identifier")),
    ("Patient", "gender"): ("token", _at("gender")),
    ("Patient", "active"): ("token", _at("active")),
    ("Patient", "language"): ("token", _at("communication", "language")),
    ("Patient", "birthdate"): ("date", _at("birthDate")),
    ("Observation", "code"): ("token", _at("code")),
    ("Observation", "combo-code"): ("token", _either(_at("code"), _at("component", "code"))),
    ("Observation", "date"): (
        "date",
        _either(_at("effectiveDateTime"), _at("effectivePeriod"), _at("effectiveTiming")),
    ),
    ("Observation", "value-quantity"): ("quantity", _at("valueQuantity")),
    ("Observation", "component-value-quantity"): ("quantity", _at("component", "valueQuantity")),
    ("Observation", "subject"): ("reference", _at("subject")),
    ("Observation", "code-value-quantity"): ("code-value-quantity", lambda r: [r]),
    ("Observation", "component-code-value-quantity"): ("code-value-quantity", _at("component")),
    ("Observation", "combo-code-value-quantity"): ("code-value-quantity", _either(lambda r: [r], _at("component"))),
    ("Patient", "_tag"): ("token", _at("meta", "tag")),
    ("Patient", "_profile"): ("uri", _at("meta", "profile")),
    ("Patient", "_source"): ("uri", _at("meta", "source")),
    ("QuestionnaireResponse", "questionnaire"): ("reference", _at("questionnaire")),
    ("Patient", "link"): ("reference", _at("link", "other")),
    ("Patient", "organization"): ("reference", _at("managingOrganization")),
    ("Observation", "patient"): ("reference", _patients("subject")),
    ("Observation", "encounter"): ("reference", _at("encounter")),
    ("Observation", "has-member"): ("reference", _at("hasMember")),
    ("Encounter", "status"): ("token", _at("status")),
    ("Encounter", "subject"): ("reference", _at("subject")),
    ("Encounter", "patient"): ("reference", _patients("subject")),
    ("Encounter", "part-of"): ("reference", _at("partOf")),
    ("Encounter", "location"): ("reference", _at("location", "location")),
    ("Encounter", "service-provider"): ("reference", _at("serviceProvider")),
    ("Location", "name"): ("string", _at("name")),
    ("Location", "partof"): ("reference", _at("partOf")),
    ("Location", "organization"): ("reference", _at("managingOrganization")),
    ("Organization", "name"): ("string", _at("name")),
    ("Organization", "active"): ("token", _at("active")),
    ("Organization", "partof"): ("reference", _at("partOf")),
    ("List", "status"): ("token", _at("status")),
    ("List", "subject"): ("reference", _at("subject")),
    ("List", "patient"): ("reference", _patients("subject")),
    ("List", "encounter"): ("reference", _at("encounter")),
    ("List", "item"): ("reference", _at("entry", "item")),
    ("RiskAssessment", "probability"): (
        "number",
        _either(_at("prediction", "probabilityDecimal"), _at("prediction", "probabilityRange")),
    ),
    ("ValueSet", "url"): ("uri", _at("url")),
    ("ValueSet", "description"): ("string", _at("description")),
}
