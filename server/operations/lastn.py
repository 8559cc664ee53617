"""Observation/$lastn: the most recent observations of each code, of a subject.

https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import urlencode

from server.fhir import body, bundle
from server.ledger import Version
from server.operations.call import Answer, Call
from server.outcome import Problem
from server.repository import MAX_COUNT
from server.search.lastn import lastn
from server.search.query import CONTROLS, Query

MOST = 10_000  # observations that are looked through
SUBJECTS = frozenset({"patient", "subject"})
CODES = ("code", "combo-code", "component-code")  # what the parameters that search a code begin with
_NO_VALUES = frozenset({"missing", "not", "not-in"})  # modifiers by which a parameter says what is not meant


async def last(call: Call) -> Answer:
    """A searchset, newest first, at one position. Problem required where no subject, or neither category nor code."""
    criteria = [(name, value) for name, values in call.inputs.given.items() if name != "max" for value in values]
    asked = [(name, str(given.value)) for name, given in criteria]
    _check([name for name, _ in asked])
    query = await call.repository.parsed("Observation", asked, base_url=call.base_url, lenient=False)
    found = await _all(call, query)
    return Answer(text=await asyncio.to_thread(_searchset, call, asked, found))


def _check(names: Sequence[str]) -> None:
    """What R4 asks of the criteria."""
    if control := next((name for name in names if name.partition(":")[0] in CONTROLS), None):
        raise Problem.of(
            "invalid",
            f"$lastn answers whole resources, newest first, in one page: {control} does not fit; max and Observation's "
            "search parameters do",
            f"http.{control}",
        )
    told = [re.split("[.:]", name)[0] for name in names if name.rpartition(":")[2] not in _NO_VALUES]
    if not SUBJECTS.intersection(told):
        raise Problem.of("required", "patient or subject says whose observations are meant", "http.patient")
    if not any(name == "category" or name.startswith(CODES) for name in told):
        raise Problem.of("required", "category, code or another parameter of a code says which", "http.category")


async def _all(call: Call, query: Query) -> list[Version]:
    """All that the criteria find. Problem too_costly (413) where they are more than are looked through."""
    query.count = MAX_COUNT
    page = await call.repository.search(call.caller, query)
    found = list(page.matches)
    while page.next is not None:
        if len(found) >= MOST:
            raise Problem.of("too_costly", f"More than {MOST} observations are found: narrow them by code or date")
        page = await call.repository.search(call.caller, query, page.next)
        found += page.matches
    return found


def _searchset(call: Call, asked: Sequence[tuple[str, str]], found: Sequence[Version]) -> bytes:
    most = call.inputs.one("max") or 1
    shown = lastn([body.loads(version.body or b"{}") for version in found], most, call.base_url)
    given = [*asked, *([("max", str(most))] if "max" in call.inputs.given else [])]
    link = f"{call.base_url}/Observation/$lastn?{urlencode(given, safe=':,|.')}"
    entries = [bundle.entry(call.base_url, found[index].reference, found[index].body or b"") for index in shown]
    return bundle.assembled("searchset", entries, total=len(shown), links=[("self", link)])
