"""Area: where a member lives, and whose area that is.

https://hl7.org/fhir/R4/location.html, https://hl7.org/fhir/R4/healthcareservice-definitions.html#HealthcareService.coverageArea

An area is a Location of the physical type area or jdn (jurisdiction). A member is in it where a home address agrees
with its address in all that this one gives of postalCode, city, district (in the US the county) and state; and in
whatever that Location is part of. An area that has parts needs no address of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from server.coordination import period
from server.coordination.facts import Home, Location, Role, address_keys
from server.ledger import Fact, View

Address = tuple[str, ...]


async def areas(view: View, patients: Collection[str], at: int | None = None) -> dict[str, list[str]]:
    """The areas that each Patient lives in, an area before those that it is part of.

    At an instant, in microseconds since the epoch; without one, by the addresses that have no end.
    """
    homes = {
        patient: [home.address for home in map(Home.of, rows) if _is_home(home, at)]
        for patient, rows in (await view.facts("home", patients)).items()
    }
    addresses = {address for found in homes.values() for address in found}
    found = await matching(view, addresses)
    whole = await _wholes(view, {part for parts in found.values() for part in parts})
    around = {address: _upward(parts, whole) for address, parts in found.items()}
    return {
        patient: list(dict.fromkeys(area for address in found for area in around[address]))
        for patient, found in homes.items()
    }


async def covers(view: View, role: str, patients: Collection[str], at: int | None = None) -> set[str]:
    """Those of the Patients who live in an area of a PractitionerRole; all of them, where it is for no area.

    A location of the role that is a building says where somebody works, not for which area.
    """
    rows = (await view.facts("role", [role]))[role]
    locations = Role.of(rows[0]).locations if rows else []
    known = await view.facts("location", locations) if locations else {}
    own = {one for one in locations if all(Location.of(fact).is_area for fact in known[one])}
    if not own:
        return set(patients)
    around = await areas(view, patients, at)
    return {patient for patient in patients if not own.isdisjoint(around[patient])}


def _is_home(home: Home, at: int | None) -> bool:
    if at is None:
        return home.end is None
    return period.holds([period.between(home.start, home.end, "UTC")], at)


async def matching(view: View, addresses: Collection[Address]) -> dict[Address, list[str]]:
    """The areas whose address agrees with each of these, those first that say more."""
    found = await view.facts("area", {key for address in addresses for key in address_keys(address)})
    agreeing = {}
    for address in addresses:
        there = [fact for key in address_keys(address) for fact in found[key] if _agrees(fact.data, address)]
        agreeing[address] = [fact.source for fact in sorted(there, key=_silence)]
    return agreeing


def _agrees(area: Iterable[str], home: Address) -> bool:
    return all(not part or part == own for part, own in zip(area, home, strict=True))


def _silence(area: Fact) -> tuple[int, list[bool], str]:
    missing = [not part for part in area.data]
    return sum(missing), missing, area.source


async def _wholes(view: View, parts: Iterable[str]) -> dict[str, str]:
    """What each Location is part of, and what that is part of, and so on."""
    whole: dict[str, str] = {}
    seen: set[str] = set()
    pending = set(parts)
    while pending:
        seen |= pending
        found = [Location.of(fact) for rows in (await view.facts("location", pending)).values() for fact in rows]
        whole |= {one.reference: one.whole for one in found if one.whole}
        pending = {one.whole for one in found if one.whole} - seen
    return whole


def _upward(parts: Iterable[str], whole: Mapping[str, str]) -> list[str]:
    """The parts and all that they are part of, each before what it is part of."""
    found = [area for part in parts for area in _chain(part, whole)]
    return list(dict.fromkeys(reversed(found)))[::-1]


def _chain(part: str, whole: Mapping[str, str]) -> list[str]:
    found = [part]
    while (following := whole.get(found[-1])) is not None and following not in found:
        found.append(following)
    return found
