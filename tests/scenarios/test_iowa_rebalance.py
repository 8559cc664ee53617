"""Iowa's realignment over HTTP: the moves that meet the caps at the least cost, explained, and opened as transfers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.coordination.memory import (
    BASE,
    IA_HCBS,
    assigned,
    coding,
    episode,
    location,
    organization,
    patient,
    practitioner,
    role,
    shipped,
    team,
)
from tests.scenarios.iowa import MCO, day, kept, put

Json = dict[str, Any]
PLACES = {"polk": (41.59, -93.62), "story": (42.03, -93.62), "linn": (41.98, -91.67)}  # Story is 30 miles from Polk
COMPONENTS = f"{BASE}/CodeSystem/rebalance"


def area(id: str) -> Json:
    latitude, longitude = PLACES[id]
    return location(id, district=id, state="IA") | {"position": {"latitude": latitude, "longitude": longitude}}


def manager(id: str, where: str | None = "polk", start: str = "2015-01-01", **more: Any) -> list[Json]:
    there = {"location": [{"reference": f"Location/{where}"}]} if where else {}
    return [practitioner(id), role(id, mco=MCO, period={"start": start}, **there, **more)]


def member(id: str, who: str | None, start: str = "2025-01-01", where: str | None = "polk") -> list[Json]:
    address = {"address": [{"use": "home", "district": where.title(), "state": "IA"}]} if where else {}
    found = [patient(id, **address), episode(id, MCO, start="2018-01-01")]
    return [*found, team(id, assigned(f"PractitionerRole/{who}", start=start))] if who else found


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has 5 members in Polk: a1 since 2019, the others since 2025; Bob and Cid have one each, Bob in Story and Cid
    in Linn; Lea manages the area."""
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    people = [practitioner("lea"), lea, *manager("ann"), *manager("bob", "story"), *manager("cid", "linn")]
    members = [one for n in range(1, 6) for one in member(f"a{n}", "ann", "2019-01-01" if n == 1 else "2025-01-01")]
    members += [*member("b1", "bob", where="story"), *member("c1", "cid", where="linn")]
    await kept(client, shipped(), organization(MCO), *map(area, PLACES), *people, *members)
    return client


async def asked(client: httpx.AsyncClient, *more: Json, actor: str = "") -> httpx.Response:
    given = {"resourceType": "Parameters", "parameter": [{"name": "program", "valueCanonical": IA_HCBS}, *more]}
    headers = {"X-Acting-As": actor} if actor else {}
    return await client.post(f"Organization/{MCO}/$rebalance", json=given, headers=headers)


async def answered(client: httpx.AsyncClient, *more: Json, **values: Any) -> Json:
    """What is answered: a name's one value, or the list of the parts of each."""
    response = await asked(client, *more, **values)
    assert 200 == response.status_code, response.text
    found: Json = {"manager": [], "lacking": [], "placement": [], "opened": [], "note": []}
    for one in response.json()["parameter"]:
        name, value = one["name"], value_of(one)
        if name in {"manager", "lacking", "placement", "opened", "note"}:
            found[name].append(value)
        else:
            found[name] = value
    return found


def value_of(parameter: Json) -> Any:
    if "part" in parameter:
        return {part["name"]: value_of(part) for part in parameter["part"]}
    [value] = [value for name, value in parameter.items() if name != "name"]
    return value["reference"] if isinstance(value, dict) and "reference" in value else value


def limit(number: int) -> Json:
    return {"name": "limit", "valueInteger": number}


def of(name: str, reference: str) -> Json:
    return {"name": name, "valueReference": {"reference": reference}}


def tasks(found: Json) -> list[Json]:
    return [entry["resource"] for entry in found["proposal"].get("entry", ())]


def moves(found: Json) -> set[tuple[str, str]]:
    return {(task["for"]["reference"][8:], task["owner"].get("reference", "")[17:]) for task in tasks(found)}


def move_ids(found: Json) -> list[str]:
    return [task["identifier"][0]["value"] for task in tasks(found)]


