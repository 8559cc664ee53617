"""Rows that a table takes, made by hypothesis from what the table itself says."""

from __future__ import annotations

from datetime import date

from hypothesis import strategies as st

from mappings.table import Column, Table

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40).map(lambda text: text.strip(" "))
DATES = st.dates(date(1900, 1, 1), date(2099, 12, 31)).map(date.isoformat)


def values(column: Column) -> st.SearchStrategy[str]:
    """What a column takes."""
    made = {"id": IDS, "string": TEXTS, "date": DATES, "code": st.sampled_from(list(column.codes) or [""])}[column.type]
    return made.filter(bool) if column.required else st.just("") | made


def row_values(table: Table) -> st.SearchStrategy[dict[str, str]]:
    """Rows that are right in each column and between them."""
    made = st.fixed_dictionaries({column.name: values(column) for column in table.columns})
    filled = made.map(lambda row: {name: row[name] or _default(table, name) for name in row})
    return filled.map(lambda row: _settled(table, row)).filter(lambda row: not list(table.wrong(row)))


def _default(table: Table, name: str) -> str:
    return next(column.default for column in table.columns if column.name == name)


def _settled(table: Table, row: dict[str, str]) -> dict[str, str]:
    """A row whose columns are not together, or not in order, put right, so that few are left out."""
    for check in table.checks:
        if "together" in check and not all(row[name] for name in check["together"]):
            row = row | dict.fromkeys(check["together"], "")
        if "order" in check and row[check["order"][1]]:
            low, high = sorted(row[name] for name in check["order"])
            row = row | dict(zip(check["order"], (low, high), strict=True))
        if "when" in check and all(row[name] in accepted for name, accepted in check["when"].items()):
            accepted = check.get("accepts")
            if accepted and row[check["column"]] not in accepted:
                row = row | {check["column"]: accepted[0]}
            elif accepted is None and not row[check["column"]]:
                row = row | {check["column"]: "X1"}
    return row
