"""Sight against a naive oracle: in worlds of chance, every way to ask shows what the rule says, and nothing else."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.app.partition import projections
from server.auth.access import SYSTEM, Acting, Caller, acting
from server.auth.sight import Sight, patients, sight
from server.fhir.body import Body
from server.fhir.definition import RESOURCE_TYPES, compartment
from server.ledger import Change, Plan, View
from server.outcome import Problem
from server.repository import Repository
from server.search import query
from server.search.filter import ALL
from server.search.holds import Judge
from server.search.keeper import OWN_ONLY, WRITER
from server.search.parameter import parameters
from server.store.sqlite.engine import SqliteStore
from tests.scenarios.new_york import asa, day, enrolled

Json = dict[str, Any]
World = dict[str, Json]

NOW = time.time_ns() // 1000
ROOT = Path(__file__).parents[2]
HOUSES = ("Organization/a", "Organization/b", "Organization/c")  # a plan, and two Health Homes
PROGRAMS = {HOUSES[0]: ("ny-mltcp", "elsewhere"), HOUSES[1]: ("ny-health-home",), HOUSES[2]: ("ny-health-home",)}
ROLES = {"PractitionerRole/a1": HOUSES[0], "PractitionerRole/b1": HOUSES[1], "PractitionerRole/c1": HOUSES[2]}
PERSONS = {"Practitioner/a1": HOUSES[0], "Practitioner/b1": HOUSES[1], "Practitioner/x": None}
MEMBERS = tuple(f"Patient/{number}" for number in range(4))
ACTORS = (*HOUSES, *ROLES, *PERSONS, MEMBERS[0], "Organization/nobody")
TYPES = ("CarePlan", "CareTeam", "Communication", "EpisodeOfCare", "Observation", "Patient", "Task")


UNTOLD = {"url": OWN_ONLY, "valueBoolean": True}
SHARING = {"ny-mltcp", "ny-health-home"}


def written_by(house: str) -> Json:
    return {"url": WRITER, "valueReference": {"reference": house}}


def world(seed: int) -> World:
    """Members, who has them, and what is kept of them; agreements that are in force, over, or not there."""
    chance = Random(seed)
    found = [{"resourceType": "Organization", "id": one.partition("/")[2]} for one in HOUSES]
    found += [
        {
            "resourceType": "PractitionerRole",
            "id": role.partition("/")[2],
            "organization": {"reference": house},
            "practitioner": {"reference": f"Practitioner/{role.partition('/')[2]}"},
        }
        for role, house in ROLES.items()
    ]
    persons = {*PERSONS, *(f"Practitioner/{role.partition('/')[2]}" for role in ROLES)}
    found += [{"resourceType": "Practitioner", "id": one.partition("/")[2]} for one in sorted(persons)]
    found += [json.loads((ROOT / "profiles" / "PlanDefinition-ny-mltcp.json").read_text())]
    for number, home in enumerate(HOUSES[1:]):
        if kind := chance.choice(("", "over", "in force")):
            found.append(asa(f"asa{number}", (HOUSES[0], home), end=day(-1) if kind == "over" else None))
    for member in MEMBERS:
        found += [*_member(chance, member), *_care(chance, member)]
    return {f"{one['resourceType']}/{one['id']}": one for one in found}


def _member(chance: Random, member: str) -> Iterable[Json]:
    id = member.partition("/")[2]
    made: Json = {"resourceType": "Patient", "id": id}
    if chance.random() < 0.2:
        made["managingOrganization"] = {"reference": chance.choice(HOUSES)}
    if chance.random() < 0.2:
        made["generalPractitioner"] = [{"reference": chance.choice([*HOUSES, *ROLES, *PERSONS])}]
    yield made
    for house in HOUSES:
        if chance.random() < 0.4:
            program, status = chance.choice(PROGRAMS[house]), chance.choice(("active", "finished", "cancelled"))
            until = day(-3) if chance.random() < 0.2 else None
            made = enrolled(member, program, house, end=until) | {"id": f"{id}-{house[-1]}", "status": status}
            yield made | ({"meta": {"extension": [UNTOLD]}} if chance.random() < 0.2 else {})


def _care(chance: Random, member: str) -> Iterable[Json]:
    who = [*HOUSES, *ROLES, *PERSONS]
    for number in range(8):
        kind, about = chance.choice(TYPES), {"reference": member}
        made: Json = {"resourceType": kind, "id": f"{member.partition('/')[2]}-{number}", "subject": about}
        some = [{"reference": chance.choice(who)} for _ in range(chance.choice((0, 1, 1)))]
        match kind:
            case "CarePlan":
                made |= {"author": some[0]} if some else {}
                made |= {"contributor": [{"reference": chance.choice(who)}]} if chance.random() < 0.2 else {}
            case "CareTeam":
                made |= {"managingOrganization": [{"reference": chance.choice(HOUSES)}]} if some else {}
                made |= {"participant": [{"member": one} for one in some]} if chance.random() < 0.3 else {}
            case "Observation":
                made |= {"code": {"text": "Weight"}, "performer": some}
            case "Task":
                made = {"resourceType": kind, "id": made["id"], "for": about, "status": "requested"}
                made |= {"owner": some[0]} if some else {"status": "cancelled", "owner": {"reference": HOUSES[0]}}
            case "Communication":
                made |= {"status": "completed", "recipient": some}
            case _:
                continue
        yield made | ({"meta": {"extension": [written_by(chance.choice(HOUSES))]}} if chance.random() < 0.5 else {})


# The rule, as docs/access.md says it


def houses(actor: str) -> set[str]:
    """For whom somebody acts."""
    if actor.startswith("Organization/"):
        return {actor}
    if actor.startswith("PractitionerRole/"):
        return {ROLES[actor]}
    return {ROLES[role] for role in ROLES if role.partition("/")[2] == actor.partition("/")[2]}


def selves(actor: str) -> set[str]:
    id = actor.partition("/")[2]
    if actor.startswith("PractitionerRole/"):
        return {actor, f"Practitioner/{id}"}
    return {actor, *(role for role in ROLES if role.partition("/")[2] == id)} if "Practitioner" in actor else {actor}


def names(world: World, links: Iterable[Json], of: set[str], persons: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    """Whether one of these is among organizations, somebody of theirs or a team that they keep; or is one of these."""
    for link in links:
        one = link["reference"]
        if one in of | persons or (houses(one) & of and not one.startswith("Organization/")):
            return True
        if one.startswith("CareTeam/") and names(world, world[one].get("managingOrganization", ()), of):
            return True
    return False


def keepers(one: Json) -> list[Json]:
    match one["resourceType"]:
        case "CarePlan":
            return [*([one["author"]] if "author" in one else []), *one.get("contributor", ())]
        case "CareTeam":
            kept = one.get("managingOrganization", [])
            return kept or [each["member"] for each in one.get("participant", ())]
        case "Observation":
            return list(one.get("performer", ()))
        case "Task":
            return [one["owner"]] if "owner" in one else []
        case "Communication":
            return list(one.get("recipient", ()))
    return [one["managingOrganization"]] if "managingOrganization" in one else []


def member_of(one: Json) -> str:
    link: str = (one.get("subject") or one.get("for") or one.get("patient"))["reference"]
    return link


def has(world: World, actor: str, member: str) -> bool:
    """Whether a member is the actor's own."""
    of, persons, patient = houses(actor), selves(actor), world[member]
    if names(world, [patient.get("managingOrganization", {"reference": ""})], of, persons):
        return True
    if names(world, patient.get("generalPractitioner", ()), of, persons):
        return True
    for one in world.values():
        if one["resourceType"] not in ("EpisodeOfCare", "CareTeam") or member_of(one) != member:
            continue
        if one["resourceType"] == "EpisodeOfCare":
            kept = one["status"] != "cancelled" and one["managingOrganization"]["reference"] in of
        else:
            kept = names(world, [each["member"] for each in one.get("participant", ())], of, persons)
        if kept:
            return True
    return False


