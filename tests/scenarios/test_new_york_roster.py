"""New York: a whole roster is checked at once, of any size, and goes on where it was broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from typer.testing import CliRunner

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.cli import app
from server.coordination.responsibility.check import When
from server.coordination.write import AS_RECORDED
from server.fhir import body
from server.interactions.exchange import Server
from server.ledger import Plan, View, micros
from server.load import shipped
from server.lookout import _Lookout
from server.operations import roster
from server.operations.roster import Asked
from server.search.filter import ALL
from server.settings import Settings
from tests.coordination.memory import change, patient
from tests.scenarios.iowa import Json, kept
from tests.scenarios.new_york import (
    HAL,
    HOME,
    NY_MLTCP,
    OTHER,
    PAT,
    PLAN,
    acting,
    asa,
    enrolled,
    manager,
    new_york,
    organization,
)
from tests.scenarios.new_york_care import appendix, noon, ordered, position, visit

MANY = 12


def people(count: int, program: str = "ny-mltcp") -> list[Json]:
    """Members of both, of whom every third has a service of both."""
    found: list[Json] = []
    for number in range(count):
        id = f"r{number}"
        about = {"subject": {"reference": f"Patient/{id}"}}
        found += [patient(id), enrolled(f"Patient/{id}", program, PLAN)]
        found += [enrolled(f"Patient/{id}", "ny-health-home", HOME), ordered(f"p-{id}", "personal-care", PAT) | about]
        if number % 3 == 0:
            found.append(ordered(f"h-{id}", "personal-care", HAL) | about)
    return found


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[Server]:
    """A store with a roster that was taken as recorded: nothing was checked as it was written."""
    async with opened(settings) as server:
        await shipped.programs(server)
        staff = [*map(organization, (PLAN, HOME, OTHER)), *manager(PAT, PLAN), *manager(HAL, HOME)]
        await recorded(server, *staff, asa(), *people(MANY))
        yield server


async def recorded(server: Server, *resources: Json) -> None:
    async def decide(view: View) -> Plan:
        return Plan([change(one) for one in resources])

    await server.repository.commit(SYSTEM, decide, override=AS_RECORDED)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of few episodes, commits of few members."""
    monkeypatch.setattr(roster, "PAGE", 5)
    monkeypatch.setattr(roster, "FEW", 2)


@pytest.mark.requirement("NY-19")
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("whose", [None, PLAN, HOME])
async def test_every_member_is_counted_once_and_kept_as_found(here: Server, whose: str | None) -> None:
    steps: list[tuple[int, int]] = []
    asked = Asked(whose, shown=2)
    reading = await roster.read(here.repository, SYSTEM, asked, When(micros(datetime.now(UTC))))
    found = await roster.kept(here.repository, SYSTEM, asked, lambda done, of, _: steps.append((done, of)))
    assert (MANY, 4, {"duplicate-coordination": 4}) == (found.members, found.concerned, dict(found.found))
    assert (found.found, 0, 2) == (reading.found, reading.written, len(reading.issues))
    assert 8 == found.written  # an issue and a Task each
    assert [(5, MANY), (10, MANY), (12, MANY)] == steps
    assert 0 == (await roster.kept(here.repository, SYSTEM, asked)).written


async def test_roster_of_another_organization_and_program_is_empty(here: Server) -> None:
    now = When(micros(datetime.now(UTC)))
    other = await roster.read(here.repository, SYSTEM, Asked(OTHER), now)
    elsewhere = await roster.read(here.repository, SYSTEM, Asked(PLAN, NY_MLTCP.replace("mltcp", "map")), now)
    assert (0, 0) == (other.members, elsewhere.members)


@pytest.mark.usefixtures("small")
async def test_run_that_was_broken_off_goes_on_at_its_cursor(here: Server) -> None:
    reached: list[str] = []

    def watch(done: int, of: int, cursor: str) -> None:
        reached.append(cursor)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await roster.kept(here.repository, SYSTEM, Asked(PLAN), watch)
    rest = await roster.kept(here.repository, SYSTEM, Asked(PLAN, cursor=reached[0]))
    assert (MANY - 5, 4) == (rest.members, rest.written)
    assert 0 == (await roster.kept(here.repository, SYSTEM, Asked(PLAN))).written


