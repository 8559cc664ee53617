"""What Iowa Medicaid watches, over HTTP: numbers of any date and over time, of one plan and of all, and breaches."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.measurereport import MeasureReport

from server.fhir import body
from server.validation.element import validate
from tests.answers import places, refusal
from tests.coordination.memory import (
    BASE,
    IA_HCBS,
    assigned,
    coding,
    episode,
    organization,
    patient,
    period,
    practitioner,
    role,
    shipped,
    team,
)
from tests.process import STARTED, careplan, serving
from tests.scenarios.iowa import (
    ANN,
    BOB,
    CAP,
    MCO,
    Json,
    day,
    extensions,
    kept,
    midnight,
    near_the_cap,
    opened,
    parameters,
    populations,
    put,
    roster,
    run,
)

REPORT = f"Organization/{MCO}/$caseload-report"


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await near_the_cap(client)


async def report(client: httpx.AsyncClient, url: str = REPORT, **given: Any) -> Json:
    """The MeasureReport, asked by POST of `name=("valueType", value)`."""
    response = await client.post(url, json=parameters(program=("valueCanonical", IA_HCBS), **given))
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    MeasureReport.model_validate(found)
    assert [] == validate(body.loads(response.content))
    return found


async def rows(client: httpx.AsyncClient, url: str = REPORT, **given: Any) -> list[dict[str, str]]:
    """A table's rows by column."""
    asked = parameters(program=("valueCanonical", IA_HCBS), **given)
    response = await client.post(url, json=asked, headers={"Accept": "text/csv"})
    assert 200 == response.status_code, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


def groups(found: Json, code: str) -> list[Json]:
    return [group for group in found["group"] if group["code"]["coding"][0]["code"] == code]


def strata(group: Json, code: str) -> list[Json]:
    for stratifier in group.get("stratifier", ()):
        if [code] == [one["coding"][0]["code"] for one in stratifier["code"]]:
            found: list[Json] = stratifier["stratum"]
            return found
    return []


OVER = {"period": ("valuePeriod", period("2025-12-15", "2026-02-28")), "interval": ("valueCode", "month")}


@pytest.mark.requirement("IA-03", "IA-26")
async def test_a_series_has_every_number_at_every_step_of_a_period(iowa: httpx.AsyncClient) -> None:
    await put(iowa, team("bob-0", assigned(BOB, "2025-01-01", "2025-12-31")))
    [series] = groups(await report(iowa, **OVER), "series")
    found = {one["value"]["text"]: (populations(one), one["measureScore"]["value"]) for one in strata(series, "date")}
    rest = {"above-limit": 0, "highest": 49}
    assert {
        "2025-12-15T00:00:00-06:00": ({"members": 50, "managers": 2, "unassigned": 9} | rest, 25),
        "2026-01-01T00:00:00-06:00": ({"members": 49, "managers": 1, "unassigned": 10} | rest, 49),
        "2026-02-01T00:00:00-06:00": ({"members": 49, "managers": 1, "unassigned": 10} | rest, 49),
    } == found
    table = await rows(iowa, **OVER)
    assert [("50", "25"), ("49", "49"), ("49", "49")] == [(row["members"], row["average"]) for row in table]
    by_manager = await rows(iowa, **OVER, table=("valueCode", "manager-series"))
    assert ["1"] == [row["members"] for row in by_manager if row["practitioner"] == "Practitioner/bob"]


@pytest.mark.requirement("IA-26")
async def test_a_period_has_a_series_without_an_interval(iowa: httpx.AsyncClient) -> None:
    found = await report(iowa, period=("valuePeriod", period("2025-12-15", "2026-02-28")))
    [series] = groups(found, "series")
    dates = [one["value"]["text"][:10] for one in strata(series, "date")]
    assert (11, "2025-12-15", "2025-12-22", "2026-02-23") == (len(dates), dates[0], dates[1], dates[-1])
    assert not groups(await report(iowa), "series")


