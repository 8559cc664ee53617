"""$caseload-report: the statewide average and every case manager's number, as of a date or over time.

https://hl7.org/fhir/R4/measurereport.html

On an organization, or on the type: for the state, all of them in one answer. A POST as of now brings the Flags and
Tasks of breaches up to date too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from server.coordination import period
from server.coordination.caseload import breach
from server.coordination.caseload.oversight import Look, breaches
from server.coordination.caseload.report import Report, Reports, Total, reports
from server.coordination.caseload.series import MOST, UNITS, Point, instants, series, suiting
from server.coordination.caseload.transfer_report import Transfers, transfers
from server.coordination.facts import BASE
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs, active
from server.fhir import body
from server.ledger import Resource, View
from server.operations import caseload_group, caseload_table, oversight
from server.operations.call import Answer, Call, aside
from server.operations.caseload_group import Shown
from server.operations.caseload_table import Row
from server.operations.measure_report import Lists, measure_report
from server.operations.oversight import MAX_ORGANIZATIONS, Seen
from server.operations.parameters import place
from server.outcome import Issue, Problem
from server.search.filter import ALL

MEASURE = f"{BASE}/Measure/caseload"
TABLES = ("managers", "members", "distribution", "series", "manager-series", "transfers", "breaches")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked for, with its dates read."""

    programs: Programs
    program: Program
    at: int
    window: Interval
    over: Resource | None
    unit: str | None
    now: int
    detail: bool

    def points(self, made: Report) -> list[Point]:
        """The series; none where no time is asked for that has a start and an end."""
        if not self.unit:
            return []
        at = instants(self.unit, self.window, self.program.zone)
        return series(made, at, breach.caps(self.programs, self.program.url, "manager"))


async def caseload_report(call: Call) -> Answer:
    """A summary; with detail a subject-list, which names the members and the teams that are the evidence."""
    view, now = await call.view()
    if call.id:
        await call.here(view)
    asked = await _asked(call, view, now)
    shown = _table(call, asked) if call.csv else None
    is_now = call.writes and not any(call.inputs.typed(name) for name in ("asOf", "at"))

    async def answer(view: View) -> tuple[Answer, Seen | None]:
        made = await _reports(view, call, asked)
        own = made.every if call.id else _with_members(made.every)
        moved = await _transfers(view, own, asked)
        seen = await _seen(view, asked, own) if is_now else None
        if shown:
            written = Answer(table=_written(shown, own, moved, asked))
        else:
            total = made.total if not call.id or call.inputs.one("statewide") else None
            written = Answer(text=body.dumps(_measure_report(call, asked, own, moved, total)))
        made.let_go()
        return written, seen

    found, seen = await aside(view, answer)
    if seen:
        await oversight.written(call.repository, call.caller, seen)
    return found


async def _reports(view: View, call: Call, asked: Asked) -> Reports:
    """Of one organization, and where the state's total is asked for all others beside it; or of all."""
    every: list[str] = []
    if not call.id or call.inputs.one("statewide"):
        every = [one.reference for one in await view.search("Organization", ALL, MAX_ORGANIZATIONS)]
    own = [call.reference] if call.id else every
    return await reports(view, own, asked.programs, asked.program, asked.at, asked.window, beside=every)


async def _seen(view: View, asked: Asked, own: list[Report]) -> Seen:
    """What the breaches as of now call for, read off the same census."""
    if asked.program is not asked.programs.near(asked.program.url, asked.now):
        return Seen(view.position, [])  # a report of an earlier time, by that time's program
    looks = [(Look(made.organization, asked.programs, asked.program, asked.now), made.counted) for made in own]
    return await oversight.seen(view, [(look, await breaches(view, look, counted)) for look, counted in looks])


async def _asked(call: Call, view: View, now: int) -> Asked:
    known = await active(view)
    canonical = call.inputs.one("program")
    url = known.meant(canonical)
    over, unit, as_of = (call.inputs.one(name) for name in ("period", "interval", "asOf"))
    zone = known.near(url, now).zone
    window = period.between((over or {}).get("start"), (over or {}).get("end"), zone)
    if window.high <= window.low:
        raise Problem.invalid("The period ends before it starts", place("period"))
    at = known.instant(url, as_of, now) if as_of or not over else max(window.low, min(now, window.high - 1))
    if unit:
        _check_series(unit, window, zone)
    unit = unit or suiting(window, zone)
    if not over:
        window = Interval(at, at + 1)
    return Asked(known, known.chosen(canonical, at), at, window, over, unit, now, bool(call.inputs.one("detail")))