def inputs(task: Json, system: str = COMPONENTS) -> Json:
    return {
        one["type"]["coding"][0]["code"]: next(value for name, value in one.items() if name.startswith("value"))
        for one in task["input"]
        if one["type"]["coding"][0]["system"] == system
    }


def to_apply(position: int, *ids: str) -> list[Json]:
    named = [{"name": "move", "valueString": id} for id in ids]
    return [{"name": "apply", "valueBoolean": True}, {"name": "position", "valueInteger": position}, *named]


@pytest.mark.requirement("IA-03", "IA-13", "IA-14", "IA-16")
async def test_the_fewest_and_nearest_moves_are_proposed_and_explained(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, limit(3))
    assert (0, found["bound"]) == (found["gap"], found["cost"])
    assert {"bob"} == {to for _, to in moves(found)}  # 30 miles, and not the 100 to Cid
    assert 2 == len(moves(found))
    assert "a1" not in {who for who, _ in moves(found)}  # who has been with Ann longest
    [task, _] = tasks(found)
    assert ("draft", "proposal") == (task["status"], task["intent"])
    assert {f"{IA_HCBS}|1.0.0"} == {task["instantiatesCanonical"]}
    said = inputs(task)
    parts = {"move", "tenure", "distance"}
    assert parts == said.keys() & {"move", "tenure", "continuity", "distance", "distance-now", "new-manager"}
    assert said["cost"] == sum(said[part] for part in parts)
    assert 60 == said["distance"]  # two for a mile
    assert "PractitionerRole/cid" == said["alternative"]["reference"]
    assert said["alternative-cost"] > 0
    assert "stay-cost" in said
    weighed = inputs(task, f"{BASE}/CodeSystem/ia-reassign-consideration")
    assert {"cm-location", "long-term-relationship"} == weighed.keys()
    for part in ("Manager ann has 5 members", "the limit is 3", "30 miles", "with a place left is Manager cid"):
        assert part in task["description"]
    before = {one["role"][17:]: (one["before"], one["after"]) for one in found["manager"]}
    assert {"ann": (5, 3), "bob": (1, 3), "cid": (1, 1)} == before
    assert {"before": 2.3333, "after": 2.3333} == found["average"]
    assert [] == (await iowa.get("Task")).json().get("entry", [])


async def test_equal_inputs_give_equal_answers_at_a_position(iowa: httpx.AsyncClient) -> None:
    first = await answered(iowa, limit(3))
    await put(iowa, patient("a2", gender="female"))
    again = await answered(iowa, limit(3), {"name": "at", "valueInteger": first["position"]})
    assert first == again


@pytest.mark.requirement("IA-12")
async def test_a_member_who_needs_continuity_is_kept_unless_released(iowa: httpx.AsyncClient) -> None:
    bound = [f"a{n}" for n in (2, 3, 4)]
    await kept(iowa, *(flag(id) for id in bound))
    found = await answered(iowa, limit(3))
    assert {"a1", "a5"} == {who for who, _ in moves(found)}
    released = await answered(iowa, limit(3), of("release", "Patient/a2"))
    assert {"a1", "a5"} == {who for who, _ in moves(released)}  # it costs what the program says, which is a lot
    lacking = (await answered(iowa, limit(2)))["lacking"]
    assert [("continuity", 1, "PractitionerRole/ann")] == [
        (one["limit"], one["members"], one["manager"]) for one in lacking
    ]
    await kept(iowa, *manager("dot"))
    free = await answered(iowa, limit(2), of("release", "Patient/a2"))
    assert {"a1", "a2", "a5"} == {who for who, _ in moves(free)}
    [task] = [task for task in tasks(free) if task["for"]["reference"] == "Patient/a2"]
    assert 1000 == inputs(task)["continuity"]


def flag(id: str, **more: Any) -> Json:
    return {
        "resourceType": "Flag",
        "id": f"{id}-continuity",
        "status": "active",
        "code": coding("cm-flag", "continuity-required"),
        "subject": {"reference": f"Patient/{id}"},
        **more,
    }