@pytest.mark.requirement("IA-26")
async def test_a_series_with_detail_has_each_manager_on_each_date(iowa: httpx.AsyncClient) -> None:
    [series] = groups(await report(iowa, **OVER, detail=("valueBoolean", True)), "series")
    [both] = [one for one in series["stratifier"] if len(one["code"]) == 2]
    assert 6 == len(both["stratum"])
    first = both["stratum"][0]
    assert ["Practitioner/ann", "2025-12-15T00:00:00-06:00"] == [one["value"]["text"] for one in first["component"]]
    assert {"members": 49} == populations(first)


@pytest.mark.requirement("IA-26", "IA-27", "IA-28")
async def test_the_report_says_how_members_and_lengths_are_distributed(iowa: httpx.AsyncClient) -> None:
    [group] = groups(await report(iowa), "statewide-average")
    spread = {}
    for one in extensions(group, "distribution"):
        parts = {part["url"]: part for part in one["extension"]}
        spread[parts["of"]["valueCode"]] = (
            parts["count"]["valueInteger"],
            *(parts[name]["valueQuantity"]["value"] for name in ("minimum", "median", "maximum")),
        )
    assert (2, 1, 25, 49) == spread["members"]
    assert 50 == spread["assignment-length"][0]
    assert {"1": 1, "49": 1} == {
        one["value"]["text"]: populations(one)["managers"] for one in strata(group, "members-held")
    }
    table = await rows(iowa, table=("valueCode", "distribution"))
    assert [("1", "1"), ("49", "1")] == [(row["members held"], row["managers"]) for row in table]


@pytest.mark.requirement("IA-03", "IA-29")
async def test_the_state_sees_all_plans_in_one_answer(iowa: httpx.AsyncClient) -> None:
    others = roster({"cid": 3})
    for one in others:
        for name in ("organization", "managingOrganization"):
            if isinstance(one.get(name), dict):
                one[name] = {"reference": "Organization/ia-wellpoint"}
    await kept(iowa, *others)
    found = await report(iowa, "Organization/$caseload-report")
    plans = groups(found, "statewide-average")
    assert [
        ("Organization/ia-molina", {"members": 50, "managers": 2, "unassigned": 9}),
        ("Organization/ia-wellpoint", {"members": 3, "managers": 1, "unassigned": 0}),
    ] == [(extensions(one, "report-organization")[0]["valueReference"]["reference"], populations(one)) for one in plans]
    [total] = groups(found, "all-organizations")
    assert ({"members": 53, "managers": 3}, 17.6667) == (populations(total), total["measureScore"]["value"])
    assert "reporter" not in found
    table = await rows(iowa, "Organization/$caseload-report")
    assert {("Organization/ia-molina", "49"), ("Organization/ia-wellpoint", "3")} <= {
        (row["organization"], row["members"]) for row in table
    }
    response = await iowa.get("Organization/$caseload-report", params={"program": IA_HCBS})
    assert 200 == response.status_code


@pytest.mark.requirement("IA-26", "IA-27", "IA-29")
async def test_each_number_can_be_expanded_to_what_is_behind_it(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, patient("x"), episode("x", MCO), team("x", assigned(BOB, "2026-01-01")))
    found = await report(iowa, detail=("valueBoolean", True), asOf=("valueDate", "2026-02-01"))
    lists = {one["id"]: one["entry"] for one in found["contained"]}

    def behind(of: Json, code: str) -> list[Json]:
        [one] = [one for one in of["population"] if one["code"]["coding"][0]["code"] == code]
        entries: list[Json] = lists[one["subjectResults"]["reference"].removeprefix("#")]
        assert one["count"] == len(entries)
        return entries

    [group] = groups(found, "statewide-average")
    assert 51 == len(behind(group, "members"))
    assert [f"Patient/w{number}" for number in range(1, 10)] == [
        one["item"]["reference"] for one in behind(group, "unassigned")
    ]
    assert ["Practitioner/ann", "Practitioner/bob"] == [one["item"]["reference"] for one in behind(group, "managers")]
    bob = strata(group, "manager")[1]
    [_, new] = behind(bob, "members")
    evidence = {part["url"]: part for part in new["extension"][0]["extension"]}
    assert ("CareTeam/x", "2026-01-01T00:00:00-06:00") == (
        evidence["careTeam"]["valueReference"]["reference"],
        evidence["since"]["valueDateTime"],
    )
    assert 2 == len(behind(bob, "individuals"))
    assert 51 == len(found["evaluatedResource"])


