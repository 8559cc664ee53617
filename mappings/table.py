"""Table: what a file of rows is: its columns, what has to hold between them, and the resources that a row becomes.

https://hl7.org/fhir/R4/bundle.html

A table is a file beside this one. A row becomes the entries of a transaction, which find what is there by business
identifiers; back, a row is read from one resource and those that it refers to.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mappings import status_history, template
from mappings.template import Values

FILES = Path(__file__).parent
NAMESPACE = uuid.UUID("5b0c2e0e-7a53-5d7e-9b49-0d6f4f7d8e21")  # of the names that entries have within a Bundle
GENERATED = frozenset({"generated", "extensions"})  # narratives that say what the elements said before
LONGEST = 200  # characters of a value, where its column does not say
EARLIEST = "1900-01-01"  # a day before is a slip, such as a year that lacks a digit
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Resource = dict[str, Any]


class Column(NamedTuple):
    """A column. `type` is string, id, date or code; `codes` what a code may be, with what it means.

    `clears`: an empty cell takes away what is stored. Where it does not, and in a file without the column, that stays.
    """

    name: str
    type: str
    required: bool = False
    codes: Mapping[str, str] = {}
    default: str = ""
    description: str = ""
    clears: bool = False

    def wrong(self, value: str) -> str | None:
        """Why a value is none of this column's, and what is."""
        if not value:
            return "it is required" if self.required else None
        if len(value) > LONGEST:
            return f"it has {len(value)} characters; at most {LONGEST} are taken"
        if self.type == "code" and value not in self.codes:
            return f"{value[:40]!r} is none; accepted are {', '.join(self.codes)}"
        if self.type == "id" and not _ID.fullmatch(value):
            return f"{value[:40]!r} is none: 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-', with a letter or digit first"
        if self.type == "date" and not _is_date(value):
            return f"{value[:40]!r} is no date as 2026-01-31"
        if self.type == "date" and value < EARLIEST:
            return f"{value} is before {EARLIEST}, the first day that is taken"
        if any(ord(character) < 32 for character in value):
            return "it has a control character or a line break"
        return None


class Wrong(NamedTuple):
    """What is wrong with a row: in which line of the file, in which column ("" of the whole row), and why."""

    line: int
    column: str
    why: str


class Stored(NamedTuple):
    """What is stored already of what rows are about: by the condition that finds it, and what it refers to."""

    found: Mapping[str, list[Resource]]
    others: Mapping[str, Resource]
    today: str  # as 2026-01-31


