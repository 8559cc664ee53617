"""The cap against a naive recount: every day on its own, from the resources' JSON, with nothing of the rules' code."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import Memory, assigned, episode, limited, patient, practitioner, role, team

LIMIT = 1
NOON = date(2026, 3, 10)
HORIZON = 12
MEMBERS = ["m1", "m2", "m3", "m4"]
ROLES = {"r1": "a", "r2": "a", "r3": "b"}

days = st.integers(-3, HORIZON - 2)
later = st.integers(1, HORIZON - 2)
spans = st.tuples(days, st.none() | st.integers(0, 6))
later_spans = st.tuples(later, st.none() | st.none() | st.integers(2, 6))


def text(day: int) -> str:
    return (NOON + timedelta(days=day)).isoformat()


def dated(span: tuple[int, int | None]) -> dict[str, Any]:
    start, length = span
    return {"start": text(start), "end": None if length is None else text(start + length)}


participants = st.lists(
    st.builds(
        lambda id, span: assigned(f"PractitionerRole/{id}", **dated(span)), st.sampled_from(sorted(ROLES)), later_spans
    ),
    min_size=1,
    max_size=2,
)
teams = st.builds(
    lambda id, member, made, status: team(id, *made, status=status, subject={"reference": f"Patient/{member}"}),
    st.sampled_from(["t1", "t2", "t3", "t4", "t5"]),
    st.sampled_from(MEMBERS),
    participants,
    st.sampled_from(["active", "active", "active", "proposed", "suspended"]),
)
episodes = st.builds(
    lambda id, member, mco, status, span: episode(
        id, mco, **dated(span), status=status, patient={"reference": f"Patient/{member}"}
    ),
    st.sampled_from(["e1", "e2", "e3", "e4", "e5"]),
    st.sampled_from(MEMBERS),
    st.sampled_from(["mco", "other"]),
    st.sampled_from(["active", "active", "planned", "onhold", "finished"]),
    spans,
)
patients = st.builds(
    lambda id, other: patient(
        id, **({"link": [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]} if other != id else {})
    ),
    st.sampled_from(MEMBERS),
    st.sampled_from(MEMBERS),
)
roles = st.builds(lambda id, person: role(id, person), st.sampled_from(sorted(ROLES)), st.sampled_from(["a", "b"]))
commits = st.lists(
    st.one_of(teams, teams, teams, episodes, patients, roles),
    min_size=1,
    max_size=3,
    unique_by=lambda r: (r["resourceType"], r["id"]),
)


def holds(period: Resource, day: date) -> bool:
    return period.get("start", "0") <= day.isoformat() <= period.get("end", "9")


def recount(resources: dict[str, Resource], day: date) -> dict[tuple[str, str], int]:
    """Members of each (practitioner, organization) on a day."""
    same = {f"Patient/{id}": f"Patient/{id}" for id in MEMBERS}
    for one in resources.values():
        for link in one.get("link", ()):
            mine, other = same[f"Patient/{one['id']}"], same[link["other"]["reference"]]
            same = {key: other if value == mine else value for key, value in same.items()}
    enrolled: dict[str, set[str]] = {}
    for one in resources.values():
        if one["resourceType"] != "EpisodeOfCare" or not holds(one["period"], day):
            continue
        if one["status"] in {"active", "planned"} or (one["status"] == "finished" and "end" in one["period"]):
            member = same[one["patient"]["reference"]]
            enrolled.setdefault(member, set()).add(one["managingOrganization"]["reference"])
    counted: dict[tuple[str, str], set[str]] = {}
    for one in resources.values():
        if one["resourceType"] != "CareTeam" or one["status"] == "proposed":
            continue
        member = same[one["subject"]["reference"]]
        for participant in one["participant"]:
            open_and_suspended = one["status"] == "suspended" and "end" not in participant["period"]
            if holds(participant["period"], day) and not open_and_suspended:
                person = resources[participant["member"]["reference"]]["practitioner"]["reference"]
                for organization in enrolled.get(member, ()):
                    counted.setdefault((person, organization), set()).add(member)
    return {key: len(found) for key, found in counted.items()}


def breaks(before: dict[str, Resource], after: dict[str, Resource]) -> bool:
    """True where on some day from today on somebody's count rises above the limit."""
    for offset in range(3 * HORIZON):
        day = NOON + timedelta(days=offset)
        was, now = recount(before, day), recount(after, day)
        if any(number > LIMIT and number > was.get(key, 0) for key, number in now.items()):
            return True
    return False


def shared(limit: int) -> Resource:
    """The program with the cap alone: several managers at once are let be."""
    program = limited(limit)
    program["action"][0]["extension"][-1]["extension"][1]["valueBoolean"] = False
    return program


@settings(max_examples=150, deadline=None)
@given(st.lists(commits, max_size=14))
async def test_capped_decides_as_a_naive_recount_does(history: list[list[Resource]]) -> None:
    memory = Memory()
    first = [patient(id) for id in MEMBERS]
    first += [episode(f"e{number}", patient={"reference": f"Patient/m{number}"}) for number in range(1, 5)]
    first += [practitioner("a"), practitioner("b"), *(role(id, person) for id, person in ROLES.items())]
    await memory.put(shared(LIMIT), *first)
    stands = {f"{one['resourceType']}/{one['id']}": one for one in first}
    for commit in history:
        after = stands | {f"{one['resourceType']}/{one['id']}": one for one in commit}
        refused = await refusal(memory, commit)
        assert breaks(stands, after) == bool(refused)
        if refused:
            assert {"caseload-cap"} == {(issue.details or {})["coding"][0]["code"] for issue in refused.issues}
        else:
            stands = after


async def refusal(memory: Memory, commit: list[Resource]) -> Problem | None:
    try:
        await memory.put(*commit)
    except Problem as problem:
        return problem
    return None