@pytest.mark.requirement("IA-26")
@pytest.mark.parametrize(
    ("given", "issue"),
    [
        ({"interval": ("valueCode", "month")}, "required"),
        (OVER | {"interval": ("valueCode", "fortnight")}, "value"),
        ({"period": ("valuePeriod", period("1900-01-01", "2100-01-01")), "interval": ("valueCode", "day")}, "invalid"),
        ({"period": ("valuePeriod", period("2026-02-01", "2026-01-01"))}, "invariant"),
    ],
)
async def test_a_series_that_makes_no_sense_is_refused(iowa: httpx.AsyncClient, given: Json, issue: str) -> None:
    response = await iowa.post(REPORT, json=parameters(program=("valueCanonical", IA_HCBS), **given))
    assert (400, [issue]) == refusal(response)


@pytest.mark.parametrize(("table", "issue"), [("colors", "value"), ("series", "required")])
async def test_a_table_that_is_not_there_is_refused(iowa: httpx.AsyncClient, table: str, issue: str) -> None:
    asked = parameters(program=("valueCanonical", IA_HCBS), table=("valueCode", table))
    assert (400, [issue]) == refusal(await iowa.post(REPORT, json=asked, headers={"Accept": "text/csv"}))


@pytest.mark.requirement("IA-02", "IA-03", "IA-04")
async def test_a_breach_in_a_period_says_when_it_began_and_ended(iowa: httpx.AsyncClient) -> None:
    over = {"period": ("valuePeriod", period(day(-30), day(0)))}
    plan = (await iowa.get("PlanDefinition/ia-hcbs")).json()
    plan["action"][2]["extension"][-1]["extension"][1]["valueInteger"] = 48
    await put(iowa, plan)
    await put(iowa, team("ann-0", assigned(ANN, "2025-01-01", day(-10))))
    [row] = await rows(iowa, **over, table=("valueCode", "breaches"))
    assert ("IA-04", "Practitioner/ann", "48", "49", "2025-01-01T00:00:00-06:00") == tuple(
        row[name] for name in ("rule", "practitioner", "limit", "number", "since")
    )
    assert row["until"].startswith(day(-9))


# Breaches


