"""Filter -> SQL over `rows`, at the head or at an earlier position.

Each filter can be a *set* (a SELECT of the rids that satisfy it) or a *probe* (a condition on one candidate, `m.rid`).
A conjunction is driven by the set that is likely smallest (plan.py); the rest are probes, each a seek in the index by
rid, or, where they are not much larger, sets that the candidates are looked for in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from server.search import near
from server.search.contained import led, within
from server.search.filter import (
    ALL,
    MARK,
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Near,
    Not,
    Or,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.engine import WORDS
from server.store.sqlite.plan import REACH, plan


class Lookup(Protocol):
    """What compiling asks of the store: numbers of names and resources, positions of instants."""

    def number(self, name: str) -> int:
        """Less than 0 where no row has the name."""
        ...

    def rid(self, reference: str) -> int: ...

    def before(self, at: int) -> int:
        """The last seq of the commits before an instant."""
        ...

    def rids(self, sql: str, bindings: Sequence[Any]) -> list[int]:
        """What a statement of one column, rid or a count, finds."""
        ...

    def check_reached(self, name: str, at: int | None) -> None:
        """Raise where a late index has not come to the position."""
        ...


DISTANCE = "place_distance"  # our function: metres from a key's place to a point
SAMPLE = 1_000  # rows by which it is told whether few keys have many rows
TYPE_KEY = 0  # the key of a resource's row in the index named as its type: the list of the type's resources


class Compiler:
    """One statement. `at` None compiles for the head; `whole` where all that is found is looked at, not a page."""

    def __init__(self, lookup: Lookup, at: int | None = None, *, whole: bool = False) -> None:
        self.lookup = lookup
        self.at = at
        self.whole = whole
        self.bindings: list[Any] = []

    def bind(self, value: Any) -> str:
        self.bindings.append(value)
        return f"?{len(self.bindings)}"

    def set(self, type: str, filter: Filter) -> str:
        """A SELECT of one column, rid, of the resources of `type` that satisfy the filter; may name one twice."""
        driver, within, probes, are_few = plan(filter, self.count, whole=self.whole)
        if driver is None:
            select = self.rows("rid", f"name = {self.name(type)} AND key = {TYPE_KEY}")
        else:
            select = self._SETS[driver.__class__](self, type, driver)
        if not within and not probes:
            return select
        # with the + the candidates are looked for in the set; SQLite would rather seek each of the set elsewhere
        conditions = [f"+m.rid IN ({self.set(type, part)})" for part in within]
        conditions += [self._narrowed(type, probe, are_few) for probe in probes]
        return f"SELECT m.rid FROM ({select}) m WHERE {_joined('AND', conditions)}"

    def count(self, filter: Filter, most: int) -> int:
        """How many rows at the head an Equal, a Range, or any of some has, counted no further than `most`."""
        if isinstance(filter, Or):
            return min(most, sum(self.count(part, most) for part in filter.filters))
        assert isinstance(filter, Equal | Range)
        apart = Compiler(self.lookup)
        rows = f"SELECT 1 FROM rows WHERE name = {apart.name(filter.index)} AND {apart._key_test(filter)}"
        return self.lookup.rids(f"SELECT count(*) FROM ({rows} LIMIT {most})", apart.bindings)[0]

    def probe(self, type: str, filter: Filter) -> str:
        """A condition that holds where m.rid satisfies the filter."""
        make: Callable[[Compiler, str, Any], str] | None = self._PROBES.get(filter.__class__)
        if make is not None:
            return make(self, type, filter)
        return f"m.rid IN ({self.set(type, filter)})"

    def rows(self, column: str, where: str, by_rid: bool = False, through: str = "", table: str = "rows") -> str:
        """The index's rows at the position. by_rid: `where` fixes the rid, seek by it.

        `through` is a SELECT of one column, `target`, for each of which `where` is asked: the planner would rather
        look through all rows of a name than seek each of a few, so the order of the join is forced.
        """
        hint, ended_hint = (f" INDEXED BY {table}_rid", f" INDEXED BY ended_{table}_rid") if by_rid else ("", "")
        source = f"({through}) CROSS JOIN " if through else ""
        if self.at is None:
            return f"SELECT {column} FROM {source}{table}{hint} WHERE {where}"
        at = self.bind(self.at)
        return (
            f"SELECT {column} FROM {source}{table}{hint} WHERE {where} AND since <= {at} UNION ALL "
            f"SELECT {column} FROM {source}ended_{table}{ended_hint} WHERE {where} AND since <= {at} AND until > {at}"
        )

    def table(self, index: str) -> str:
        """Where an index's rows are. One that is made late must have come to the position."""
        if MARK not in index:
            return "rows"
        self.lookup.check_reached(index.partition(":")[0], self.at)
        return "late_rows"

    def living(self, type: str, rid: str) -> str:
        """A condition that holds where the resource is one of `type` and not deleted."""
        return f"EXISTS ({self.rows('1', f'name = {self.name(type)} AND key = {TYPE_KEY} AND rid = {rid}')})"

    def standing(self, rid: str) -> str:
        """A condition that holds where the resource, of whatever type, is there and not deleted."""
        return f"EXISTS ({self.rows('1', f'rid = {rid} AND key = {TYPE_KEY}', by_rid=True)})"

    def name(self, name: str) -> str:
        return self.bind(self.lookup.number(name))

    def _key_test(self, filter: Any) -> str:
        match filter:
            case Equal(keys=keys):
                bound = [self.bind(self.lookup.rid(key) if isinstance(key, str) else key) for key in keys]
                return f"key = {bound[0]}" if len(bound) == 1 else f"key IN ({', '.join(bound)})"
            case Hierarchy():
                return f"key IN (SELECT value FROM json_each({self.bind(json.dumps(self._line(filter)))}))"
            case Range():
                test = f"key >= {self.bind(filter.low)} AND key < {self.bind(filter.high)}"
                if filter.tail_low is not None:
                    test += f" AND substr(key, -8) >= {self.bind(filter.tail_low)}"
                if filter.tail_high is not None:
                    test += f" AND substr(key, -8) < {self.bind(filter.tail_high)}"
                return test
            case Near():
                low, high = map(self.bind, near.band(filter))
                place = f"{self.bind(filter.latitude)}, {self.bind(filter.longitude)}"
                return f"key >= {low} AND key < {high} AND {DISTANCE}(key, {place}) <= {self.bind(filter.metres)}"
            case Contains():
                return f"instr(substr(key, 1, length(key) - {int(filter.tail)}), {self.bind(filter.text)}) > 0"
            case _:
                return "1"

    def _rows_set(self, type: str, filter: Any) -> str:
        where = f"name = {self.name(filter.index)} AND {self._key_test(filter)}"
        return self.rows("rid", where, table=self.table(filter.index))

    def _contains_set(self, type: str, filter: Contains) -> str:
        """Where few different keys have many rows, each key is looked at once, not each row."""
        name = self.name(filter.index)
        if MARK in filter.index or not self._is_repeated(filter.index):
            return self._rows_set(type, filter)
        tables = ("rows",) if self.at is None else ("rows", "ended_rows")
        keys = " UNION ".join(f"SELECT key FROM ({self._keys(table, name)})" for table in tables)
        through = f"SELECT key AS target FROM ({keys}) WHERE {self._key_test(filter)}"
        return self.rows("rid", f"name = {name} AND key = target", through=through)

    def _is_repeated(self, index: str) -> bool:
        first = f"SELECT key FROM rows WHERE name = {self.lookup.number(index)} LIMIT {SAMPLE}"
        sample = f"SELECT count(*) = {SAMPLE} AND count(DISTINCT key) * {REACH} <= {SAMPLE} FROM ({first})"
        return bool(self.lookup.rids(sample, ())[0])

    def _keys(self, table: str, name: str) -> str:
        """The different keys of a name, each sought after the one before."""
        least = f"SELECT min(key) FROM {table} WHERE name = {name}"
        return (
            f"WITH RECURSIVE k(key) AS ({least} UNION ALL SELECT ({least} AND key > k.key) FROM k "
            "WHERE k.key IS NOT NULL) SELECT key FROM k WHERE key IS NOT NULL"
        )

    def _rows_probe(self, type: str, filter: Any) -> str:
        where = f"rid = m.rid AND name = {self.name(filter.index)} AND {self._key_test(filter)}"
        by_rid = not isinstance(filter, Equal)
        return f"EXISTS ({self.rows('1', where, by_rid=by_rid, table=self.table(filter.index))})"

    def _narrowed(self, type: str, probe: Filter, are_few: bool) -> str:
        """A probe of candidates; where they are few, each is looked for among the texts, not the texts among them."""
        if isinstance(probe, Words) and are_few:
            said = self._words(probe, "texts t CROSS JOIN words w ON w.rowid = t.doc")
            return f"EXISTS (SELECT 1 {said} AND t.rid = m.rid)"
        return self.probe(type, probe)

    def _words_set(self, type: str, filter: Words) -> str:
        said = self._words(filter, "words w CROSS JOIN texts t ON t.doc = w.rowid")
        return f"SELECT t.rid {said} AND t.type = {self.name(type)}"

    def _words(self, filter: Words, joined: str) -> str:
        """FROM and WHERE of the texts that say the words at the position."""
        self.lookup.check_reached(WORDS, self.at)
        phrase = " ".join(word.replace('"', "") for word in filter.words)
        sought = f'"{phrase}"{" *" if filter.begins else ""}'
        if filter.scope == "narrative":
            sought = f"narrative : {sought}"
        held = "t.until IS NULL"
        if self.at is not None:
            at = self.bind(self.at)
            held = f"t.since <= {at} AND (t.until IS NULL OR t.until > {at})"
        return f"FROM {joined} WHERE w.words MATCH {self.bind(sought)} AND {held}"

    def _ids_set(self, type: str, filter: Ids) -> str:
        ids = ", ".join(self.bind(id) for id in filter.ids)
        return (
            f"SELECT r.rid FROM resources r WHERE r.type = {self.name(type)} AND r.id IN ({ids}) "
            f"AND {self.living(type, 'r.rid')}"
        )

    def _updated_set(self, type: str, filter: Updated) -> str:
        return (
            f"SELECT t.rid FROM timeline t WHERE t.type = {self.name(type)} AND {self._updated_test('t.seq', filter)} "
            f"AND t.seq = {self.version('t.rid')} AND {self.living(type, 't.rid')}"
        )

    def _updated_probe(self, type: str, filter: Updated) -> str:
        if filter == Updated(None, None):
            return "1"  # else the position would be bound, and nothing would ask for it
        return self._updated_test(self.version("m.rid"), filter)

    def _updated_test(self, seq: str, filter: Updated) -> str:
        tests = ["1"]
        if filter.low is not None:
            tests.append(f"{seq} > {self.bind(self.lookup.before(filter.low))}")
        if filter.high is not None:
            tests.append(f"{seq} <= {self.bind(self.lookup.before(filter.high))}")
        return f"({' AND '.join(tests)})"

    def version(self, rid: str) -> str:
        """The seq of a resource's version at the position."""
        until = "" if self.at is None else f" AND v.seq < {self.bind((self.at + 1) << 20)}"
        return f"(SELECT max(v.seq) FROM versions v WHERE v.rid = {rid}{until})"

    def _chain_set(self, type: str, filter: Chain) -> str:
        targets = self._targets(filter.type, filter.beyond)
        where = f"name = {self.name(filter.index)} AND key = target"
        found = self.rows("rid", where, through=targets, table=self.table(filter.index))
        inner = self._contained(filter)
        return f"SELECT rid FROM ({found}) UNION SELECT rid FROM ({self.set(type, inner)})" if inner else found

    def _chain_probe(self, type: str, filter: Chain) -> str:
        where = f"rid = m.rid AND name = {self.name(filter.index)}"
        keys = self.rows("key AS rid", where, by_rid=True, table=self.table(filter.index))
        found = self._steps(keys, filter.type, filter.beyond)
        inner = self._contained(filter)
        return f"({found} OR {self.probe(type, inner)})" if inner else found

    def _contained(self, filter: Chain) -> Filter | None:
        """What a chain asks of resources that contain what it leads to; None where none does."""
        is_any = filter.filter == ALL or MARK in filter.index
        return None if is_any or self.lookup.number(led(filter.index, filter.type)) < 0 else within(filter)

    def _has_probe(self, type: str, filter: Has) -> str:
        where = f"name = {self.name(filter.index)} AND key = +m.rid"
        return self._steps(self.rows("rid", where, table=self.table(filter.index)), filter.type, filter.filter)

    def _steps(self, others: str, type: str, filter: Filter) -> str:
        """A condition on the resources that one candidate leads to; inside, they are the candidates."""
        if self.at is not None:
            others += " LIMIT -1"  # or the planner would copy all that is asked of them into both halves, at each step
        return f"EXISTS (SELECT 1 FROM ({others}) m WHERE {self.living(type, 'm.rid')} AND {self.probe(type, filter)})"

    def _has_set(self, type: str, filter: Has) -> str:
        sources = self._targets(filter.type, filter.filter)
        where = f"rid = target AND name = {self.name(filter.index)}"
        keys = self.rows("key", where, by_rid=True, through=sources, table=self.table(filter.index))
        return f"SELECT h.key AS rid FROM ({keys}) h WHERE typeof(h.key) = 'integer' AND {self.living(type, 'h.key')}"

    def _targets(self, type: str, filter: Filter) -> str:
        """A SELECT of one column, target: the resources that a step to another type leads through.

        At a position they are found at once, by a statement of their own: `rows` says everything twice there, so that
        each step would double all the steps within it, and SQLite plans for minutes that no time limit ends.
        """
        if self.at is None:
            # `key` has no affinity and `rid` has; without the + they are compared as numbers, which no index can do
            return f"SELECT +rid AS target FROM ({self.set(type, filter)})"
        apart = Compiler(self.lookup, self.at)
        rids = self.lookup.rids(f"SELECT DISTINCT rid FROM ({apart.set(type, filter)})", apart.bindings)
        return f"SELECT value AS target FROM json_each({self.bind(json.dumps(rids))})"

    def _line(self, filter: Hierarchy) -> list[int]:
        """The roots and all that stand below them, or above, found a level at a time; a ring ends where it began."""
        found = dict.fromkeys(map(self.lookup.rid, filter.roots))
        level = list(found)
        while level:
            step = Compiler(self.lookup, self.at)
            through = f"SELECT value AS target FROM json_each({step.bind(json.dumps(level))})"
            named = f"name = {step.name(filter.parent)}"
            if filter.upward:
                where = f"rid = target AND {named} AND typeof(key) = 'integer'"
                sql = step.rows("key", where, by_rid=True, through=through)
            else:
                sql = step.rows("rid", f"{named} AND key = target", through=through)
            level = [rid for rid in step.lookup.rids(sql, step.bindings) if rid not in found]
            found.update(dict.fromkeys(level))
        return list(found)

    def _or_set(self, type: str, filter: Or) -> str:
        if not filter.filters:
            return "SELECT 0 AS rid WHERE 0"
        return " UNION ".join(f"SELECT rid FROM ({self.set(type, part)})" for part in filter.filters)

    def _or_probe(self, type: str, filter: Or) -> str:
        return _joined("OR", [self.probe(type, part) for part in filter.filters] or ["0"])

    def _and_probe(self, type: str, filter: And) -> str:
        return _joined("AND", [self.probe(type, part) for part in filter.filters] or ["1"])

    def _not_probe(self, type: str, filter: Not) -> str:
        return f"NOT {self.probe(type, filter.filter)}"

    _SETS: ClassVar[dict[type, Callable[[Compiler, str, Any], str]]] = {
        Equal: _rows_set,
        Range: _rows_set,
        Contains: _contains_set,
        Near: _rows_set,
        Present: _rows_set,
        Words: _words_set,
        Ids: _ids_set,
        Updated: _updated_set,
        Chain: _chain_set,
        Has: _has_set,
        Hierarchy: _rows_set,
        Or: _or_set,
    }
    _PROBES: ClassVar[dict[type, Callable[[Compiler, str, Any], str]]] = {
        Equal: _rows_probe,
        Range: _rows_probe,
        Contains: _rows_probe,
        Near: _rows_probe,
        Present: _rows_probe,
        Updated: _updated_probe,
        Chain: _chain_probe,
        Has: _has_probe,
        Hierarchy: _rows_probe,
        And: _and_probe,
        Or: _or_probe,
        Not: _not_probe,
    }


def _joined(word: str, conditions: list[str]) -> str:
    """One condition of them all: a tree, since SQLite takes an expression of a thousand levels and no more."""
    while len(conditions) > 1:
        odd = conditions[len(conditions) & ~1 :]
        pairs = zip(conditions[::2], conditions[1::2], strict=False)
        conditions = [f"({left} {word} {right})" for left, right in pairs] + odd
    return conditions[0]