@pytest.mark.requirement("IA-15")
async def test_where_the_providers_are_decides_between_managers_alike(iowa: httpx.AsyncClient) -> None:
    clinic = {**organization("clinic"), "address": [{"district": "Linn", "state": "IA"}]}
    services = [service(f"a{n}", "Organization/clinic") for n in (2, 3)]
    await kept(iowa, clinic, *manager("dot", "linn"), *services)
    moved = moves(await answered(iowa, limit(3)))
    assert {"a4", "a5"} == {who for who, _ in moved}  # for a2 and a3 Ann is as far from the clinic as Bob
    assert 200 == (await put(iowa, weighing({"provider-mile": 20, "mile": 0}))).status_code
    found = await answered(iowa, limit(3))
    assert {"a2", "a3"} == {who for who, _ in moves(found)}
    assert {"cid", "dot"} >= {to for _, to in moves(found)}
    assert 0 == inputs(tasks(found)[0]).get("provider-distance", 0)


def weighing(weights: dict[str, int]) -> Json:
    """The program with other weights, and further ones."""
    plan = shipped()
    [rule] = [action for action in plan["action"] if action["id"] == "IA-12"]
    kept = [one for one in rule["extension"] if name_of(one) not in weights]
    rule["extension"] = kept + [
        {
            "url": f"{BASE}/StructureDefinition/rule-parameter",
            "extension": [{"url": "name", "valueCode": name}, {"url": "value", "valueInteger": value}],
        }
        for name, value in weights.items()
    ]
    return plan


def name_of(extension: Json) -> str | None:
    return next((one.get("valueCode") for one in extension.get("extension", ())), None)


def service(id: str, performer: str) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": f"{id}-service",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{id}"},
        "performer": [{"reference": performer}],
    }


@pytest.mark.requirement("IA-03", "IA-13")
async def test_hires_are_supposed_and_take_members_for_the_average(iowa: httpx.AsyncClient) -> None:
    short = await answered(iowa, {"name": "averageLimit", "valueInteger": 2})
    assert [("average", 1)] == [(one["limit"], one["managers"]) for one in short["lacking"]]
    assert "Location/polk" == short["lacking"][0]["area"]
    hire = {"name": "hire", "part": [{"name": "count", "valuePositiveInt": 1}, of("location", "Location/polk")]}
    found = await answered(iowa, {"name": "averageLimit", "valueInteger": 2}, hire)
    assert [""] == [to for _, to in moves(found)]
    assert "hire 1.1" == tasks(found)[0]["owner"]["display"]
    assert (50, 1.75) == (inputs(tasks(found)[0])["new-manager"], found["average"]["after"])
    response = await asked(iowa, {"name": "averageLimit", "valueInteger": 2}, hire, *to_apply(found["position"]))
    assert 409 == response.status_code, response.text


@pytest.mark.requirement("IA-13")
async def test_whose_manager_leaves_goes_to_the_nearest_with_room(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, of("leave", "PractitionerRole/bob"))
    assert {("b1", "ann")} == moves(found)
    assert "tenure" not in inputs(tasks(found)[0])
    assert "Manager bob leaves" in tasks(found)[0]["description"]


@pytest.mark.requirement("IA-03")
async def test_places_are_kept_for_who_is_enrolling_waiting_or_in_transfer(iowa: httpx.AsyncClient) -> None:
    two = {"name": "count", "valuePositiveInt": 2}
    enrolling = {"name": "enrolling", "part": [two, of("location", "Location/story")]}
    found = await answered(iowa, limit(3), enrolling)
    assert 2 == len(found["placement"])
    assert {3} == {one["after"] for one in found["manager"]}
    await kept(iowa, *member("w1", None))
    found = await answered(iowa, limit(3))
    assert ["Patient/w1"] == [one["member"] for one in found["placement"]]
    lacking = (await answered(iowa, limit(3), enrolling, *[enrolling]))["lacking"]
    assert [("manager", 1)] == [(one["limit"], one["managers"]) for one in lacking]