async def lowered(client: httpx.AsyncClient, *, average: int = 45, cap: int = 50) -> None:
    """Iowa's program with other limits."""
    plan = (await client.get("PlanDefinition/ia-hcbs")).json()
    plan["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = average
    plan["action"][2]["extension"][-1]["extension"][1]["valueInteger"] = cap
    assert 200 == (await put(client, plan)).status_code


async def found(client: httpx.AsyncClient, query: str, status: str | None = None) -> list[Json]:
    """What a search finds, in a status (which R4 cannot search Flags by)."""
    response = await client.get(query)
    assert 200 == response.status_code, response.text
    every = [entry["resource"] for entry in response.json().get("entry", ())]
    return [one for one in every if status in {None, one["status"]}]


@pytest.mark.requirement("IA-03")
async def test_an_average_of_45_passes_and_the_least_more_is_flagged(client: httpx.AsyncClient) -> None:
    await kept(client, shipped(), organization(MCO), *roster({"ann": 45, "bob": 45}, waiting=1))
    await report(client)
    assert [] == await found(client, "Flag")
    await kept(client, team("w1", assigned(BOB, day(-3))))
    await report(client)
    [flag] = await found(client, f"Flag?subject=Organization/{MCO}", "active")
    assert midnight(-3) == flag["period"]["start"]
    [task] = await found(client, f"Task?owner=Organization/{MCO}&status=requested")
    assert "91 members with 2 case managers, more than 45 on average" in task["description"]
    assert {"reference": f"Flag/{flag['id']}"} == task["focus"]
    [group] = groups(await report(client), "statewide-average")
    parts = {part["url"]: part for part in extensions(group, "caseload-breach")[0]["extension"]}
    assert (midnight(-3), 45.5) == (parts["date"]["valueDateTime"], group["measureScore"]["value"])


@pytest.mark.requirement("IA-03", "IA-04")
async def test_flags_are_ended_when_the_breach_is_over(iowa: httpx.AsyncClient) -> None:
    await lowered(iowa, average=20, cap=48)
    await report(iowa)
    flags = await found(iowa, "Flag", "active")
    assert {f"Organization/{MCO}", "Practitioner/ann"} == {one["subject"]["reference"] for one in flags}
    await lowered(iowa)
    await report(iowa)
    assert ([], 2) == (await found(iowa, "Flag", "active"), len(await found(iowa, "Flag")))


async def test_a_get_a_look_back_and_a_repeated_post_write_nothing(iowa: httpx.AsyncClient) -> None:
    await lowered(iowa, average=20)
    before = await position(iowa)
    await iowa.get(REPORT, params={"program": IA_HCBS})
    await report(iowa, asOf=("valueDate", day(-1)))
    await report(iowa, at=("valueInteger", before))
    assert before == await position(iowa)
    await report(iowa)
    assert before + 1 == await position(iowa)
    await report(iowa)
    await report(iowa, "Organization/$caseload-report")
    assert before + 1 == await position(iowa)


async def position(client: httpx.AsyncClient) -> int:
    return int((await client.get("../health")).json()["position"])


@pytest.mark.requirement("IA-03")
async def test_of_many_reports_at_once_one_writes_the_flag(iowa: httpx.AsyncClient) -> None:
    await lowered(iowa, average=20)
    before = await position(iowa)
    writes = [put(iowa, patient(f"other-{number}")) for number in range(8)]
    await asyncio.gather(*(report(iowa) for _ in range(6)), *writes)
    assert (1, 1) == (len(await found(iowa, "Flag")), len(await found(iowa, "Task")))
    assert before + 9 == await position(iowa)
    [flag] = await found(iowa, "Flag")
    versions = (await iowa.get(f"Flag/{flag['id']}/_history")).json()["entry"]
    assert 1 == len(versions)


@pytest.mark.requirement("IA-03", "IA-04")
def test_a_load_flags_what_it_admitted_as_recorded(tmp_path: Path) -> None:
    lines = [shipped(), organization(MCO), *roster({"ann": CAP + 2})]
    (tmp_path / "roster.ndjson").write_bytes(b"".join(body.dumps(one) + b"\n" for one in lines))
    store = f"sqlite:///{tmp_path}/careplan.db"
    for expected in ("3 Flags and Tasks", ""):
        loading = careplan("load", tmp_path / "roster.ndjson", "--as-recorded", store=store)
        told, _ = loading.communicate(timeout=STARTED)
        assert (0, True) == (loading.returncode, expected in told if expected else "Flags" not in told)


@pytest.mark.requirement("IA-03")
@pytest.mark.parametrize("interval", [0.2, 300])
def test_one_worker_looks_soon_where_that_costs_little(tmp_path: Path, interval: float) -> None:
    settings = {"store": f"sqlite:///{tmp_path}/careplan.db", "workers": 2, "oversight_interval": interval}
    with serving(**settings) as base:
        asyncio.run(_flagged_by_the_lookout(base))


async def _flagged_by_the_lookout(base: str) -> None:
    async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
        await kept(client, organization(MCO), *roster({"ann": 3}))
        await lowered(client, average=2)
        for _ in range(1000):
            if await found(client, "Flag", "active"):
                break
            await asyncio.sleep(0.1)
        assert [f"Organization/{MCO}"] == [one["subject"]["reference"] for one in await found(client, "Flag")]
        head = await position(client)
        await asyncio.sleep(0.6)
        assert head == await position(client)


# What the limits are for


@pytest.mark.requirement("IA-05")
async def test_indicators_say_how_members_reach_their_managers_and_how_plans_are_kept(iowa: httpx.AsyncClient) -> None:
    question = {
        "resourceType": "Communication",
        "id": "question",
        "status": "completed",
        "subject": {"reference": "Patient/ann-0"},
        "sender": {"reference": "Patient/ann-0"},
        "recipient": [{"reference": ANN}],
        "received": "2026-02-02T09:00:00-06:00",
    }
    answer = question | {
        "id": "answer",
        "sender": {"reference": ANN},
        "recipient": [{"reference": "Patient/ann-0"}],
        "inResponseTo": [{"reference": "Communication/question"}],
        "sent": "2026-02-02T12:30:00-06:00",
    }
    waiting = question | {"id": "waiting", "received": "2026-02-27T18:00:00-06:00"}
    plan = {
        "resourceType": "CarePlan",
        "id": "plan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/ann-0"},
        "activity": [
            {"detail": {"status": "in-progress"}, "progress": [{"time": "2026-02-18", "text": "Went well"}]},
            {"detail": {"status": "scheduled"}},
        ],
    }
    await kept(iowa, question, answer, waiting, plan)
    over = {"period": ("valuePeriod", period("2026-02-01", "2026-02-28")), "detail": ("valueBoolean", True)}
    asked = parameters(program=("valueCanonical", IA_HCBS), **over)
    response = await iowa.post(f"Organization/{MCO}/$outcome-indicators", json=asked)
    assert (200, []) == (response.status_code, validate(body.loads(response.content)))
    reports = {entry["resource"]["measure"].rpartition("/")[2]: entry["resource"] for entry in response.json()["entry"]}
    for one in reports.values():
        MeasureReport.model_validate(one)
        checked = (await iowa.post("MeasureReport/$validate", json=one)).json()  # our own extensions' contexts too
        assert ["information"] == [issue["severity"] for issue in checked["issue"]], checked
    assert {
        "contact-answer": (2, 1, 0.5, 210),
        "contact-unanswered": (2, 1, 0.5, 1799),
        "plan-review": (1, 0, 0, None),
        "plan-follow-up": (2, 1, 0.5, 10),
    } == {name: _indicator(one["group"][0]) for name, one in reports.items()}
    [stratum] = strata(reports["contact-answer"]["group"][0], "manager")
    assert ["Practitioner/ann"] == [
        one["valueReference"]["reference"] for one in extensions(stratum, "caseload-manager")
    ]
    assert {"Communication/answer", "Communication/question", "Communication/waiting"} == {
        one["reference"] for one in reports["contact-answer"]["evaluatedResource"]
    }
    table = await rows(iowa, "Organization/$outcome-indicators", **over)
    assert ("1", "2", "0.5", "210", "min") == next(
        tuple(row[name] for name in ("numerator", "denominator", "score", "median", "unit"))
        for row in table
        if (row["measure"], row["practitioner"]) == ("contact-answer", "")
    )


