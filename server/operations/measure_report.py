"""MeasureReport: its parts: populations with the Lists of who is in them, scores, distributions.

https://hl7.org/fhir/R4/measurereport.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from server.coordination.caseload.distribution import Distribution
from server.coordination.facts import BASE
from server.ledger import Resource, instant

CASELOAD = f"{BASE}/CodeSystem/caseload"
STRUCTURE = f"{BASE}/StructureDefinition"
IMPROVEMENT = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
UCUM = "http://unitsofmeasure.org"
UNITS = {"d": "days", "min": "minutes"}


class Lists:
    """The contained Lists of a report with detail; without it there are none."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.contained: list[Resource] = []

    def of(self, entries: Sequence[Resource]) -> Resource:
        """The reference to a new List of these entries."""
        if not self.wanted or not entries:
            return {}
        id = f"list-{len(self.contained) + 1}"
        self.contained.append(
            {"resourceType": "List", "id": id, "status": "current", "mode": "snapshot", "entry": list(entries)}
        )
        return {"subjectResults": {"reference": f"#{id}"}}


def items(references: Iterable[str]) -> list[Resource]:
    """Entries of a List."""
    return [{"item": {"reference": each}} for each in references]


def population(code: str, count: int, subjects: Resource | None = None) -> Resource:
    """A number; `subjects` is what Lists.of gives."""
    return {"code": concept(CASELOAD, code), "count": count, **(subjects or {})}


def score(number: int, of: int) -> Resource:
    """A quotient; none where there is nothing to divide by."""
    return {"measureScore": {"value": decimal(Fraction(number, of))}} if of else {}


def decimal(number: Fraction) -> Any:
    """To four digits after the point; whole numbers without any."""
    if number.denominator == 1:
        return int(number)
    rounded = (Decimal(number.numerator) / number.denominator).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return rounded.normalize() if rounded % 1 else int(rounded)


def quantity(number: Fraction | int, unit: str | None = None) -> Resource:
    """A Quantity of a UCUM unit, or of none."""
    value = {"value": decimal(Fraction(number))}
    return {**value, "unit": UNITS[unit], "system": UCUM, "code": unit} if unit else value


def spread(of: str, found: Distribution | None, unit: str | None = None) -> list[Resource]:
    """The extension `distribution`; none of no values."""
    if found is None:
        return []
    size, *numbers = found
    names = ("minimum", "lower-quartile", "median", "upper-quartile", "maximum", "mean")
    parts: list[Resource] = [{"url": "of", "valueCode": of}, {"url": "count", "valueInteger": size}]
    parts += [
        {"url": name, "valueQuantity": quantity(number, unit)} for name, number in zip(names, numbers, strict=True)
    ]
    return [{"url": f"{STRUCTURE}/distribution", "extension": parts}]


def link(name: str, reference: str) -> Resource:
    """An extension that is a Reference."""
    return {"url": f"{STRUCTURE}/{name}", "valueReference": {"reference": reference}}


def extensions(found: Sequence[Resource]) -> Resource:
    return {"extension": list(found)} if found else {}


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def measure_report(
    measure: str,
    over: Resource,
    now: int,
    groups: list[Resource],
    lists: Lists,
    evidence: Iterable[str] = (),
    *,
    reporter: str | None = None,
    improvement: str = "decrease",
) -> Resource:
    """The whole. With detail it is a subject-list and names its evidence."""
    evaluated = items(evidence) if lists.wanted else []
    return {
        "resourceType": "MeasureReport",
        **({"contained": lists.contained} if lists.contained else {}),
        "status": "complete",
        "type": "subject-list" if lists.wanted else "summary",
        "measure": measure,
        "date": instant(now),
        **({"reporter": {"reference": reporter}} if reporter else {}),
        "period": over,
        "improvementNotation": concept(IMPROVEMENT, improvement),
        "group": groups,
        **({"evaluatedResource": [one["item"] for one in evaluated]} if evaluated else {}),
    }