async def test_a_get_proposes_and_applies_nothing(iowa: httpx.AsyncClient) -> None:
    place, query = f"Organization/{MCO}/$rebalance", {"program": IA_HCBS, "limit": "3"}
    found = (await iowa.get(place, params=query)).json()["parameter"]
    assert 2 == len(found[0]["resource"]["entry"])
    position = next(one["valueInteger"] for one in found if one["name"] == "position")
    applied = await iowa.get(place, params=query | {"apply": "true", "position": str(position)})
    assert 400 == applied.status_code
    assert [] == (await iowa.get("Task")).json().get("entry", [])


@pytest.mark.requirement("IA-09", "IA-10", "IA-16")
async def test_applied_the_moves_are_open_transfers_once(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, limit(3))
    applying = [limit(3), *to_apply(found["position"])]
    assert 422 == (await asked(iowa, *applying, actor="PractitionerRole/ann")).status_code
    done = await answered(iowa, *applying, actor="PractitionerRole/lea")
    assert (2, 1) == (len(done["opened"]), done["commits"])
    transfers = [(await iowa.get(task)).json() for task in done["opened"]]
    assert moves(found) == {(one["for"]["reference"][8:], one["owner"]["reference"][17:]) for one in transfers}
    for one in transfers:
        assert ("requested", "ratio-realignment") == (one["status"], one["reasonCode"]["coding"][0]["code"])
        assert "PractitionerRole/lea" == one["requester"]["reference"]
        assert {"cm-location", "long-term-relationship"} == inputs(
            one, f"{BASE}/CodeSystem/ia-reassign-consideration"
        ).keys()
    again = await answered(iowa, *applying, actor="PractitionerRole/lea")
    assert (done["opened"], 0) == (again["opened"], again["commits"])
    assert set() == moves(await answered(iowa, limit(3)))  # they count where they go


async def test_moves_are_named_by_the_ids_of_their_tasks_too(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, limit(3))
    ids = [task["id"] for task in tasks(found)]
    entries = [entry["fullUrl"] for entry in found["proposal"]["entry"]]
    assert [f"urn:uuid:{id}" for id in ids] == entries
    one = await answered(iowa, limit(3), *to_apply(found["position"], ids[0]))
    assert [f"Task/{ids[0]}"] == one["opened"]
    both = await answered(
        iowa, limit(3), *to_apply(found["position"], f"Task/{ids[0]}", entries[1], move_ids(found)[1])
    )
    assert {f"Task/{id}" for id in ids} == set(both["opened"])
    refused = await asked(iowa, limit(3), *to_apply(found["position"], "1"))
    assert (400, ["invalid"]) == (refused.status_code, [one["code"] for one in refused.json()["issue"]])


async def test_applied_at_once_by_two_each_move_is_opened_once(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, limit(3))
    applying = to_apply(found["position"], *move_ids(found))
    both = await asyncio.gather(*(answered(iowa, *applying) for _ in range(2)))
    assert set(both[0]["opened"]) == set(both[1]["opened"])
    assert 1 == sum(one["commits"] for one in both)
    assert 2 == (await iowa.get("Task", params={"code": "case-manager-transfer", "_summary": "count"})).json()["total"]


async def test_a_move_that_does_not_fit_any_more_is_named_and_nothing_is_opened(iowa: httpx.AsyncClient) -> None:
    found = await answered(iowa, limit(3))
    gone, other = move_ids(found)
    moved = gone.split()[0].removeprefix("Patient/")
    ended = assigned("PractitionerRole/ann", end=day(-1))
    await put(iowa, team(moved, ended, assigned("PractitionerRole/cid", start=day(0))))
    response = await asked(iowa, *to_apply(found["position"], gone, other))
    assert 409 == response.status_code, response.text
    assert [f"Parameters.parameter.where(name='move' and value='{gone}')"] == [
        place for issue in response.json()["issue"] for place in issue["expression"]
    ]
    assert [] == (await iowa.get("Task")).json().get("entry", [])
    done = await answered(iowa, *to_apply(found["position"], other))
    assert 1 == len(done["opened"])