@pytest.mark.requirement("IA-05", "IA-26")
async def test_a_measure_is_evaluated_by_the_name_that_fhir_has_for_it(iowa: httpx.AsyncClient) -> None:
    other = shipped() | {"id": "other", "url": f"{BASE}/PlanDefinition/other"}
    capless = [rule for rule in other["action"] if rule["id"] not in {"IA-03", "IA-04"}]
    await kept(iowa, other | {"action": capless})
    over = {"periodStart": "2026-02-01", "periodEnd": "2026-02-28", "subject": f"Organization/{MCO}"}
    for measure in ("caseload", "contact-answer", "contact-unanswered", "plan-review", "plan-follow-up"):
        response = await iowa.get(f"Measure/{measure}/$evaluate-measure", params=over)
        assert (200, f"{BASE}/Measure/{measure}") == (response.status_code, response.json()["measure"])
        assert ("summary", period("2026-02-01", "2026-02-28")) == (response.json()["type"], response.json()["period"])
    asked = over | {"measure": f"{BASE}/Measure/caseload|1.0.0", "reportType": "subject-list", "program": IA_HCBS}
    found = (await iowa.get("Measure/$evaluate-measure", params=asked)).json()
    over_period = parameters(
        program=("valueCanonical", IA_HCBS),
        period=("valuePeriod", period("2026-02-01", "2026-02-28")),
        detail=("valueBoolean", True),
    )
    report = (await iowa.post(f"Organization/{MCO}/$caseload-report", json=over_period)).json()
    assert (report["group"], "subject-list") == (found["group"], found["type"])
    indicators = await iowa.get(f"Organization/{MCO}/$outcome-indicators", params={"program": IA_HCBS})
    assert ["end"] == list(indicators.json()["entry"][0]["resource"]["period"])