def _check_series(unit: str, window: Interval, zone: str) -> None:
    if unit not in UNITS:
        raise _wrong("value", f"interval is one of {', '.join(UNITS)}", "interval")
    if window.low == period.ALWAYS or window.high == period.NEVER:
        raise Problem.of("required", "A series is over a period that has a start and an end", place("period"))
    if len(instants(unit, window, zone)) > MOST:
        raise Problem.invalid(f"A series has at most {MOST} dates: ask for a longer interval", place("interval"))


def _with_members(made: list[Report]) -> list[Report]:
    """Providers, and all who have nobody enrolled, are none of the state's plans."""
    return [one for one in made if one.members or one.unassigned or one.lines]


async def _transfers(view: View, own: list[Report], asked: Asked) -> dict[str, Transfers]:
    """Those of the period; where none is asked for, of all time until the date."""
    window = asked.window if asked.over else Interval(period.ALWAYS, asked.at + 1)
    return await transfers(view, [made.organization for made in own], asked.program, asked.at, window)


def _measure_report(
    call: Call, asked: Asked, own: list[Report], moved: Mapping[str, Transfers], total: Total | None
) -> Resource:
    """The whole; `total` is of all organizations, where it is asked for."""
    shown = Shown(bool(asked.over), Lists(asked.detail))
    groups = []
    for made in own:
        groups.append(caseload_group.organization(made, shown))
        if asked.unit:
            groups.append(caseload_group.over_time(made, asked.points(made), asked.detail))
        names = {line.practitioner: line.name for line in made.lines}
        groups.append(caseload_group.transfers(made.organization, moved[made.organization], names, shown.lists))
    if total is not None:
        groups.append(caseload_group.all_organizations(total))
    date = period.text(asked.at, asked.program.zone)
    teams = {team for made in own for line in made.lines for held in line.held for team in held.teams}
    over = asked.over or {"start": date, "end": date}
    reporter = call.reference if call.id else None
    return measure_report(MEASURE, over, asked.now, groups, shown.lists, sorted(teams), reporter=reporter)


# As a table


def _table(call: Call, asked: Asked) -> str:
    """Which table is asked for."""
    given = call.inputs.one("table")
    if given is None:
        return "series" if call.inputs.one("interval") else "members" if asked.detail else "managers"
    if given not in TABLES:
        raise _wrong("value", f"table is one of {', '.join(TABLES)}", "table")
    if given in {"series", "manager-series"} and not asked.unit:
        raise Problem.of("required", f"The table {given} needs a period that has a start and an end", place("period"))
    return str(given)


def _written(shown: str, own: list[Report], moved: Mapping[str, Transfers], asked: Asked) -> str:
    rows: dict[str, tuple[Row, Callable[[Report], Iterable[Row]]]] = {
        "managers": (caseload_table.MANAGERS, caseload_table.managers),
        "members": (caseload_table.MEMBERS, caseload_table.members),
        "distribution": (caseload_table.DISTRIBUTION, caseload_table.members_held),
        "transfers": (
            caseload_table.TRANSFERS,
            lambda made: caseload_table.transfers(made.organization, moved[made.organization]),
        ),
        "breaches": (caseload_table.BREACHES, caseload_table.breaches),
        "series": (caseload_table.SERIES, lambda made: caseload_table.series(made, asked.points(made))),
        "manager-series": (
            caseload_table.MANAGER_SERIES,
            lambda made: caseload_table.manager_series(made, asked.points(made)),
        ),
    }
    names, of = rows[shown]
    return caseload_table.table(names, (row for made in own for row in of(made)))


def _wrong(code: str, diagnostics: str, name: str) -> Problem:
    return Problem.with_issues("invalid", [Issue(code, diagnostics, (place(name),))])