async def test_workload_is_weighed_by_the_level_of_the_assessment(iowa: httpx.AsyncClient) -> None:
    plan = weighing({"workload": 1, "workload-limit": 6})
    [rule] = [action for action in plan["action"] if action["id"] == "IA-12"]
    heavy = {"url": f"{BASE}/StructureDefinition/rule-parameter"}
    weight = [{"url": "name", "valueCode": "workload"}, {"url": "value", "valueInteger": 3}]
    high = coding("example-level", "high")
    rule["action"] = [{"title": "High", "code": [high], "extension": [heavy | {"extension": weight}]}]
    assert 200 == (await put(iowa, plan)).status_code
    assert set() == moves(await answered(iowa))
    assessed = [
        {
            "resourceType": "RiskAssessment",
            "id": f"a{n}",
            "status": "final",
            "subject": {"reference": f"Patient/a{n}"},
            "occurrenceDateTime": "2025-06-01",
            "prediction": [{"qualitativeRisk": high}],
        }
        for n in (1, 2)
    ]
    await kept(iowa, *assessed)
    found = await answered(iowa)
    assert [("a2", "bob")] == sorted(moves(found))  # 9 of 6: one of 3 goes, who has been with Ann more shortly
    [ann] = [one for one in found["manager"] if one["role"] == "PractitionerRole/ann"]
    assert (9, 6, 0) == (ann["workloadBefore"], ann["workloadAfter"], found["gap"])


async def test_what_is_no_move_or_no_limit_is_refused(iowa: httpx.AsyncClient) -> None:
    for wrong in ([limit(0)], to_apply(1, "Patient/a1"), [{"name": "apply", "valueBoolean": True}]):
        assert 400 == (await asked(iowa, *wrong)).status_code


async def test_what_is_not_known_costs_nothing_and_is_said(client: httpx.AsyncClient) -> None:
    people = [*manager("ann", None), *manager("bob", None)]
    members = [one for n in range(3) for one in member(f"a{n}", "ann", where=None)]
    await kept(client, shipped(), organization(MCO), *people, *members)
    found = await answered(client, limit(2))
    assert 1 == len(moves(found))
    assert {"move", "tenure", "cost"} == inputs(tasks(found)[0]).keys() - {"alternative", "stay-cost"}
    assert 2 == len(found["note"])


@pytest.mark.requirement("IA-14")
async def test_a_relationship_is_as_long_as_the_report_says(iowa: httpx.AsyncClient) -> None:
    """Not from before the role in which somebody has the member, and longer than the enrolment."""
    dee = [*manager("dee", start=day(-400)), *member("d1", "dee", "2019-01-01"), *member("d2", "dee", day(-600))]
    late = episode("a5", MCO, start=day(-30))
    await kept(iowa, *dee, late)
    found = await answered(iowa, limit(7), of("leave", "PractitionerRole/dee"))
    said = {task["for"]["reference"]: task["description"] for task in tasks(found)}
    assert {"Patient/d1", "Patient/d2"} == said.keys()
    assert all("together for 13 months" in text for text in said.values())
    found = await answered(iowa, limit(1), {"name": "hire", "part": [{"name": "count", "valuePositiveInt": 5}]})
    lost = {task["for"]["reference"]: inputs(task).get("tenure", 0) for task in tasks(found)}
    assert lost["Patient/a4"] == lost["Patient/a5"] > 2 * 12