@pytest.mark.parametrize(
    ("measure", "more", "status", "name"),
    [
        ("Measure", {}, 400, "measure"),
        ("Measure/other", {}, 422, "measure"),
        ("Measure/caseload", {"subject": "Patient/ann-0"}, 400, "subject"),
        ("Measure/caseload", {"subject": "Ann"}, 400, "subject"),
        ("Measure/caseload", {"reportType": "tale"}, 400, "reportType"),
        ("Measure/caseload", {"program": f"{BASE}/PlanDefinition/none"}, 422, "program"),
    ],
)
async def test_a_measure_that_cannot_be_evaluated_says_why(
    iowa: httpx.AsyncClient, measure: str, more: dict[str, str], status: int, name: str
) -> None:
    over = {"periodStart": "2026-02-01", "periodEnd": "2026-02-28", "subject": f"Organization/{MCO}"}
    response = await iowa.get(f"{measure}/$evaluate-measure", params=over | more)
    place = f"Parameters.parameter.where(name='{name}')"
    assert (status, [place]) == (response.status_code, places(response))


def _indicator(group: Json) -> tuple[int, int, float, int | None]:
    counts = populations(group)
    spread = extensions(group, "distribution")
    parts = {part["url"]: part for part in spread[0]["extension"]} if spread else None
    median = parts["median"]["valueQuantity"]["value"] if parts else None
    return counts["denominator"], counts["numerator"], group["measureScore"]["value"], median


@pytest.mark.parametrize(("name", "value"), [("answerHours", -1), ("followUpDays", -1)])
async def test_a_window_below_nothing_is_refused(iowa: httpx.AsyncClient, name: str, value: int) -> None:
    over = {"period": ("valuePeriod", period("2026-02-01", "2026-02-28")), name: ("valueInteger", value)}
    asked = parameters(program=("valueCanonical", IA_HCBS), **over)
    assert (400, ["invalid"]) == refusal(await iowa.post(f"Organization/{MCO}/$outcome-indicators", json=asked))


# Transfers


