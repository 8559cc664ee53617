#!/usr/bin/env python3
"""An Iowa-like population of HCBS members and their case managers, as NDJSON: the same lines for the same arguments.

    population.py                                    # the full size: 30,000 members, 700 managers, 3 MCOs
    population.py --members 900 --managers 21 --seed 7
    population.py --loads 50,49,12                   # one manager for each number; more than 50 is a breach
    population.py --prefix b- --seed 2               # ids of its own, to stand beside another population

Nobody in it is real: families are named after rocks, telephones end in 555-01xx, places are Iowa's counties.
Resources come in an order in which nothing refers to a later one, so that any prefix can be loaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Resource = dict[str, Any]

BASE = "https://careplan-server.org/fhir"
ZONE = ZoneInfo("America/Chicago")
DIRECTORY = Path(__file__).parent / "iowa-directory.json"
REALIGNMENT = date(2025, 1, 1)  # the caps' first day: members who changed managers for them had done so by then
CAP = 50
AS_OF = date(2026, 1, 1)  # the plans are of this year, and everybody has a manager by then
PROVIDERS = 10  # in each county


class County(NamedTuple):
    name: str
    seat: str
    postal_code: str
    latitude: float
    longitude: float
    weight: int  # its share of the members

    @property
    def slug(self) -> str:
        return self.name.lower().replace(" ", "-")


COUNTIES = [
    County("Polk", "Des Moines", "50309", 41.59, -93.62, 49),
    County("Linn", "Cedar Rapids", "52401", 41.98, -91.67, 23),
    County("Scott", "Davenport", "52801", 41.52, -90.58, 17),
    County("Johnson", "Iowa City", "52240", 41.66, -91.53, 15),
    County("Black Hawk", "Waterloo", "50703", 42.49, -92.34, 13),
    County("Woodbury", "Sioux City", "51101", 42.5, -96.4, 11),
    County("Dubuque", "Dubuque", "52001", 42.5, -90.66, 10),
    County("Dallas", "Adel", "50003", 41.61, -94.02, 10),
    County("Pottawattamie", "Council Bluffs", "51501", 41.26, -95.86, 9),
    County("Story", "Nevada", "50201", 42.02, -93.45, 9),
    County("Warren", "Indianola", "50125", 41.36, -93.56, 5),
    County("Clinton", "Clinton", "52732", 41.84, -90.19, 5),
    County("Cerro Gordo", "Mason City", "50401", 43.15, -93.2, 4),
    County("Muscatine", "Muscatine", "52761", 41.42, -91.04, 4),
    County("Marshall", "Marshalltown", "50158", 42.05, -92.91, 4),
    County("Webster", "Fort Dodge", "50501", 42.5, -94.17, 4),
    County("Jasper", "Newton", "50208", 41.7, -93.05, 4),
    County("Wapello", "Ottumwa", "52501", 41.02, -92.41, 3),
    County("Marion", "Knoxville", "50138", 41.32, -93.1, 3),
    County("Sioux", "Orange City", "51041", 43.01, -96.06, 3),
    County("Buena Vista", "Storm Lake", "50588", 42.64, -95.21, 2),
    County("Carroll", "Carroll", "51401", 42.07, -94.87, 2),
    County("Winneshiek", "Decorah", "52101", 43.3, -91.79, 2),
    County("Union", "Creston", "50801", 41.06, -94.36, 1),
]

FAMILIES = [
    *(
        "Andesite",
        "Basalt",
        "Chert",
        "Dolomite",
        "Eclogite",
        "Feldspar",
        "Gneiss",
        "Hornfels",
        "Ironstone",
        "Jasperite",
    ),
    *("Kimberlite", "Limestone", "Marble", "Novaculite", "Obsidian", "Pumice", "Quartzite", "Rhyolite", "Sandstone"),
    *("Travertine", "Umber", "Varvite", "Wackestone", "Xenolith", "Zeolite"),
]
GIVEN = [
    *("Aspen", "Briar", "Clover", "Dahlia", "Elder", "Fern", "Ginger", "Hazel", "Iris", "Juniper", "Kale", "Laurel"),
    *("Maple", "Nettle", "Olive", "Poppy", "Quince", "Rowan", "Sage", "Tansy", "Ulex", "Violet", "Willow", "Yarrow"),
]

SERVICES = [  # HCPCS Level II codes of what HCBS waivers pay for
    ("S5130", "Homemaker service"),
    ("S9122", "Home health aide"),
    ("T1005", "Respite care"),
    ("S5170", "Home-delivered meals"),
    ("S5161", "Emergency response system"),
    ("S5102", "Adult day care"),
    ("S5125", "Attendant care"),
    ("H2015", "Community support"),
]

GOALS = [
    "Stay at home with the support of services",
    "Take part in a community activity every week",
    "No avoidable emergency visit in the plan's year",
    "Learn to prepare one meal without help",
    "Move about the home without a fall",
    "Give the caregiver two evenings of rest a month",
]


def reference(resource: Resource, display: str | None = None) -> Resource:
    link = {"reference": f"{resource['resourceType']}/{resource['id']}"}
    return link | {"display": display} if display else link


def codeable(system: str, code: str, display: str | None = None) -> Resource:
    coding = {"system": system, "code": code}
    return {"coding": [coding | {"display": display} if display else coding]}


def own(system: str, code: str) -> Resource:
    """A code of the project's own CodeSystems."""
    return codeable(f"{BASE}/CodeSystem/{system}", code)