def partners(world: World, of: set[str]) -> set[str]:
    executed = [one for one in world.values() if one["resourceType"] == "Contract" and "end" not in one["applies"]]
    sides = [{link["reference"] for link in one["subject"]} for one in executed]
    return {party for parties in sides if parties & of for party in parties} - of


def program(episode: Json) -> str:
    code: str = episode["type"][0]["coding"][0]["code"]
    return code


def episodes(world: World, member: str) -> list[Json]:
    found = (one for one in world.values() if one["resourceType"] == "EpisodeOfCare" and member_of(one) == member)
    return [one for one in found if one["status"] != "cancelled"]


def goes_on(episode: Json) -> bool:
    return episode["status"] != "finished" and "end" not in episode["period"]


def manager(episode: Json) -> str:
    link: str = episode["managingOrganization"]["reference"]
    return link


def is_closed(world: World, actor: str, member: str) -> bool:
    """Whether somebody without an agreement has the member too, or nobody told the actor of it."""
    of = houses(actor)
    found = episodes(world, member)
    own = {program(one) for one in found if manager(one) in of}
    strangers = [one for one in found if manager(one) not in of | partners(world, of) and "meta" not in one]
    others, beside = ({program(one) for one in some} for some in (strangers, filter(goes_on, strangers)))
    sides = (("ny-mltcp", "ny-health-home"), ("ny-health-home", "ny-mltcp"))
    untold = any("meta" in one and manager(one) in of for one in found)
    side = any(mine in own and (theirs in others or mine in beside) for mine, theirs in sides)
    return bool(of) and (untold or side)