async def test_as_of_reads_what_held_then(here: Server) -> None:
    when = When(micros(datetime.now(UTC)), "2024-06-01")
    assert 0 == (await roster.read(here.repository, SYSTEM, Asked(PLAN), when)).members


async def test_look_finds_what_comes_with_time_and_what_many_depend_on(here: Server) -> None:
    lookout = _Lookout(here.repository)
    now = datetime.now(UTC)
    assert [True, False] == [await lookout.check(now) for _ in range(2)]
    assert 4 == len(await of_type(here, "DetectedIssue"))
    await recorded(here, asa(term=appendix(("personal-care", "in-plan", HOME), code="appendix-a")))
    assert [True, False] == [await lookout.check(now) for _ in range(2)]
    assert MANY == len(await of_type(here, "DetectedIssue"))
    assert await lookout.check(now + timedelta(hours=1))


@pytest.mark.requirement("NY-19")
async def test_look_resolves_contacts_that_have_left_the_window(here: Server) -> None:
    lookout, now = _Lookout(here.repository), datetime.now(UTC)
    await lookout.check(now)
    about = {"subject": {"reference": "Patient/r1"}}
    await recorded(here, visit("v", PLAN, noon(-29)) | about, visit("w", HOME, noon(-29)) | about)
    assert 1 == (await roster.kept(here.repository, SYSTEM, Asked())).found["duplicate-coordination"] - 4
    (issue,) = [one for one in await of_type(here, "DetectedIssue") if "Encounter/v" in str(one)]
    assert await lookout.check(now + timedelta(days=3))
    (after,) = [one for one in await of_type(here, "DetectedIssue") if one["id"] == issue["id"]]
    assert ("mitigation" not in issue, "resolved") == (True, after["mitigation"][0]["action"]["coding"][0]["code"])


async def of_type(server: Server, type: str) -> list[Json]:
    view = await server.repository.view(SYSTEM)
    return [body.loads(one.body or b"") for one in await view.search(type, ALL, 1000)]


async def test_command_says_what_it_found(here: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_STORE", settings.store)
    for option, written in (("--read", 0), ("--keep", 8), ("--keep", 0)):
        arguments = ["coordination-check", "--organization", PLAN, option]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert 0 == result.exit_code, result.output
        assert f"{MANY} members, 4 with an issue; {written} resources written\n" in result.output
        assert "4 duplicate-coordination\n" in result.output


# Over HTTP


def numbers(report: Json) -> dict[str, int]:
    return {one["code"]["coding"][0]["code"]: one["count"] for one in report["group"][0]["population"]}


@pytest.mark.requirement("NY-05", "NY-10", "NY-19")
async def test_organization_is_told_of_its_roster(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, *people(6))
    asked = {"program": NY_MLTCP, "count": "1"}
    response = await client.get(f"{PLAN}/$coordination-check", params=asked, headers=acting(PLAN))
    assert 200 == response.status_code, response.text
    report, issue = [one["resource"] for one in response.json()["entry"]]
    assert ("MeasureReport", "DetectedIssue") == (report["resourceType"], issue["resourceType"])
    expected = {"members": 7, "concerned": 2, "written": 0, "duplicate-coordination": 2}
    assert expected == numbers(report)
    before = await position(client)
    body = {"resourceType": "Parameters"}
    again = await client.post(f"{PLAN}/$coordination-check", json=body)
    assert (expected, before) == (numbers(again.json()["entry"][0]["resource"]), await position(client))
    assert 403 == (await client.get(f"{PLAN}/$coordination-check", headers=acting(HOME))).status_code
    assert 404 == (await client.get("Organization/nobody/$coordination-check")).status_code


async def test_roster_is_checked_later_and_says_how_far_it_is(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    later = {"Prefer": "respond-async"}
    response = await client.get(f"{PLAN}/$coordination-check", headers=later)
    assert 202 == response.status_code
    async with asyncio.timeout(240):
        while (status := await client.get(response.headers["content-location"])).status_code == 202:
            assert "x-progress" in status.headers
            await asyncio.sleep(0.02)
    (output,) = status.json()["output"]
    assert "Bundle" == output["type"]