@dataclass(frozen=True)
class Table:
    """What a table's file says."""

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    checks: tuple[Mapping[str, Any], ...]
    entries: tuple[Mapping[str, Any], ...]
    rows: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def wrong(self, values: Values) -> Iterator[tuple[str, str]]:
        """(column, why) of everything that is wrong with a row's values."""
        for column in self.columns:
            if why := column.wrong(values.get(column.name, "")):
                yield column.name, f"{column.name}: {why}"
        for check in self.checks:
            yield from _check(check, values)

    def bundle(self, values: Values, line: int, stored: Stored | None = None) -> list[Resource]:
        """The entries that a row becomes: of what is stored, each changes no more than the row tells of.

        None where all of it is stored already.
        """
        made = [self._entry_of(entry, values, line, stored) for entry in self.entries]
        return [] if stored and self._stands(made, values, stored) else made

    def _stands(self, made: Sequence[Resource], values: Values, stored: Stored) -> bool:
        """Whether each resource that the row changes is there as the row has it, and so are those that it refers to."""
        changes = [
            (entry, one) for entry, one in zip(self.entries, made, strict=True) if "ifNoneExist" not in one["request"]
        ]
        urls = [template.criteria(entry["request"]["url"], values) for entry, _ in changes]
        return all(stored.found.get(url) == [one["resource"]] for url, (_, one) in zip(urls, changes, strict=True))

    def _entry_of(self, entry: Mapping[str, Any], values: Values, line: int, stored: Stored | None) -> Resource:
        def link(name: str) -> str:
            return self._full_url(name, line)

        request = {name: template.criteria(text, values) for name, text in entry["request"].items()}
        there = stored.found.get(request["url"], []) if stored else []
        if stored and len(there) == 1:
            resource = self._merged(entry["resource"], there[0], values, link, stored)
            request["url"] = f"{resource['resourceType']}/{resource['id']}"
            request["ifMatch"] = f'W/"{there[0]["meta"]["versionId"]}"'
        else:
            resource = template.fill(entry["resource"], values, link)
            if stored and not there and request["method"] == "PUT":
                request["ifNoneMatch"] = "*"
        return {"fullUrl": link(entry["name"]), "request": request, "resource": resource}

    def _merged(
        self, node: Mapping[str, Any], there: Resource, values: Values, link: template.Link, stored: Stored
    ) -> Resource:
        """What is there as the row has it. One that says what the row says is left as it is."""
        identify = _identified(stored.others)
        values = {**values, **self._kept(node, there, values, identify)}
        told = template.read(node, there, identify)
        if told is not None and all(
            (told.get(name) or self._default(name)) == values[name] for name in template.columns(node)
        ):
            return there
        made: Resource = template.merge(node, there, values, link, identify)
        if made["resourceType"] == "EpisodeOfCare" and (history := status_history.kept(there, made, stored.today)):
            made["statusHistory"] = history
        elif made["resourceType"] == "EpisodeOfCare":
            made.pop("statusHistory", None)
        if made != there and made.get("text", {}).get("status") in GENERATED:
            del made["text"]
        return made

    def _kept(
        self, node: Mapping[str, Any], there: Resource, values: Values, identify: template.Identify
    ) -> dict[str, str]:
        """What is there in the columns that the row leaves as they are."""
        told: dict[str, str] = {}
        for name, part in node.items():
            told |= template.read(part, there.get(name, template.MISSING), identify) or {}
        left = (one for one in self.columns if not (values.get(one.name) or (one.clears and one.name in values)))
        return {one.name: told.get(one.name, "") for one in left}

    def _default(self, name: str) -> str:
        return next(column.default for column in self.columns if column.name == name)

    def _full_url(self, entry: str, line: int) -> str:
        return f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{self.name} {line} {entry}')}"

    def keys(self, values: Values) -> set[str]:
        """What a row is found by: two rows that share one are not written together."""
        found = (entry["request"] for entry in self.entries)
        return {template.criteria(one.get("ifNoneExist", one["url"]), values) for one in found}

    def column(self, place: int, path: str) -> str:
        """The first column that is at a path ("period.end") of an entry's resource; "" of none."""
        node: Any = self.entries[place % len(self.entries)]["resource"]
        at_top = True
        for part in path.split("."):
            inside = node[0] if isinstance(node, list) else node
            if part.partition("[")[0] not in inside:
                break
            node, at_top = inside[part.partition("[")[0]], False
        found = set() if at_top else template.columns(node)
        return next((name for name in self.names if name in found), "")

    def sought(self, values: Values, text: str) -> str:
        """The column by whose value a text says that something is sought; "" where it names none."""
        links = (node for entry in self.entries for node in template.links(entry["resource"]))
        named = ((node["value"], template.fill(node, values, str)) for node in links if "entry" not in node)
        return next((name for name, link in named if isinstance(link, dict) and f"'{link['reference']}'" in text), "")

    @property
    def search(self) -> tuple[str, list[tuple[str, str]]]:
        """(type, parameters) of the search that finds what rows are read from."""
        return self._entry(self.rows["entry"])["resource"]["resourceType"], [tuple(one) for one in self.rows["search"]]

    def values(self, resource: Resource, others: Mapping[str, Resource]) -> dict[str, str] | None:
        """The row that a resource was made from, with those that it refers to, by their references; None of no row."""
        identify = _identified(others)
        read = template.read(self._entry(self.rows["entry"])["resource"], resource, identify)
        if read is None:
            return None
        for name, element in self.rows.get("with", {}).items():
            there = others.get(resource.get(element, {}).get("reference", ""), {})
            read = (template.read(self._entry(name)["resource"], there, identify) or {}) | read
        filled = {column.name: read.get(column.name) or column.default for column in self.columns}
        return None if any(filled[name] in left for name, left in self.rows.get("without", {}).items()) else filled

    def _entry(self, name: str) -> Mapping[str, Any]:
        return next(entry for entry in self.entries if entry["name"] == name)


def _identified(others: Mapping[str, Resource]) -> template.Identify:
    """How the value of a system's identifier is found in these, by their references."""

    def identify(reference: str, system: str) -> str | None:
        found = others.get(reference, {}).get("identifier", ())
        return next((one.get("value") for one in found if one.get("system") == system), None)

    return identify


def _is_date(value: str) -> bool:
    try:
        return len(value) == 10 and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _check(check: Mapping[str, Any], values: Values) -> Iterator[tuple[str, str]]:
    """One that has columns `together` or in `order`; or where `when` holds, says what `column` has to be."""
    if "together" in check:
        missing = [name for name in check["together"] if not values.get(name)]
        if missing and len(missing) < len(check["together"]):
            yield missing[0], f"{missing[0]}: {' and '.join(check['together'])} are given together, or none of them"
    elif "order" in check:
        first, second = check["order"]
        if values.get(first) and values.get(second) and values[second] < values[first]:
            yield second, f"{second}: {values[second]} is before {first}, {values[first]}"
    elif all(values.get(name, "") in accepted for name, accepted in check["when"].items()):
        name, accepted = check["column"], check.get("accepts", ["*"])
        value = values.get(name, "")
        if not value if accepted == ["*"] else value not in accepted:
            given = ", ".join(f"{one} {values.get(one)}" for one in check["when"])
            what = "a value" if accepted == ["*"] else " or ".join(one or "nothing" for one in accepted)
            yield name, f"{name}: with {given} it takes {what}; here is {value or 'none'}. {check['why']}"


def _table(name: str, told: Mapping[str, Any]) -> Table:
    columns = tuple(Column(**one) for one in told["columns"])
    return Table(
        name,
        told["title"],
        told["description"],
        columns,
        tuple(told.get("checks", ())),
        tuple(told["resources"]),
        told["rows"],
    )


@cache
def tables() -> Mapping[str, Table]:
    """Every table that is known, by its name."""
    return {path.stem: _table(path.stem, json.loads(path.read_text())) for path in sorted(FILES.glob("*.json"))}


def references(resource: Any) -> Iterator[str]:
    """Every reference in a resource."""
    if isinstance(resource, dict):
        link = resource.get("reference")
        if isinstance(link, str):
            yield link
        for value in resource.values():
            yield from references(value)
    elif isinstance(resource, list):
        for value in resource:
            yield from references(value)