@pytest.mark.requirement("IA-06", "IA-09")
async def test_transfers_are_counted_by_member_manager_and_reason(iowa: httpx.AsyncClient) -> None:
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    await kept(iowa, practitioner("lea"), lea)
    moved, tasks = await opened(iowa, reason="ratio-realignment")
    await run(iowa, tasks)
    given_up, _ = await opened(iowa, member="Patient/ann-1")
    cancelled = (await iowa.get(f"Task/{given_up['id']}")).json() | {"status": "cancelled"}
    assert 200 == (await put(iowa, cancelled)).status_code
    waiting, _ = await opened(iowa, member="Patient/ann-2")
    found = await report(iowa, detail=("valueBoolean", True))
    [group] = groups(found, "transfers")
    none = {"members-transferred": 0, "members-transferred-again": 0}
    once = {"members-transferred": 1, "members-transferred-again": 0}
    assert {"opened": 3, "completed": 1, "given-up": 1, "open": 1} | once == populations(group)
    by_reason = {one["value"]["coding"][0]["code"]: populations(one) for one in strata(group, "reason")}
    assert {
        "ratio-realignment": {"opened": 1, "completed": 1, "given-up": 0, "open": 0} | once,
        "area-member-needs": {"opened": 2, "completed": 0, "given-up": 1, "open": 1} | none,
    } == by_reason
    apart = {one["value"]["coding"][0]["code"]: populations(one) for one in strata(group, "all-but-reason")}
    assert by_reason["area-member-needs"] == apart["ratio-realignment"]
    assert [{"away": 1, "here": 0}, {"away": 0, "here": 1}] == list(map(populations, strata(group, "manager")))
    [both] = [one["stratum"] for one in group["stratifier"] if len(one["code"]) == 2]
    assert [("Practitioner/ann", "ratio-realignment"), ("Practitioner/bob", "ratio-realignment")] == [
        (one["component"][0]["value"]["text"], one["component"][1]["value"]["coding"][0]["code"]) for one in both
    ]
    assert [("Patient/ann-0", {"completed": 1})] == [
        (one["value"]["text"], populations(one)) for one in strata(group, "member")
    ]
    table = await rows(iowa, table=("valueCode", "transfers"))
    assert {
        (f"Task/{moved['id']}", "Patient/ann-0", "ratio-realignment", "completed"),
        (f"Task/{given_up['id']}", "Patient/ann-1", "area-member-needs", "cancelled"),
        (f"Task/{waiting['id']}", "Patient/ann-2", "area-member-needs", "requested"),
    } == {(row["transfer"], row["member"], row["reasons"], row["status"]) for row in table}
    assert {("Practitioner/ann", "Practitioner/bob")} == {(row["from"], row["to"]) for row in table}
    managers = {row["practitioner"]: row["members"] for row in await rows(iowa)}
    assert {"Practitioner/ann": "48", "Practitioner/bob": "2"} == managers


@pytest.mark.requirement("IA-03")
def test_flags_say_the_truth_after_a_race_of_reports_and_changes(tmp_path: Path) -> None:
    settings = {"store": f"sqlite:///{tmp_path}/careplan.db", "workers": 2, "oversight_interval": 0.3}
    with serving(**settings) as base:
        asyncio.run(_raced(base))


async def _raced(base: str) -> None:
    """Members come and go at random about the limit, while reports are asked for at both workers."""
    limits = httpx.Limits(max_connections=12, max_keepalive_connections=0)
    random = Random(3)
    async with httpx.AsyncClient(base_url=f"{base}/", limits=limits, timeout=60) as client:
        await kept(client, organization(MCO), *roster({"ann": 4, "bob": 4}))
        await lowered(client, average=3)
        for round in range(5):
            chosen = random.sample(range(4), 3)
            changes = [
                put(client, episode(f"ann-{number}", MCO, status=random.choice(["active", "onhold"])))
                for number in chosen
            ]
            await asyncio.gather(*changes, *(report(client) for _ in range(4)))
            [group] = groups(await report(client), "statewide-average")
            counts = populations(group)
            active = await found(client, f"Flag?subject=Organization/{MCO}", "active")
            assert (counts["members"] > 3 * counts["managers"]) == (len(active) == 1), round
            asked = await found(client, f"Task?owner=Organization/{MCO}&status=requested")
            assert len(active) == len(asked)
