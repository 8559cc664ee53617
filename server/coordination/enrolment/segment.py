"""Segment: why a Health Home segment ended is a code for segments of its type, and of one that is over.

https://hl7.org/fhir/R4/episodeofcare.html

The type of a segment (outreach, enrollment) is an extension of its EpisodeOfCare: of who gives none, none is asked. A
code that the program's file does not have is taken: the list that was readable is not the whole one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.coordination import facts
from server.coordination.facts import tokens
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Resource, micros
from server.outcome import Issue

TYPE = f"{facts.BASE}/StructureDefinition/segment-type"
MEMBERS = {facts.SEGMENT_END: "valueCodeableConcept", TYPE: "valueCode"}  # how each extension says it
OVER = frozenset({"finished", "cancelled", "entered-in-error"})


def sound(context: Context, changes: Sequence[Change], programs: Programs) -> list[Issue]:
    """Refuse an end that segments of this type do not have, and one of a segment that goes on."""
    if context.override is AS_RECORDED:
        return []
    near = (programs.near(url, micros(context.now)) for url in programs)
    ruled = [(program, rule) for program in near for rule in program.of_kind("segment-end")]
    issues: list[Issue] = []
    for change in changes:
        for program, rule in ruled:
            found = list(_wrong(change, change.resource or {}, program, rule))
            if found:
                issues += found
                break
    return issues


def _wrong(change: Change, episode: Resource, program: Program, rule: Rule) -> Iterator[Issue]:
    if rule.parameters["type"] not in tokens(episode.get("type")):
        return
    place = Place(change.reference, f"EpisodeOfCare.extension('{facts.SEGMENT_END}')")
    for one in episode.get("extension", ()):
        member = MEMBERS.get(one["url"])
        if member and member not in one:
            why = f"{change.reference} says it in a way that is not read: accepted is {member}."
            yield refusal(program, rule, why, Place(change.reference, f"EpisodeOfCare.extension('{one['url']}')"))
    ended = _said(episode, facts.SEGMENT_END)
    codes = tokens([ended]) if isinstance(ended, dict) else []
    if codes and episode.get("status") not in OVER and "end" not in episode.get("period", {}):
        why = f"{change.reference} says why the segment ended, and it goes on: say when (period.end)."
        yield refusal(program, rule, why, place)
    type = _said(episode, TYPE)
    for part in rule.parts:
        if part.code in codes and type and type not in part.parameters["segment"]:
            own = " and ".join(part.parameters["segment"])
            why = f"{change.reference} is an {type} segment; {part.title!r} ends segments of {own}."
            yield refusal(program, rule, why, place)


def _said(episode: Resource, url: str) -> object:
    return next((one.get(MEMBERS[url]) for one in episode.get("extension", ()) if one["url"] == url), None)