def is_former(world: World, actor: str, member: str) -> bool:
    """Whether the actor had the member in what is shared, and others have it now."""
    of, found, patient = houses(actor), episodes(world, member), world[member]
    links = [*patient.get("generalPractitioner", ()), patient.get("managingOrganization", {"reference": ""})]
    going_on = [one for one in found if goes_on(one)]
    return (
        any(manager(one) in of and program(one) in SHARING for one in found)
        and not any(manager(one) in of for one in going_on)
        and any(manager(one) not in of and program(one) in SHARING and "meta" not in one for one in going_on)
        and not names(world, links, of, selves(actor))
    )


def writers(one: Json) -> set[str]:
    said = one.get("meta", {}).get("extension", ())
    return {each["valueReference"]["reference"] for each in said if each["url"] == WRITER}


def is_seen(world: World, actor: str, one: Json) -> bool:
    kind, reference = one["resourceType"], f"{one['resourceType']}/{one['id']}"
    if actor.startswith("Patient/"):
        return reference == actor if kind == "Patient" else member_of(one) == actor
    of, persons = houses(actor), selves(actor)
    if kind == "Patient":
        return has(world, actor, reference) or any(
            each["resourceType"] in ("Task", "Communication")
            and member_of(each) == reference
            and each["status"] != "cancelled"
            and names(world, keepers(each), of, persons)
            and writers(each).isdisjoint(of)
            for each in world.values()
        )
    if names(world, keepers(one), of, persons):
        return True
    if not has(world, actor, member_of(one)):
        return False
    is_former_one = is_former(world, actor, member_of(one))
    if not is_former_one and not is_closed(world, actor, member_of(one)):
        return True
    if writers(one) & of or (kind == "EpisodeOfCare" and program(one) in SHARING):
        return True
    with_us = partners(world, of)
    is_nobodys = not keepers(one) and not writers(one)
    return not is_former_one and (is_nobodys or bool(writers(one) & with_us) or names(world, keepers(one), with_us))


# Every way to ask


async def kept(repository: Repository, world: World) -> None:
    changes = []
    for one in world.values():
        text = Body.of(one)
        changes.append(Change("PUT", one["resourceType"], one["id"], one, text.text(one["id"])))

    async def decide(view: View) -> Plan:
        return Plan(changes)

    await repository.commit(SYSTEM, decide)


async def asked(repository: Repository, actor: str, type: str, *criteria: tuple[str, str]) -> set[str]:
    parsed = await repository.parsed(type, [*criteria, ("_count", "1000")], base_url="", lenient=False)
    page = await repository.search(Caller(actor), parsed)
    assert page.total in (None, len(page.matches))
    return {one.reference for one in (*page.matches, *page.included)}


