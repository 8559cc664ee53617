"""Whereabouts: the positions of members, of case managers' locations and of the providers in use, as far as known.

https://hl7.org/fhir/R4/location-definitions.html#Location.position

A position is an address's geolocation, or a Location's; else that of the smallest area whose address agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from server.coordination import period
from server.coordination.assignment import area
from server.coordination.facts import Location, Place, Role, Service
from server.coordination.rebalance.situation import UNKNOWN
from server.ledger import View


@dataclass(slots=True)
class Whereabouts:
    """Positions that were asked for, each once, and what has which: an index, or UNKNOWN."""

    points: list[tuple[float, float]] = field(default_factory=list)
    areas: list[str] = field(default_factory=list)
    _index: dict[tuple[float, float], int] = field(default_factory=dict)
    _locations: dict[str, int] = field(default_factory=dict)
    _is_area: dict[str, bool] = field(default_factory=dict)
    _providers: dict[str, list[int]] = field(default_factory=dict)
    _areas: dict[str, int] = field(default_factory=dict)

    async def locations(self, view: View, references: Iterable[str]) -> None:
        """Read Locations that are not known yet."""
        wanted = set(references) - self._locations.keys()
        for reference, rows in (await view.facts("location", wanted)).items() if wanted else ():
            found = [Location.of(fact) for fact in rows]
            self._locations[reference] = self._point(found[0].latitude, found[0].longitude) if found else UNKNOWN
            self._is_area[reference] = bool(found) and found[0].is_area

    def at(self, locations: Sequence[str]) -> tuple[int, ...]:
        """The positions of Locations that were read."""
        found = {self._locations[location] for location in locations}
        return tuple(sorted(found - {UNKNOWN}))

    def area_of(self, locations: Sequence[str]) -> str:
        """The first area among Locations that were read."""
        return next((location for location in locations if self._is_area[location]), "")

    def area(self, reference: str | None) -> int:
        """An area's place in `areas`."""
        if reference is None:
            return UNKNOWN
        if reference not in self._areas:
            self._areas[reference] = len(self.areas)
            self.areas.append(reference)
        return self._areas[reference]

    async def homes(self, view: View, patients: Collection[str], at: int) -> dict[str, tuple[int, int]]:
        """Each Patient's position and area."""
        around = await area.areas(view, patients, at)
        await self.locations(view, {one for found in around.values() for one in found})
        placed = await view.facts("place", patients)
        homes = {}
        for patient in patients:
            near = around.get(patient, ())
            own = [Place.of(fact) for fact in placed[patient]]
            points = [self._point(place.latitude, place.longitude) for place in own]
            points += [self._locations[one] for one in near]
            home = next((point for point in points if point != UNKNOWN), UNKNOWN)
            homes[patient] = home, self.area(near[0] if near else None)
        return homes

    async def services(self, view: View, patients: Collection[str], at: int, zone: str) -> dict[str, list[int]]:
        """The positions of the providers of each Patient's active services, one for each provider."""
        used: dict[str, list[str]] = {}
        for patient, rows in (await view.facts("service", patients)).items():
            services = map(Service.of, rows)
            used[patient] = sorted(
                {one for service in services if period.ends(service.end, zone) > at for one in service.performers}
            )
        await self._read_providers(view, {one for found in used.values() for one in found})
        return {patient: [point for one in found for point in self._providers[one]] for patient, found in used.items()}

    async def _read_providers(self, view: View, references: Iterable[str]) -> None:
        wanted = set(references) - self._providers.keys()
        if not wanted:
            return
        roles = await view.facts("role", [one for one in wanted if one.startswith("PractitionerRole/")])
        places = await view.facts("place", wanted)
        at = {reference: Role.of(rows[0]).locations for reference, rows in roles.items() if rows}
        found = {reference: [Place.of(fact) for fact in rows] for reference, rows in places.items()}
        addresses = {tuple(place.address) for rows in found.values() for place in rows if place.address}
        matching = await area.matching(view, addresses)
        for reference in wanted:
            at.setdefault(reference, [reference] if reference.startswith("Location/") else [])
            at[reference] = [*at[reference], *(one for place in found[reference] for one in place.locations)]
        areas = {one for located in matching.values() for one in located}
        await self.locations(view, areas.union(*at.values()))
        for reference in wanted:
            points = [self._point(place.latitude, place.longitude) for place in found[reference]]
            points += [self._locations[one] for one in at[reference]]
            points += [
                self._locations[one] for place in found[reference] for one in matching.get(tuple(place.address), ())
            ]
            self._providers[reference] = [point for point in points if point != UNKNOWN][:1]

    def _point(self, latitude: float | None, longitude: float | None) -> int:
        if latitude is None or longitude is None:
            return UNKNOWN
        point = (latitude, longitude)
        if point not in self._index:
            self._index[point] = len(self.points)
            self.points.append(point)
        return self._index[point]
