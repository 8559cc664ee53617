"""Where two plans contradict each other, and where they only both speak of something."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from server.coordination import period
from server.coordination.period import Interval
from server.coordination.plan.conflict import Conflict, conflicts
from server.coordination.responsibility.item import Item

Json = dict[str, Any]
CODE = "urn:service|aide"


def item(reference: str, party: str | None, *codes: str) -> Item:
    place = "activity[0]" if reference.startswith("CarePlan/") else ""
    when = Interval(period.ALWAYS, period.NEVER)
    return Item(reference, place, "service", frozenset(codes), frozenset(), "Aide", party, when)


def plan(id: str, **detail: Any) -> Json:
    return {"resourceType": "CarePlan", "id": id, "activity": [{"detail": {"code": {"text": "Aide"}, **detail}}]}


def found(mine: Json, theirs: Json) -> list[Conflict]:
    items = [item("CarePlan/p", "plan", CODE), item("CarePlan/h", "partner", CODE)]
    return conflicts(items, {"CarePlan/p": mine, "CarePlan/h": theirs}, [])


def test_same_service_in_another_frequency_contradicts() -> None:
    (conflict,) = found(plan("p", scheduledString="daily"), plan("h", scheduledString="weekly"))
    assert ("daily", "weekly") == (conflict.of("plan"), conflict.of("partner"))
    assert [] == found(plan("p", scheduledString="daily"), plan("h", scheduledString="daily"))


def test_services_of_one_party_or_of_other_kinds_contradict_nothing() -> None:
    sources = {"CarePlan/p": plan("p", scheduledString="daily"), "CarePlan/h": plan("h", scheduledString="weekly")}
    of_one = [item(reference, "plan", CODE) for reference in sources]
    apart = [item("CarePlan/p", "plan", CODE), item("CarePlan/h", "partner", "urn:service|meals")]
    nobodys = [item("CarePlan/p", "plan", CODE), item("CarePlan/h", None, CODE)]
    assert [[], [], []] == [conflicts(items, sources, []) for items in (of_one, apart, nobodys)]


def goal(id: str, **target: Any) -> tuple[Item, Json]:
    measure = {"coding": [{"system": "http://loinc.org", "code": "4548-4"}], "text": "A1c"}
    resource = {
        "resourceType": "Goal",
        "id": id,
        "lifecycleStatus": "active",
        "description": {"text": id},
        "target": [{"measure": measure, **target}],
    }
    return item(f"Goal/{id}", "plan" if id == "p" else "partner"), resource


def test_goals_of_a_measure_contradict_by_value_and_by_date() -> None:
    seven, eight = {"detailQuantity": {"value": 7}}, {"detailQuantity": {"value": 8}}
    later = seven | {"dueDate": "2027-01-01"}
    assert [1, 1, 0] == [
        len(conflicts([], {}, [goal("p", **seven), goal("h", **other)])) for other in (eight, later, seven)
    ]


def test_goals_without_a_measure_are_told_by_the_codes_of_their_description() -> None:
    described = {"coding": [{"system": "urn:goal", "code": "walk"}]}
    both = [goal("p"), goal("h")]
    for _, resource in both:
        del resource["target"]
        resource["description"] = described
    assert [] == conflicts([], {}, both)
    both[0][1]["target"] = [{"dueDate": "2027-01-01"}]
    assert [] == conflicts([], {}, both)  # a target of nothing is no other value of the goal


def test_goals_say_the_same_in_other_digits_and_units() -> None:
    def minutes(value: Any, unit: str) -> Json:
        return {"detailQuantity": {"value": value, "unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}}

    said = [minutes(60, "min"), minutes(Decimal("60.0"), "min"), minutes(1, "h"), minutes(20, "min")]
    assert [0, 0, 1] == [len(conflicts([], {}, [goal("p", **said[0]), goal("h", **one)])) for one in said[1:]]


def test_goals_without_a_measure_contradict_by_their_dates() -> None:
    both = [goal("p", dueDate="2027-01-01"), goal("h", dueDate="2028-01-01")]
    for _, resource in both:
        del resource["target"][0]["measure"]
        resource["description"] = {"text": "Walks  a mile"}
    assert 1 == len(conflicts([], {}, both))


def test_what_one_does_and_the_other_has_as_not_to_be_done_contradicts() -> None:
    (conflict,) = found(plan("p", scheduledString="daily"), plan("h", doNotPerform=True))
    assert ("daily", "not to be done") == (conflict.of("plan"), conflict.of("partner"))
    assert [] == found(plan("p", doNotPerform=True), plan("h", doNotPerform=True, scheduledString="daily"))