async def read(repository: Repository, actor: str, reference: str) -> bool:
    try:
        await repository.read(Caller(actor), *reference.split("/"))
    except Problem as problem:
        return problem.kind != "not_found"
    return True


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(ACTORS))
async def test_every_way_to_ask_shows_what_the_rule_says(seed: int, actor: str) -> None:
    whole = world(seed)
    expected = {ref for ref, one in whole.items() if one["resourceType"] in TYPES and is_seen(whole, actor, one)}
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(f"{directory}/s.db", projections(""))
        await store.open()
        try:
            repository = Repository(store, projections(""))
            await kept(repository, whole)
            await _check_all(repository, actor, whole, expected)
        finally:
            await store.close()


async def _check_all(repository: Repository, actor: str, whole: World, expected: set[str]) -> None:
    found = set[str]()
    for type in TYPES:
        found |= await asked(repository, actor, type)
        of_type = {one for one in expected if one.startswith(f"{type}/")}
        assert len(of_type) == len(await asked(repository, actor, type, ("_total", "accurate")))
    assert expected == found
    history = await repository.history(Caller(actor), count=1000)
    told = {one.reference for one in history.matches if one.type in TYPES}
    read_by_id = {one for one in whole if one.partition("/")[0] in TYPES and await read(repository, actor, one)}
    assert expected == told
    unknown = read_by_id - expected
    assert all(one.startswith("Patient/") and not _is_anybodys(whole, one) for one in unknown)
    assert expected <= read_by_id
    for member in MEMBERS:
        along = await asked(repository, actor, "Patient", ("_id", member.partition("/")[2]), ("_revinclude", "*"))
        assert along <= expected | (whole.keys() - {one for one in whole if one.partition("/")[0] in TYPES})
        steps = await asked(repository, actor, "Observation", ("patient._id", member.partition("/")[2]))
        own = {one for one in expected if one.startswith("Observation/") and member_of(whole[one]) == member}
        assert (own if member in expected else set()) == steps
    judge = Judge(await repository.view(SYSTEM), repository.projections.rows)
    whose = sight(await acting(judge.view, actor, NOW))
    stored = (await judge.view.read_many(whole)).values()
    assert expected == {
        one.reference for one in stored if one.type in TYPES and await judge.version(whose.clause(one.type), one)
    }
    view = await repository.view(Caller(actor))
    assert read_by_id == {one for one in await view.read_many(whole) if one.partition("/")[0] in TYPES} | unknown


def _is_anybodys(world: World, patient: str) -> bool:
    one = world[patient]
    listed = (each for each in world.values() if each["resourceType"] in ("EpisodeOfCare", "CareTeam"))
    return bool({"managingOrganization", "generalPractitioner"} & one.keys()) or any(
        member_of(each) == patient for each in listed
    )


# Every type


@pytest.mark.parametrize("type", sorted(type for type, codes in compartment("Patient").items() if codes))
def test_what_is_in_a_patients_compartment_is_not_everybodys(type: str) -> None:
    found = sight(Acting("Organization/a", (), ("Organization/a",)))
    assert ALL != found.clause(type)
    for code in compartment("Patient")[type]:
        change = Change("PUT", type, "1", {}, rows=[(parameters(type)[code].index, "Patient/m2")])
        if code not in ("subject", "link") or "patient" not in parameters(type):
            assert ["Patient/m2" if type != "Patient" else "Patient/1"] == patients(change), (type, code)


def test_what_names_no_patient_is_everybodys() -> None:
    found = Sight(Acting("Organization/a", (), ("Organization/a",)))
    everybodys = {type for type in RESOURCE_TYPES if found.clause(type) == ALL}
    assert {"Organization", "PractitionerRole", "PlanDefinition", "ValueSet", "Location", "Questionnaire"} <= everybodys
    assert everybodys.isdisjoint({"Task", "Contract", "Device", "Binary", "Bundle", "Provenance", "AuditEvent", "List"})


def test_what_stands_below_what_is_hidden_is_not_asked_for() -> None:
    found = Sight(Acting("Organization/a", (), ("Organization/a",)))
    asked = query.parse("Observation", [("encounter:below", "Encounter/1")], base_url="", lenient=False).filter
    with pytest.raises(Problem) as refused:
        found.guarded(asked)
    assert "forbidden" == refused.value.kind
    free = query.parse("Encounter", [("location:below", "Location/1")], base_url="", lenient=False).filter
    assert free == found.guarded(free)