def identifier(system: str, value: str) -> list[Resource]:
    return [{"system": f"{BASE}/sid/{system}", "value": value}]


def midnight(day: date) -> str:
    """The instant at which the day begins in Iowa."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).isoformat()


def some_day(random: Random, first: date, last: date) -> date:
    """A day of [first, last]."""
    return first + timedelta(days=random.randint(0, (last - first).days))


def name(random: Random) -> Resource:
    return {"use": "official", "family": random.choice(FAMILIES), "given": [random.choice(GIVEN)]}


def display(person: Resource) -> str:
    return f"{person['name'][0]['given'][0]} {person['name'][0]['family']}"


def phone(random: Random) -> Resource:
    return {"system": "phone", "value": f"1-515-555-01{random.randrange(100):02d}"}


def address(random: Random, county: County) -> Resource:
    return {
        "use": "home",
        "line": [f"{random.randint(1, 9999)} Example Street"],
        "city": county.seat,
        "district": county.name,
        "state": "IA",
        "postalCode": county.postal_code,
        "country": "US",
    }


def provider(county: County, number: int) -> Resource:
    return {
        "resourceType": "Organization",
        "id": f"provider-{county.slug}-{number}",
        "active": True,
        "type": [codeable("http://terminology.hl7.org/CodeSystem/organization-type", "prov", "Healthcare Provider")],
        "name": f"{county.name} County Home Services {number} (fictional)",
        "telecom": [{"system": "phone", "value": f"1-319-555-01{number:02d}"}],
        "address": [{"city": county.seat, "district": county.name, "state": "IA", "postalCode": county.postal_code}],
    }


@dataclass(frozen=True, slots=True)
class Manager:
    """A case manager: the person, and the role in which members are held."""

    practitioner: Resource
    role: Resource
    county: County
    since: date  # at this MCO

    @classmethod
    def make(cls, random: Random, id: str, mco: Resource) -> Manager:
        county = random.choices(COUNTIES, [county.weight for county in COUNTIES])[0]
        since = some_day(random, date(2016, 4, 1), date(2024, 6, 30))
        career = some_day(random, date(1998, 1, 1), since)
        practitioner = {
            "resourceType": "Practitioner",
            "id": id,
            "identifier": identifier("ia-case-manager", id),
            "active": True,
            "name": [name(random)],
            "telecom": [phone(random), {"system": "email", "value": f"{id}@mco.example"}],
            "qualification": [
                {"code": {"text": "Community-based case manager"}, "period": {"start": career.isoformat()}}
            ],
        }
        role = {
            "resourceType": "PractitionerRole",
            "id": id,
            "active": True,
            "period": {"start": since.isoformat()},
            "practitioner": reference(practitioner, display(practitioner)),
            "organization": reference(mco, mco["name"]),
            "code": [own("cm-role", "cbcm")],
            "location": [{"reference": f"Location/ia-{county.slug}"}],
            "telecom": practitioner["telecom"],
        }
        return cls(practitioner, role, county, since)

    @property
    def link(self) -> Resource:
        return reference(self.role, display(self.practitioner))


@dataclass(frozen=True, slots=True)
class Member:
    """One member's resources, about ten: who they are, enrollment, team, plan, goals, services."""

    random: Random
    id: str
    number: int
    mco: Resource
    county: County
    as_of: date

    def resources(self, manager: Manager | None, former: Manager | None) -> Iterator[Resource]:
        patient = self.patient()
        guardian = self.guardian(patient)
        enrolled = some_day(self.random, date(2018, 1, 1), REALIGNMENT - timedelta(days=120))
        services = [self.service(patient, manager, n) for n in range(1, 4)]
        goals = [self.goal(patient, n) for n in range(1, 3)]
        team = self.team(patient, guardian, self.assignments(manager, former, enrolled), services)
        yield patient
        yield from guardian
        yield self.coverage(patient, enrolled)
        yield self.episode(patient, enrolled)
        yield team
        yield from services
        yield from goals
        yield self.plan(patient, manager, team, goals, services)

    def patient(self) -> Resource:
        age = self.random.choice([self.random.randint(4, 17), *(self.random.randint(18, 95) for _ in range(4))])
        born = some_day(self.random, date(self.as_of.year - age - 1, 1, 1), date(self.as_of.year - age - 1, 12, 31))
        return {
            "resourceType": "Patient",
            "id": self.id,
            "identifier": identifier("ia-member", self.id),
            "active": True,
            "name": [name(self.random)],
            "telecom": [phone(self.random)],
            "gender": self.random.choice(["female", "male"]),
            "birthDate": born.isoformat(),
            "address": [address(self.random, self.county)],
            "communication": [{"language": codeable("urn:ietf:bcp:47", self.random.choice(["en", "en", "en", "es"]))}],
        }

    def guardian(self, patient: Resource) -> list[Resource]:
        if self.as_of.year - int(patient["birthDate"][:4]) > 18:
            return []
        person = {
            "resourceType": "RelatedPerson",
            "id": f"{self.id}-guardian",
            "active": True,
            "patient": reference(patient),
            "relationship": [codeable("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "GUARD", "guardian")],
            "name": [name(self.random) | {"family": patient["name"][0]["family"]}],
            "telecom": [phone(self.random)],
        }
        return [person]

    def coverage(self, patient: Resource, enrolled: date) -> Resource:
        return {
            "resourceType": "Coverage",
            "id": self.id,
            "status": "active",
            "type": {"text": "Medicaid managed care"},
            "subscriberId": f"IA{self.number:07d}",
            "beneficiary": reference(patient),
            "period": {"start": enrolled.isoformat()},
            "payor": [reference(self.mco, self.mco["name"])],
        }

    def episode(self, patient: Resource, enrolled: date) -> Resource:
        return {
            "resourceType": "EpisodeOfCare",
            "id": self.id,
            "status": "active",
            "type": [own("cm-program", "ia-hcbs")],
            "patient": reference(patient),
            "managingOrganization": reference(self.mco, self.mco["name"]),
            "period": {"start": enrolled.isoformat()},
        }

    def assignments(self, manager: Manager | None, former: Manager | None, enrolled: date) -> list[Resource]:
        """The member's managers one after the other, the periods half-open at Iowa's midnights."""
        if manager is None:
            return []
        first = max(enrolled, manager.since)
        if former is None or former is manager:
            return [assignment(manager, first, None)]
        earlier = max(enrolled, former.since)
        switch = some_day(self.random, max(first, earlier) + timedelta(days=1), REALIGNMENT)
        return [assignment(former, earlier, switch), assignment(manager, switch, None)]

    def team(
        self, patient: Resource, guardian: list[Resource], assignments: list[Resource], services: list[Resource]
    ) -> Resource:
        others = [
            {"role": [{"text": "Guardian"}], "member": reference(person, display(person))} for person in guardian
        ] + [{"role": [{"text": "HCBS provider"}], "member": service["performer"][0]} for service in services[:1]]
        return {
            "resourceType": "CareTeam",
            "id": self.id,
            "status": "active",
            "category": [
                codeable("http://loinc.org", "LA28866-4", "Home & Community Based Services (HCBS)-focused care team")
            ],
            "name": "HCBS care team",
            "subject": reference(patient),
            "participant": assignments + others,
            "managingOrganization": [reference(self.mco)],
        }

    def service(self, patient: Resource, manager: Manager | None, number: int) -> Resource:
        code, text = SERVICES[(self.number * 3 + number) % len(SERVICES)]
        year = self.as_of.year
        requested: Resource = {
            "resourceType": "ServiceRequest",
            "id": f"{self.id}-{number}",
            "status": "active",
            "intent": "order",
            "code": codeable("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", code, text),
            "subject": reference(patient),
            "occurrencePeriod": {"start": f"{year}-01-01", "end": f"{year}-12-31"},
            "authoredOn": f"{year - 1}-12-15",
            "performer": [
                {"reference": f"Organization/provider-{self.county.slug}-{self.random.randint(1, PROVIDERS)}"}
            ],
        }
        return requested | {"requester": manager.link} if manager else requested

    def goal(self, patient: Resource, number: int) -> Resource:
        return {
            "resourceType": "Goal",
            "id": f"{self.id}-{number}",
            "lifecycleStatus": "active",
            "priority": codeable(
                "http://terminology.hl7.org/CodeSystem/goal-priority", self.random.choice(["high", "medium", "low"])
            ),
            "description": {"text": GOALS[(self.number + number) % len(GOALS)]},
            "subject": reference(patient),
            "startDate": f"{self.as_of.year}-01-01",
            "target": [{"dueDate": some_day(self.random, self.as_of, date(self.as_of.year, 12, 31)).isoformat()}],
            "expressedBy": reference(patient),
        }

    def plan(
        self,
        patient: Resource,
        manager: Manager | None,
        team: Resource,
        goals: list[Resource],
        services: list[Resource],
    ) -> Resource:
        year = self.as_of.year
        plan: Resource = {
            "resourceType": "CarePlan",
            "id": self.id,
            "status": "active",
            "intent": "plan",
            "category": [codeable("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")],
            "title": "Service plan",
            "subject": reference(patient),
            "period": {"start": f"{year}-01-01", "end": f"{year}-12-31"},
            "created": f"{year - 1}-12-15",
            "careTeam": [reference(team)],
            "goal": [reference(goal) for goal in goals],
            "activity": [{"reference": reference(service)} for service in services],
        }
        return plan | {"author": manager.link} if manager else plan


def assignment(manager: Manager, start: date, end: date | None) -> Resource:
    period = {"start": midnight(start)} | ({"end": midnight(end)} if end else {})
    return {"role": [own("cm-role", "cbcm")], "member": manager.link, "period": period}


def directory() -> list[Resource]:
    """The MCOs and whom to call there, as Iowa published them; areas with their counties, and who manages them."""
    return [entry["resource"] for entry in json.loads(DIRECTORY.read_text())["entry"]]


def spread(members: int, managers: int, random: Random) -> list[int]:
    """How many members each manager holds: about the mean, never above the cap while the mean is not."""
    mean, rest = divmod(members, managers)
    width = max(0, min(7, CAP - mean - 1, mean))
    offsets = [random.randint(-width, width) for _ in range(managers // 2)]
    loads = [mean + offset for offset in offsets] + [mean - offset for offset in offsets]
    loads += [mean] * (managers - len(loads))
    for index in range(rest):
        loads[index] += 1
    return loads


def population(
    loads: list[int], *, seed: int = 1, as_of: date = AS_OF, unassigned: int = 0, prefix: str = ""
) -> Iterator[Resource]:
    """Every resource: the directory, providers, the managers, then each manager's members."""
    shared = directory()
    mcos = [resource for resource in shared if resource["resourceType"] == "Organization"]
    yield from shared
    for county in COUNTIES:
        for number in range(1, PROVIDERS + 1):
            yield provider(county, number)
    managers = [
        Manager.make(Random(f"{seed}/manager/{n}"), f"{prefix}cm-{n + 1:04d}", mcos[n % len(mcos)])
        for n in range(len(loads))
    ]
    for manager in managers:
        yield manager.practitioner
        yield manager.role

    def member(number: int, mco: Resource, county: County) -> Member:
        return Member(Random(f"{seed}/member/{number}"), f"{prefix}member-{number:05d}", number, mco, county, as_of)

    numbers = count(1)
    for index, load in enumerate(loads):
        colleagues = managers[index % len(mcos) :: len(mcos)]
        for number in islice(numbers, load):
            one = member(number, mcos[index % len(mcos)], managers[index].county)
            former = one.random.choice(colleagues) if one.random.random() < 0.3 else None
            yield from one.resources(managers[index], former)
    for number in islice(numbers, unassigned):
        yield from member(number, mcos[number % len(mcos)], COUNTIES[number % len(COUNTIES)]).resources(None, None)


def write(resources: Iterable[Resource]) -> None:
    for resource in resources:
        sys.stdout.write(json.dumps(resource, ensure_ascii=False, separators=(",", ":")) + "\n")


def numbers_of(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=30_000)
    parser.add_argument("--managers", type=int, default=700)
    parser.add_argument("--loads", type=numbers_of, help="each manager's members, in the place of the two above")
    parser.add_argument("--unassigned", type=int, default=0, help="further members, enrolled but with no manager")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--as-of", type=date.fromisoformat, default=AS_OF, help="a day of the plans' year")
    parser.add_argument("--prefix", default="", help="of the members' and managers' ids")
    asked = parser.parse_args()
    loads = asked.loads or spread(asked.members, asked.managers, Random(f"{asked.seed}/loads"))
    write(population(loads, seed=asked.seed, as_of=asked.as_of, unassigned=asked.unassigned, prefix=asked.prefix))


if __name__ == "__main__":
    main()
