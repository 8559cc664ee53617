"""Writing: what a caller may write, of what it sees and of whose it is, and what the server says of it.

No write opens to its writer what others keep: whoever is not told of a member may enrol it, and sees its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from server.auth.owner import check_owned
from server.auth.seen import Seen
from server.auth.sight import NOBODYS, PATIENT, Sight, links, patients
from server.auth.stamp import stamped
from server.fhir import body
from server.fhir.reference import local
from server.ledger import Change, Resource, Version
from server.outcome import Problem
from server.search.filter import And, Not, Or

OPENING = frozenset({"CareTeam", "EpisodeOfCare", PATIENT})  # what makes a Patient a member of somebody's


class Entered(NamedTuple):
    """The Patients whom a caller enrols without having been told of them."""

    shared: frozenset[str]  # what is theirs an agreement opens: the other side has them, and nobody else
    untold: frozenset[str]


async def admitted(seen: Seen, changes: Sequence[Change]) -> list[Change]:
    """The changes as the caller may write them; their rows are filled.

    Problem conflict (409) for an id that is not free, forbidden (403) for what is about a patient whom it does not see,
    for what is another's, and for what would open to it what others keep.
    """
    entered = await _entered(seen, changes)
    changes = await stamped(seen, changes, entered.untold)
    after = Seen(seen.view.with_(changes), seen.sight, seen.judge.rows)
    there = await seen.view.read_many([change.reference for change in changes])
    standing = {reference: version for reference, version in there.items() if version.body is not None}
    hidden = standing.keys() - await seen.of(sorted(standing))
    for change in changes:
        if change.reference in hidden:
            raise Problem.conflict(f"{change.type} takes no resource by the id {change.id!r}: POST gives one an id")
        await _check_owner(seen, there.get(change.reference), change)
    made = {change.reference for change in changes} - standing.keys()
    met = made | entered.shared | entered.untold
    for change in changes:
        if change.resource is not None:
            await _check_written(seen, after, change, met)
        if change.type == PATIENT:
            await _check_patient(seen, after, change, standing.get(change.reference), made)
    await _check_opened(seen, after, changes, standing, made | entered.shared)
    return changes


async def _entered(seen: Seen, changes: Sequence[Change]) -> Entered:
    """Enrolled in a program that shares under an agreement, which waits for nobody; or once more by who did so."""
    shared, untold = set[str](), set[str]()
    for episode in changes:
        if episode.type != "EpisodeOfCare" or not await seen.judge.change(seen.sight.episodes, episode):
            continue
        of = [of for written, of in seen.sight.enrolments() if await seen.judge.change(written, episode)]
        for reference, patient in (await seen.view.read_many(patients(episode))).items():
            if patient.body is None:
                continue
            if await seen.judge.version(seen.sight.untold, patient):
                untold.add(reference)
            elif of and not await _is_known(seen, patient):
                among = [one for one in of if await seen.judge.version(one, patient)]
                (shared if among else untold).add(reference)
    return Entered(frozenset(shared), frozenset(untold))


async def _is_known(seen: Seen, patient: Version) -> bool:
    """Whether a Patient is the caller's, or nobody's, or one of whom it was told."""
    sight = seen.sight
    has = And((sight.members, Not(sight.former)))
    return await seen.judge.version(Or((has, NOBODYS, sight.told)), patient)


async def _check_owner(seen: Seen, version: Version | None, change: Change) -> None:
    """Problem forbidden (403) for what is another's, or kept by a partner alone. `version` is what stands."""
    sight = seen.sight
    before = body.loads(version.body) if version and version.body else None
    check_owned(sight.actor, sight.organizations, before, change)
    if change.type == "PractitionerRole":
        _check_role(sight, before, change)
    if version and before and (kept := sight.partners(change.type)) and await seen.judge.version(kept, version):
        raise Problem.of(
            "forbidden",
            f"{change.reference} is kept by a partner of {sight.actor} alone, who writes it: a Task or a "
            "Communication asks for it",
            change.type,
        )


def _check_role(sight: Sight, before: Resource | None, change: Change) -> None:
    """Problem forbidden (403) for who is at a partner, whose word they could give: that is the partner's to say."""
    for said in (before, change.resource):
        at = local((said or {}).get("organization", {}).get("reference", ""))
        if at and f"{at.type}/{at.id}" in sight.with_us:
            raise Problem.of(
                "forbidden",
                f"Who is at {at.type}/{at.id}, a partner of {sight.actor} under an agreement, that one says",
                "PractitionerRole.organization",
            )