@pytest.mark.requirement("IA-13")
async def test_who_goes_on_at_another_organization_leaves_this_one(iowa: httpx.AsyncClient) -> None:
    """Ann also works for another plan, and as what is no case manager here: her members here still have to go."""
    elsewhere = [organization("other"), role("ann-other", person="ann", mco="other")]
    desk = role("ann-desk", person="ann", mco=MCO, code=[coding("cm-role", "area-manager")])
    await kept(iowa, *elsewhere, desk)
    asked_for = await answered(iowa, of("leave", "PractitionerRole/ann"))
    assert {"a1", "a2", "a3", "a4", "a5"} == {who for who, _ in moves(asked_for)}
    await put(iowa, manager("ann")[1] | {"active": False})
    assert moves(asked_for) == moves(await answered(iowa))


async def test_more_than_a_state_has_cannot_be_supposed(iowa: httpx.AsyncClient) -> None:
    for name in ("hire", "enrolling"):
        response = await asked(iowa, {"name": name, "part": [{"name": "count", "valuePositiveInt": 2_000_000_000}]})
        assert (400, "invalid") == (response.status_code, response.json()["issue"][0]["code"])


async def test_what_is_not_there_cannot_leave_or_be_released(iowa: httpx.AsyncClient) -> None:
    nowhere = [{"name": "location", "valueReference": {"reference": "Location/none"}}]
    supposed = [{"name": name, "part": nowhere} for name in ("hire", "enrolling")]
    response = await asked(
        iowa,
        *supposed,
        of("leave", "PractitionerRole/none"),
        of("release", "Patient/none"),
        of("release", "Patient/a1"),
    )
    assert (422, ["not-found"] * 4) == (response.status_code, [one["code"] for one in response.json()["issue"]])
    await kept(iowa, organization("other"), practitioner("eve"), role("eve", mco="other"))
    found = await answered(iowa, of("leave", "PractitionerRole/eve"))
    assert any("PractitionerRole/eve" in note for note in found["note"])


async def test_a_move_of_somebody_elsewhere_is_refused(iowa: httpx.AsyncClient) -> None:
    """Of a member of another plan, to a case manager of another plan, to who is none."""
    elsewhere = [organization("other"), practitioner("eve"), role("eve", mco="other")]
    theirs = [patient("e1"), episode("e1", "other"), team("e1", assigned("PractitionerRole/eve"))]
    await kept(iowa, *elsewhere, *theirs)
    found = await answered(iowa)
    for move in ("e1 eve bob", "a1 ann eve", "a1 ann lea"):
        who, sender, receiver = move.split()
        id = f"Patient/{who} PractitionerRole/{sender} PractitionerRole/{receiver}"
        response = await asked(iowa, *to_apply(found["position"], id))
        assert (409, "conflict") == (response.status_code, response.json()["issue"][0]["code"]), move


async def test_a_plan_without_members_has_no_average(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, organization("empty"))
    given = {"resourceType": "Parameters", "parameter": [{"name": "program", "valueCanonical": IA_HCBS}]}
    answer = (await iowa.post("Organization/empty/$rebalance", json=given)).json()
    assert "average" not in {one["name"] for one in answer["parameter"]}


async def test_a_number_of_hires_is_a_value(iowa: httpx.AsyncClient) -> None:
    parts = [{"name": "count", "valuePositiveInt": 2}]
    assert await answered(iowa, limit(2), {"name": "hire", "part": parts}) == await answered(
        iowa, limit(2), {"name": "hire", "valueInteger": 2}
    )
    response = await asked(iowa, {"name": "hire", "valueString": "two"})
    assert (400, "value") == (response.status_code, response.json()["issue"][0]["code"])


async def test_who_cannot_stay_has_no_price_of_staying(iowa: httpx.AsyncClient) -> None:
    """All but one of Ann's members need continuity: nobody can go instead of that one."""
    flags = [
        {
            "resourceType": "Flag",
            "id": f"f{n}",
            "status": "active",
            "code": coding("cm-flag", "continuity-required"),
            "subject": {"reference": f"Patient/a{n}"},
        }
        for n in range(1, 5)
    ]
    await kept(iowa, *flags)
    [task] = tasks(await answered(iowa, limit(4)))
    assert "stay-cost" not in inputs(task)
    assert "cannot stay" in task["description"]
