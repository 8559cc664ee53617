"""A caseload report as tables (text/csv, https://www.rfc-editor.org/rfc/rfc4180): one line of names, then the rows.

Every row begins with its organization, so that the tables of several can be put one under the other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from server.coordination import period
from server.coordination.caseload.breach import Breach
from server.coordination.caseload.distribution import distribution
from server.coordination.caseload.report import Report
from server.coordination.caseload.series import Point, by_manager
from server.coordination.caseload.transfer_report import Transfers
from server.operations.measure_report import decimal

Row = Sequence[object]


def table(names: Row, rows: Iterable[Row]) -> str:
    """The table. A cell of a spreadsheet is never taken for a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([names, *([_cell(one) for one in row] for row in rows)])
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, Fraction):
        return decimal(value)
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


MANAGERS = (
    *("organization", "practitioner", "name", "members", "individuals", "peak", "breach", "service days"),
    *("employment days", "shortest assignment", "median assignment", "longest assignment"),
)


def managers(made: Report) -> Iterator[Row]:
    """A row for each case manager."""
    for line in made.lines:
        days = distribution(held.days for held in line.held if held.days is not None)
        yield [
            *(made.organization, line.practitioner, line.name, len(line.held), len(line.individuals), line.peak),
            *(" ".join(breach.rule.id for breach in line.breaches), line.service_days, line.employment_days),
            *((days.minimum, days.median, days.maximum) if days else (None, None, None)),
        ]


MEMBERS = ("organization", "member", "practitioner", "name", "team", "since", "assignment days")


def members(made: Report) -> Iterator[Row]:
    """A row for each member, those without a case manager last."""
    for line in made.lines:
        for held in line.held:
            since = None if held.since is None else period.text(held.since, made.program.zone)
            who = (made.organization, held.patient, line.practitioner, line.name)
            yield [*who, " ".join(held.teams), since, held.days]
    for patient in made.unassigned:
        yield [made.organization, patient, None, None, None, None, None]


DISTRIBUTION = ("organization", "members held", "managers")


def members_held(made: Report) -> Iterator[Row]:
    """How many managers hold how many members."""
    counts: dict[int, int] = {}
    for line in made.lines:
        if line.held:
            counts[len(line.held)] = counts.get(len(line.held), 0) + 1
    for number, count in sorted(counts.items()):
        yield [made.organization, number, count]


SERIES = (*("organization", "date", "members", "managers", "average", "unassigned", "highest", "above limit"),)


def series(made: Report, points: list[Point]) -> Iterator[Row]:
    """A row for each date."""
    for at, count, managers, unassigned, highest, above in points:
        average: object = Fraction(count, managers) if managers else None
        date = period.text(at, made.program.zone)
        yield [made.organization, date, count, managers, average, unassigned, highest, above]


MANAGER_SERIES = ("organization", "date", "practitioner", "name", "members", "individuals")


def manager_series(made: Report, points: list[Point]) -> Iterator[Row]:
    """A row for each manager on each date on which they serve anybody."""
    instants = [point.at for point in points]
    loads = by_manager(made, instants)
    for line in made.lines:
        individuals = period.counts_at(line.individual_steps(), instants)
        counts = loads.get(line.practitioner, [0] * len(instants))
        for at, count, all in zip(instants, counts, individuals, strict=True):
            if all:
                date = period.text(at, made.program.zone)
                yield [made.organization, date, line.practitioner, line.name, count, all]


BREACHES = ("organization", "rule", "practitioner", "name", "limit", "number", "managers", "since", "until")


def breaches(made: Report) -> Iterator[Row]:
    """A row for each breach, those of the average first."""
    for one in made.breaches:
        yield _breach(made, one, None, None)
    for line in made.lines:
        for one in line.breaches:
            yield _breach(made, one, line.practitioner, line.name)


def _breach(made: Report, one: Breach, practitioner: str | None, name: str | None) -> Row:
    zone = made.program.zone
    until = period.text(one.until, zone) if one.until < made.window.high else None
    since = period.text(one.since, zone)
    return [
        *(made.organization, one.rule.id, practitioner, name),
        *(one.limit, one.number, one.managers, since, until),
    ]


TRANSFERS = (
    *("organization", "transfer", "member", "from", "to", "reasons", "status", "opened", "ended"),
    "completed of this member",
)


def transfers(organization: str, found: Transfers) -> Iterator[Row]:
    """A row for each transfer."""
    counts = found.members()
    for one in found.every():
        task = one.transfer
        reasons = " ".join(reason.partition("|")[2] for reason in task.reasons)
        who = (organization, task.task, one.member, one.sender or task.sender, one.receiver or task.receiver)
        yield [*who, reasons, task.status, task.opened, task.ended, counts[one.member]]
