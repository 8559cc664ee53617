"""Patient/$match: the records that may be of the person who is described, the likeliest first.

https://hl7.org/fhir/R4/patient-operation-match.html

Candidates come of a handful of searches, each bounded; `server.coordination.match` compares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination.assignment import assignment
from server.coordination.match import CERTAIN, LENGTH, NOT, VALUES, Match, doubted, exchanged, match, reached
from server.fhir import body, bundle
from server.fhir.folding import folded
from server.ledger import Resource, Version, View
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.outcome import Issue, Problem, outcome
from server.search import query
from server.search.escaping import escape
from server.search.filter import Ids
from server.validation import element

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
MOST = 200  # candidates of one search
SHOWN = 50  # matches, where no count is given

Criteria = Sequence[tuple[str, str]]


class Found(NamedTuple):
    """A person's record that is in use, and how well any of the person's records matches."""

    version: Version
    match: Match


async def match_of(call: Call) -> Answer:
    """A searchset, the likeliest first; with onlyCertainMatches at most one.

    Problem required where too little is told to look for anybody, invalid for what is no Patient.
    """
    asked = _asked(call)
    count = call.inputs.one("count")
    if count is not None and count < 1:
        raise Problem.invalid("count is 1 or more", place("count"))
    searches = list(_searches(asked))
    if not searches:
        raise Problem.of(
            "required",
            "Too little is told to find anybody: an identifier with its system, a telecom, or two of family name, "
            "given name, birth date and (with the birth date) postal code",
            place("resource"),
        )
    view = await call.repository.view(call.caller)
    candidates, issues, is_whole = await _candidates(view, searches, call.base_url)
    found = await _people(view, asked, candidates)
    if call.inputs.one("onlyCertainMatches"):
        found, ambiguous = _only(found, is_whole)
        issues += ambiguous
    return Answer(text=_searchset(call.base_url, found, SHOWN if count is None else count, issues))


def _asked(call: Call) -> Resource:
    """The Patient that is described. It may lack what a Patient has to have; what it has is of the right form."""
    resource: Resource = call.inputs.one("resource")
    if wrong := [issue for issue in element.validate(resource) if issue.code not in ("required", "invariant")]:
        raise Problem.with_issues("invalid", wrong)
    return resource


# Candidates


def _searches(asked: Resource) -> Iterator[Criteria]:
    """What the candidates have in common with who is described, at least; each a search."""
    identifiers = [
        f"{escape(one['system'])}|{escape(one['value'])}"
        for one in asked.get("identifier", ())
        if one.get("system") and one.get("value")
    ]
    names = asked.get("name", ())
    family = _values(part for name in names for part in _parts(name.get("family")))
    given = _values(next(iter(_words(next(filter(None, name.get("given", ())), None))), None) for name in names)
    born = asked.get("birthDate", "")
    dates = ",".join([born, *exchanged(born)])
    codes = _values(address.get("postalCode", "").partition("-")[0] for address in asked.get("address", ()))
    telecom = _values([*(point.get("value") for point in asked.get("telecom", ())), *sorted(reached(asked))])
    for criteria in (
        (("identifier", ",".join(identifiers[:VALUES])),),
        (("birthdate", dates), ("family", family)),
        (("birthdate", dates), ("given", given)),
        (("birthdate", born), ("address-postalcode", codes)),
        (("family", family), ("given", given)),
        (("telecom", telecom),),
    ):
        if all(value for _, value in criteria):
            yield criteria


def _parts(family: str | None) -> list[str]:
    """A family name, and each of several that somebody bears: what is shorter begins too many."""
    return [family, *(word for word in _words(family) if len(word) > 3)] if family else []


def _words(name: str | None) -> list[str]:
    return (name or "").replace("-", " ").split()


def _values(texts: Iterator[str | None] | Sequence[str | None]) -> str:
    """Alternatives, as a search takes them."""
    found = dict.fromkeys(escape(text[:LENGTH]) for text in texts if text and folded(text[:LENGTH]))
    return ",".join(list(found)[:VALUES])


async def _candidates(
    view: View, searches: Sequence[Criteria], base_url: str
) -> tuple[dict[str, Version], list[Issue], bool]:
    """Those found, what was left out, and whether all of those were looked at who may be certain."""
    found: dict[str, Version] = {}
    issues = []
    is_whole = True
    for criteria in searches:
        filter = query.parse("Patient", criteria, base_url=base_url, lenient=False).filter
        versions = await view.search("Patient", filter, MOST + 1)
        found |= {version.reference: version for version in versions[:MOST]}
        if len(versions) > MOST:
            names = [name for name, _ in criteria]
            is_whole = is_whole and names == ["family", "given"]
            text = f"More than {MOST} patients agree in {' and '.join(names)}, of whom as many were compared: tell more"
            issues.append(Issue("incomplete", text, (place("resource"),), "warning"))
    return found, issues, is_whole


async def _people(view: View, asked: Resource, candidates: Mapping[str, Version]) -> list[Found]:
    """Of each person the record that stands for the others that it replaced, the likeliest first, then by id."""
    members = await assignment.members(view, candidates)
    people = {id(member): member for member in members.values()}.values()
    missing = {member.patient for member in people} - candidates.keys()
    standing = await view.search("Patient", Ids(tuple(sorted(one.partition("/")[2] for one in missing))), len(missing))
    versions = {**candidates, **{version.reference: version for version in standing}}
    scores = await asyncio.to_thread(_scores, asked, versions)
    found = [
        _standing(member.patient, versions, {one: scores[one] for one in member.patients if one in scores})
        for member in people
    ]
    likely = [one for one in found if one.match.grade != NOT]
    return sorted(likely, key=lambda one: (-one.match.score, one.version.id))


def _standing(patient: str, versions: Mapping[str, Version], scores: Mapping[str, Match]) -> Found:
    """The record that stands for the person; one of those that it replaced where it is not there, which is a doubt."""
    best = max(scores, key=lambda one: (scores[one].score, one))
    if patient in versions:
        return Found(versions[patient], scores[best])
    return Found(versions[best], doubted(scores[best]))


def _scores(asked: Resource, versions: Mapping[str, Version]) -> dict[str, Match]:
    return {
        reference: match(asked, body.loads(version.body)) for reference, version in versions.items() if version.body
    }


def _only(found: Sequence[Found], is_whole: bool) -> tuple[list[Found], list[Issue]]:
    """The one that is certain; none where several are, or may be."""
    certain = [one for one in found if one.match.grade == CERTAIN]
    if len(certain) == 1 and is_whole:
        return certain, []
    if not found:
        return [], []
    why = "no certain match" if is_whole and not certain else "more than one that may be certain"
    text = f"There is {why}; without onlyCertainMatches all that come near are answered, with their grades"
    return [], [Issue("multiple-matches" if certain else "informational", text, severity="information")]


# The answer


def _searchset(base_url: str, found: Sequence[Found], count: int, issues: Sequence[Issue]) -> bytes:
    entries = [
        bundle.entry(base_url, one.version.reference, one.version.body or b"", further=_graded(one.match))
        for one in found[:count]
    ]
    if issues:
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % body.dumps(outcome(issues)))
    return bundle.assembled("searchset", entries, total=len(found))


def _graded(match: Match) -> bytes:
    return b',"score":%b,"extension":%b' % (
        body.dumps(match.score),
        body.dumps([{"url": GRADE, "valueCode": match.grade}]),
    )