async def _check_written(seen: Seen, after: Seen, change: Change, met: Collection[str]) -> None:
    """`met` are the Patients that the commit makes, or enrols."""
    sight, named = seen.sight, patients(change)
    asked = [one for one in named if one not in met]
    if missing := sorted(set(asked) - await seen.of(asked)):
        raise Problem.of(
            "forbidden",
            f"{sight.actor} has no {' nor '.join(missing)} to write about: only a member of its own, and one of whom "
            "a Task or a Communication tells it; or enrol it (EpisodeOfCare, managed by the organization, in a program "
            "that shares under an agreement)",
            change.type,
        )
    if named and not await after.judge.change(sight.known(change.type), change):
        raise Problem.of(
            "forbidden",
            f"{sight.actor} would not see this {change.type} itself: enrol the member first (EpisodeOfCare), or name "
            "the organization as who keeps it",
            change.type,
        )


async def _check_patient(
    seen: Seen, after: Seen, change: Change, version: Version | None, made: Collection[str]
) -> None:
    """Problem forbidden (403) for a Patient whom the caller has by its own word alone, and for a link to such a one."""
    if version is not None and not await _has(seen, version):
        now = (await after.view.read_many([change.reference])).get(change.reference)
        if now is None or now.body is None or not await _has(after, now):
            raise _not_had(seen, change.reference, change.type)
    before = body.loads(version.body) if version and version.body else {}
    if change.resource is not None and before.get("link") != change.resource.get("link"):
        for other in links(change):
            if other not in made and not await seen.are_open([other]) and not await _is_nobodys(seen, other):
                raise _not_had(seen, other, f"{PATIENT}.link")


async def _has(seen: Seen, patient: Version) -> bool:
    """Whether a Patient is nobody's, or the caller's by more than its own word."""
    return await seen.judge.version(Or((seen.sight.has, NOBODYS)), patient)


async def _is_nobodys(seen: Seen, patient: str) -> bool:
    there = (await seen.view.read_many([patient])).get(patient)
    return there is not None and there.body is not None and await seen.judge.version(NOBODYS, there)


def _not_had(seen: Seen, patient: str, place: str) -> Problem:
    return Problem.of(
        "forbidden",
        f"Who {patient} is, whose, and who else it is, is written by those who have the member: {seen.sight.actor} was "
        "told of it at most, or enrolled it by its own word (an EpisodeOfCare marked own-only)",
        place,
    )


async def _check_opened(
    seen: Seen, after: Seen, changes: Sequence[Change], standing: dict[str, Version], free: Collection[str]
) -> None:
    """Problem forbidden (403) where the caller lets itself in, by a team, a Patient's link or an enrollment's end."""
    found: dict[str, Change] = {}
    for change in changes:
        if change.type in OPENING:
            for one in {*patients(change), *_were(seen, standing.get(change.reference))}.difference(free):
                found.setdefault(one, change)
    before, now = await seen.view.read_many(found), await after.view.read_many(found)
    for reference, change in found.items():
        if reference not in before or reference not in now or now[reference].body is None:
            continue
        if not await after.are_open([reference]) or await seen.are_open([reference]):
            continue
        if not await _may_open(seen, after, before[reference], now[reference]):
            raise Problem.of(
                "forbidden",
                f"This {change.type} would open to {seen.sight.actor} what others keep of {reference}: by that it is "
                "let in by them (a Task that it owns, a Communication that it receives) and an enrollment "
                "(EpisodeOfCare) of its own, or by an agreement",
                change.type,
            )


def _were(seen: Seen, version: Version | None) -> list[str]:
    """The Patients whose a resource is as it stands."""
    if version is None:
        return []
    stood = Change("PUT", version.type, version.id, rows=seen.judge.rows(body.loads(version.body or b"")))
    return patients(stood)


async def _may_open(seen: Seen, after: Seen, was: Version, now: Version) -> bool:
    """True of a Patient whom nobody had, and of one of whom others told the caller, who enrols it."""
    sight = seen.sight
    if was.body is None or await seen.judge.version(NOBODYS, was):
        return True
    is_new = not await seen.judge.version(sight.members, was) and await seen.judge.version(sight.told, was)
    return is_new and await after.judge.version(sight.enrolled, now)
