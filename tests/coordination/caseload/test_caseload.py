"""One test for each line of "What counts towards a cap" and "What a cap refuses", the escapes by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from server.coordination.caseload.caseload import holding
from server.coordination.facts import ENTERED_IN_ERROR, PROGRAM_EXTENSION
from server.coordination.program.plan_definition import RULE_OVERRIDE, RULE_PARAMETER
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.ledger import Resource, micros
from server.outcome import Problem
from tests.coordination.memory import (
    BASE,
    BASE_URL,
    IA_HCBS,
    Memory,
    assigned,
    coding,
    episode,
    fill,
    iowa,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)

A = "PractitionerRole/a"
PAST, YESTERDAY, TODAY, TOMORROW, LATER, LATEST = (
    "2025-01-01",
    "2026-03-09",
    "2026-03-10",
    "2026-03-11",
    "2026-06-01",
    "2026-09-01",
)


async def full() -> Memory:
    """Manager a has m1, m2 and m3, which is the limit; m4 to m6 are enrolled and have nobody."""
    memory = await iowa(3)
    await fill(memory, "a", "m1", "m2", "m3")
    return memory


async def refused(memory: Memory, *resources: Resource | str, **more: Any) -> Problem:
    with pytest.raises(Problem) as found:
        await memory.put(*resources, **more)
    assert "business_rule" == found.value.kind
    assert [f"{IA_HCBS}|1.0.0#IA-04"] == [(issue.details or {})["text"] for issue in found.value.issues]
    return found.value


# What counts


@pytest.mark.requirement("IA-04")
async def test_capped_allows_the_limit_and_refuses_one_more() -> None:
    memory = await full()
    found = await refused(memory, team("m4", assigned(A)))
    assert ("CareTeam.participant[0]",) == found.issues[0].expression
    assert all(
        part in found.issues[0].diagnostics
        for part in ("Practitioner/a", "Organization/mco", "4", "3", TODAY, "IA-04", f"{IA_HCBS}|1.0.0", "Iowa HHS")
    )


@pytest.mark.requirement("IA-04")
async def test_counts_all_roles_of_the_person() -> None:
    memory = await full()
    await memory.put(role("a2", "a"))
    await refused(memory, team("m4", assigned("PractitionerRole/a2")))


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize("reference", [f"{A}/_history/1", f"{BASE_URL}/{A}", f"{BASE_URL}/{A}/_history/2"])
async def test_counts_versioned_and_absolute_references_as_the_same_person(reference: str) -> None:
    await refused(await full(), team("m4", assigned(reference)))


@pytest.mark.parametrize("reference", ["Practitioner/a/_history/1", f"{BASE_URL}/Practitioner/a"])
async def test_counts_the_person_of_a_role_whatever_the_form_of_the_reference(reference: str) -> None:
    memory = await full()
    await memory.put(role("a2", practitioner={"reference": reference}))
    await refused(memory, team("m4", assigned("PractitionerRole/a2")))


async def test_counts_members_once_however_many_teams_they_have() -> None:
    memory = await full()
    await memory.put(team("second", assigned(A), subject={"reference": "Patient/m3"}))
    await refused(memory, team("m4", assigned(A)))


@pytest.mark.requirement("IA-04")
async def test_counts_a_member_of_a_second_team() -> None:
    memory = await full()
    await memory.put(team("m4"))
    await refused(memory, team("second", assigned(A), subject={"reference": "Patient/m4"}))


async def test_counts_merged_patients_as_one() -> None:
    memory = await full()
    await memory.put(patient("m4", link=[{"other": {"reference": "Patient/m3"}, "type": "replaces"}]))
    await memory.put(team("m4", assigned(A)))
    await refused(memory, team("m5", assigned(A)))


@pytest.mark.requirement("IA-01")
async def test_counts_only_members_with_an_episode_of_the_program() -> None:
    memory = await full()
    await memory.put(patient("other"), team("other", assigned(A)))
    await memory.put(episode("other", type=[coding("cm-program", "ny-map")]))


@pytest.mark.requirement("IA-01")
async def test_counts_only_the_programs_role() -> None:
    memory = await full()
    await memory.put(team("m4", assigned(A) | {"role": [coding("cm-role", "case-manager")]}))


async def test_counts_each_organization_of_the_episodes_apart() -> None:
    memory = await full()
    await memory.put(episode("m4", "other"))
    await memory.put(team("m4", assigned(A), managingOrganization=[{"reference": "Organization/mco"}]))
    await refused(memory, team("m5", assigned(A), managingOrganization=[{"reference": "Organization/other"}]))


async def test_counts_in_a_program_that_the_team_does_not_name_unless_the_member_is_in_that_one() -> None:
    memory = await full()
    named = {"extension": [{"url": PROGRAM_EXTENSION, "valueCanonical": f"{BASE}/PlanDefinition/second"}]}
    await refused(memory, team("m4", assigned(A), **named))
    context = [{"code": {"code": "program"}, "valueCodeableConcept": coding("cm-program", "second")}]
    second = limited(9, id="second", url=f"{BASE}/PlanDefinition/second", useContext=context)
    await memory.put(second)
    await refused(memory, team("m4", assigned(A), **named))
    await memory.put(episode("m4"), episode("x4", type=context_type(), patient={"reference": "Patient/m4"}))
    await memory.put(team("m4", assigned(A), **named))
    await refused(memory, episode("x4", type=context_type(), patient={"reference": "Patient/m4"}, end=LATER))


def context_type() -> list[Resource]:
    return [coding("cm-program", "second")]


async def test_counts_planned_episodes_from_their_start() -> None:
    memory = await full()
    await memory.put(episode("m4", start=LATER, status="planned"))
    found = await refused(memory, team("m4", assigned(A)))
    assert LATER in found.issues[0].diagnostics
    await memory.put(team("m4", assigned(A, end="2026-05-31")))


async def test_counts_a_proposed_team_only_when_it_is_active() -> None:
    memory = await full()
    await memory.put(team("m4", assigned(A), status="proposed"))
    await refused(memory, team("m4", assigned(A), status="active"))


async def test_counts_all_programs_where_the_cap_says_so() -> None:
    memory = await iowa(3)
    context = [{"code": {"code": "program"}, "valueCodeableConcept": coding("cm-program", "second")}]
    await memory.put(limited(9, id="second", url=f"{BASE}/PlanDefinition/second", useContext=context))
    await fill(memory, "a", "m1", "m2")
    for number in "78":
        await memory.put(patient(f"m{number}"), episode(f"m{number}", type=context_type()))
    await fill(memory, "a", "m7", "m8")
    everyone = limited(3)
    everyone["action"][2]["extension"].append(
        {
            "url": RULE_PARAMETER,
            "extension": [{"url": "name", "valueCode": "counted"}, {"url": "value", "valueCode": "all"}],
        }
    )
    await memory.put(everyone)
    await refused(memory, team("m3", assigned(A)))


# What raises a count: each is refused above the limit


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    "participants",
    [
        [assigned("PractitionerRole/b"), assigned(A)],
        [assigned("PractitionerRole/b", PAST, TODAY), assigned(A, TOMORROW)],
        [assigned(A, LATER)],
        [assigned(A, LATER, LATEST)],
        [assigned(A, None, None)],
    ],
    ids=["beside another", "after another", "to come", "for a time to come", "no period"],
)
async def test_capped_refuses_a_participant_who_is_added(participants: list[Resource]) -> None:
    memory = await full()
    program = limited(3)
    program["action"][0]["extension"][-1]["extension"][1]["valueBoolean"] = False  # exclusive
    await memory.put(program)
    await refused(memory, team("m4", *participants))


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (assigned(A, PAST, TODAY), assigned(A)),
        (assigned(A, "2030-01-01", "2029-01-01"), assigned(A, "2030-01-01")),
        (assigned(A, LATER) | {"role": [{"text": "friend"}]}, assigned(A, LATER)),
        (assigned("PractitionerRole/b", LATER), assigned(A, LATER)),
        (
            assigned(A, LATER, modifierExtension=[{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "No"}}]),
            assigned(A, LATER),
        ),
    ],
    ids=["period", "empty period", "role", "member", "mistake taken back"],
)
async def test_capped_refuses_a_change_of_a_participant(before: Resource, after: Resource) -> None:
    memory = await iowa(3)
    await memory.put(team("m4", before))
    await fill(memory, "a", "m1", "m2", "m3", start=TOMORROW)
    await refused(memory, team("m4", after))


@pytest.mark.parametrize("status", ["proposed", "suspended"])
async def test_capped_refuses_a_change_of_the_teams_status(status: str) -> None:
    memory = await full()
    await memory.put(team("m4", assigned(A), status=status))
    await refused(memory, team("m4", assigned(A)))


async def test_capped_refuses_to_open_an_inactive_team_again() -> None:
    memory = await full()
    await memory.put(team("m4", assigned(A, LATER), status="inactive"))
    closed = memory.get("CareTeam/m4")["participant"][0]
    await refused(memory, team("m4", closed, assigned(A)))


async def test_capped_refuses_a_change_of_the_teams_subject() -> None:
    memory = await full()
    await memory.put(patient("nobody"))
    made = team("m4", assigned(A, LATER))
    await memory.put(made | {"subject": {"reference": "Patient/nobody"}})
    await refused(memory, made)


async def test_capped_refuses_a_change_of_the_teams_program() -> None:
    memory = await full()
    context = [{"code": {"code": "program"}, "valueCodeableConcept": coding("cm-program", "second")}]
    url = f"{BASE}/PlanDefinition/second"
    await memory.put(limited(9, id="second", url=url, useContext=context))
    await memory.put(episode("x4", type=context_type(), patient={"reference": "Patient/m4"}))
    named = {"extension": [{"url": PROGRAM_EXTENSION, "valueCanonical": url}]}
    await memory.put(team("m4", assigned(A), **named))
    await refused(memory, team("m4", assigned(A)))


@pytest.mark.parametrize(
    "before",
    [
        {"status": "onhold"},
        {"status": "waitlist"},
        {"status": "planned", "start": "2030-01-01", "end": "2029-12-31"},
        {"type": [coding("cm-program", "ny-map")]},
        {"patient": {"reference": "Patient/m3"}},
        {"mco": "other"},
        {"end": YESTERDAY},
        {"statusHistory": [{"status": "active", "period": {"start": PAST, "end": YESTERDAY}}], "status": "onhold"},
    ],
    ids=["onhold", "waitlist", "planned", "type", "patient", "organization", "period", "status history"],
)
async def test_capped_refuses_a_change_of_the_episode(before: dict[str, Any]) -> None:
    memory = await full()
    await memory.put(episode("m4", **before))
    await memory.put(team("m4", assigned(A)))
    await refused(memory, episode("m4"))


async def test_capped_refuses_an_episode_that_makes_a_waiting_assignment_count() -> None:
    memory = await full()
    await memory.put(patient("new"), team("new", assigned(A)))
    found = await refused(memory, episode("new"))
    assert ("EpisodeOfCare",) == found.issues[0].expression


@pytest.mark.requirement("IA-04")
async def test_capped_refuses_a_role_that_changes_its_practitioner() -> None:
    memory = await full()
    await fill(memory, "b", "m4")
    found = await refused(memory, role("b", "a"))
    assert ("PractitionerRole.practitioner",) == found.issues[0].expression


async def test_capped_lets_a_role_change_its_practitioner_and_organization_within_the_limit() -> None:
    memory = await full()
    await memory.put(role("a", "a", "other"))
    await memory.put(practitioner("c"), role("a", "c"))


async def test_capped_refuses_to_merge_patients_where_that_raises_a_count() -> None:
    memory = await full()
    await memory.put(patient("twin"), team("twin", assigned(A)))
    found = await refused(memory, patient("twin", link=[{"other": {"reference": "Patient/m4"}, "type": "replaced-by"}]))
    assert ("Patient.link",) == found.issues[0].expression


@pytest.mark.parametrize("parted", [patient("m3"), "Patient/m3"])
async def test_capped_refuses_to_unmerge_patients_where_that_raises_a_count(parted: Resource | str) -> None:
    memory = await iowa(2)
    await fill(memory, "a", "m1", "m2")
    await memory.put(patient("m3", link=[{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]))
    await memory.put(team("m3", assigned(A)))
    await refused(memory, parted)


@pytest.mark.requirement("IA-04")
async def test_capped_counts_all_of_a_transaction_together() -> None:
    memory = await iowa(3)
    await fill(memory, "a", "m1", "m2")
    await refused(memory, team("m3", assigned(A)), team("m4", assigned(A)))
    assert "CareTeam/m3" not in memory.versions
    await memory.put(team("m3", assigned(A)))


async def test_capped_takes_a_transaction_that_moves_one_out_and_one_in() -> None:
    memory = await full()
    await memory.put(team("m1", assigned(A, PAST, YESTERDAY)), team("m4", assigned(A)))


async def test_capped_says_which_of_the_written_resources_raise_the_count() -> None:
    memory = await full()
    found = await refused(memory, team("m5", assigned("PractitionerRole/b")), team("m4", assigned(A)))
    assert (("CareTeam/m4",), ("CareTeam.participant[0]",)) == (found.issues[0].resources, found.issues[0].expression)
    await memory.put(patient("n"), team("n", assigned(A)), patient("o"))
    found = await refused(memory, episode("o"), episode("n"))
    assert (("EpisodeOfCare/n",), ("EpisodeOfCare",)) == (found.issues[0].resources, found.issues[0].expression)


async def test_capped_names_everybody_whose_count_would_be_too_high() -> None:
    memory = await full()
    await memory.put(patient("n"), *(episode(id) for id in ("n",)))
    for id in ("n1", "n2", "n3"):
        await memory.put(patient(id), episode(id))
    await fill(memory, "b", "n1", "n2", "n3")
    with pytest.raises(Problem) as found:
        await memory.put(team("m4", assigned(A)), team("m5", assigned("PractitionerRole/b")))
    assert 2 == len(found.value.issues)


# What passes


@pytest.mark.requirement("IA-02")
async def test_capped_lets_the_past_be_recorded() -> None:
    memory = await full()
    await memory.put(team("m4", assigned(A, PAST, YESTERDAY)))


@pytest.mark.requirement("IA-02")
async def test_capped_refuses_nothing_before_the_limit_is_in_force() -> None:
    memory = await iowa(1)
    memory.now = memory.now.replace(year=2024)
    await fill(memory, "a", "m1", "m2", start="2024-01-01", end="2024-12-31")
    with pytest.raises(Problem) as found:
        await fill(memory, "a", "m3", "m4", start="2024-12-01")
    assert PAST in found.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "changed",
    [
        [team("m4", assigned(A), name="Edited")],
        [team("m4", assigned(A, PAST, LATER))],
        [team("m4", assigned(A, PAST, YESTERDAY))],
        [team("m4", assigned(A, PAST, YESTERDAY), assigned("PractitionerRole/b", TODAY))],
        [team("m4", assigned(A), status="inactive")],
        [episode("m4", status="finished", end=TODAY)],
        [practitioner("a", active=True)],
        [role("a", telecom=[{"system": "phone", "value": "1"}])],
        [team("m4", assigned(A, PAST, YESTERDAY)), team("m5", assigned(A))],
    ],
    ids=["edited", "to end", "ended", "handed over", "inactive", "finished", "person", "role", "one for one"],
)
async def test_capped_lets_who_is_above_the_limit_be_edited_corrected_and_relieved(changed: Sequence[Resource]) -> None:
    memory = await iowa(3)
    await memory.put(limited(9))
    await fill(memory, "a", "m1", "m2", "m3", "m4")
    await memory.put(limited(3))
    await memory.put(*changed)


@pytest.mark.requirement("IA-04")
async def test_capped_refuses_who_is_above_the_limit_one_more() -> None:
    memory = await iowa(3)
    await memory.put(limited(9))
    await fill(memory, "a", "m1", "m2", "m3", "m4")
    await memory.put(limited(3))
    await refused(memory, team("m5", assigned(A)))


@pytest.mark.requirement("IA-04")
async def test_capped_holds_over_the_whole_period() -> None:
    memory = await iowa(2)
    await fill(memory, "a", "m1", start=LATER)
    await fill(memory, "a", "m2", start=LATER, end=LATEST)
    await memory.put(team("m3", assigned(A, PAST, "2026-05-31")))
    found = await refused(memory, team("m4", assigned(A)))
    assert LATER in found.issues[0].diagnostics
    await memory.put(team("m4", assigned(A, "2026-09-02")))
    await refused(memory, team("m5", assigned(A, LATEST, LATEST)))


async def test_capped_takes_who_follows_at_the_instant_at_which_another_ends() -> None:
    memory = await full()
    switch = "2026-06-01T00:00:00-05:00"
    await memory.put(team("m1", assigned(A, PAST, switch)))
    await memory.put(team("m4", assigned(A, switch)))
    await refused(memory, team("m5", assigned(A, switch)))


@pytest.mark.requirement("IA-02")
async def test_capped_follows_a_limit_that_changes_on_its_date() -> None:
    memory = await full()
    await memory.put(limited(2, effectivePeriod={"start": "2027-01-01"}))
    await memory.put(team("m1", assigned(A, PAST, TODAY)))
    with pytest.raises(Problem) as found:
        await memory.put(team("m4", assigned(A, TOMORROW)))
    assert "2027-01-01" in found.value.issues[0].diagnostics
    await memory.put(team("m4", assigned(A, TOMORROW, "2026-12-31")))


async def test_capped_does_not_refuse_what_a_lower_limit_makes_a_breach() -> None:
    memory = await full()
    await memory.put(limited(1))


async def test_capped_admits_what_a_load_takes_as_recorded_and_no_request_that_says_so() -> None:
    memory = await full()
    await refused(memory, team("m4", assigned(A)), override=dict(AS_RECORDED))
    await memory.put(team("m4", assigned(A)), override=AS_RECORDED)


@pytest.mark.parametrize(
    ("admitted", "actor", "reason"),
    [
        (True, "PractitionerRole/boss", "emergency"),
        (True, None, "emergency"),
        (True, "Practitioner/b", "emergency"),
        (False, "Practitioner/a", "emergency"),
        (False, "Patient/m1", "emergency"),
        (False, "PractitionerRole/a", "emergency"),
        (False, "PractitionerRole/boss", "whim"),
        (False, "PractitionerRole/boss", None),
        (False, "PractitionerRole/unknown", "emergency"),
    ],
)
async def test_capped_may_be_overridden_by_whom_the_rule_names_with_a_reason_that_it_names(
    admitted: bool, actor: str | None, reason: str | None
) -> None:
    memory = await full()
    await memory.put(role("boss", "b", code=[coding("cm-role", "area-manager")]))
    program = limited(3)
    roles = {"url": "role", "valueCoding": coding("cm-role", "area-manager")["coding"][0]}
    reasons = {"url": "reason", "valueCoding": {"system": "urn:reasons", "code": "emergency"}}
    program["action"][2]["extension"].append({"url": RULE_OVERRIDE, "extension": [roles, reasons]})
    await memory.put(program)
    override = {"coding": [{"system": "urn:reasons", "code": reason}]} if reason else None
    if admitted:
        await memory.put(team("m4", assigned(A)), actor=actor, override=override)
    else:
        await refused(memory, team("m4", assigned(A)), actor=actor, override=override)


async def test_capped_looks_only_at_what_triggers_the_rule() -> None:
    memory = await full()
    program = limited(3)
    program["action"][2]["condition"] = [
        {"kind": "applicability", "expression": {"language": "text/fhirpath", "expression": "name = 'counted'"}}
    ]
    await memory.put(program)
    await memory.put(team("m4", assigned(A)))
    await refused(memory, team("m5", assigned(A), name="counted"))


# What one manager has


async def numbers(memory: Memory, role: str = A) -> tuple[int, int, int | None, int | None]:
    known = await active(memory)
    now = micros(memory.now)
    found = await holding(memory, role, known, known.near(IA_HCBS, now), now)
    return len(found.members), found.reserved, found.limit, found.remaining


@pytest.mark.requirement("IA-26")
async def test_holding_tells_members_from_places_that_are_reserved() -> None:
    memory = await iowa(5)
    await memory.put(episode("m3", status="planned", start=LATER))
    await fill(memory, "a", "m1", "m3")
    await fill(memory, "a", "m2", start=LATER)
    assert (1, 2, 5, 2) == await numbers(memory)
    await fill(memory, "a", "m4", end=TODAY)
    assert (2, 2, 5, 2) == await numbers(memory)
    assert (0, 0, 5, 5) == await numbers(memory, "PractitionerRole/b")


async def test_holding_leaves_nothing_where_the_manager_is_above_the_limit() -> None:
    memory = await full()
    await memory.put(limited(2))
    assert (3, 0, 2, 0) == await numbers(memory)


async def test_holding_is_of_the_roles_organization_or_of_where_the_members_are() -> None:
    memory = await iowa(5)
    await memory.put(organization("agency"), role("a", "a", "agency"))
    await fill(memory, "a", "m1", "m2")
    assert (2, 0, 5, 3) == await numbers(memory)
