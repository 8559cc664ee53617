"""Sight: what one caller sees, as a filter of each resource type: the one oracle of every path.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html, https://hl7.org/fhir/R4/security.html#access

An organization sees its own members, with all that is in their compartments, and whatever names it. Where another has a
member too, in a program that shares under an agreement, it sees what that one keeps while they have one in force. What
is in no patient's compartment is everybody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from server.auth.access import Acting, Gate
from server.coordination.agreement.expiry import EXPIRY
from server.coordination.communication.letter import NOTICE
from server.coordination.enrolment.single import OVERLAP
from server.coordination.facts import OFFER
from server.coordination.lead.review import REVIEW
from server.coordination.responsibility.detected_issue import TASK as ISSUE
from server.ledger import Change
from server.outcome import Problem
from server.search import keeper, query
from server.search.filter import ALL, And, Chain, Equal, Filter, Has, Hierarchy, Ids, Not, Or, Present
from server.search.parameter import Parameter, parameters

NOBODY = Or(())
PATIENT = "Patient"
PARTIES = ("Organization", "PractitionerRole", "Practitioner", "CareTeam")
ANY = 50  # a reference parameter with more targets than this is of whatever there is
STAFF = "PractitionerRole.organization"

# Those are of others, by what they hold or name; without a patient's name they are not everybody's
INDIRECT = frozenset(
    {"AdverseEvent", "AuditEvent", "Basic", "Binary", "Bundle", "DeviceUseStatement", "EnrollmentResponse", "Group"}
    | {"Linkage", "List", "MeasureReport", "MessageHeader", "Parameters", "PaymentNotice", "PaymentReconciliation"}
    | {"Provenance", "Schedule", "Subscription", "SupplyRequest", "VerificationResult"}
)
# Those may name many patients: who does not see one of them does not see whom they name
OF_MANY: Mapping[str, tuple[str, ...]] = {
    "Account": ("patient",),
    "AuditEvent": ("patient", "entity"),
    "Group": ("member",),
    "List": ("patient", "item"),
    "Person": ("patient",),
}
# What is found by laying what both keep side by side
OF_BOTH = frozenset({"DetectedIssue"})
# Who keeps those of a shared member alone writes them alone
KEPT_APART = frozenset({"CarePlan", "CareTeam", "Encounter", "ServiceRequest"})
# Those say themselves whose they are
SPOKEN_FOR = frozenset({PATIENT, "EpisodeOfCare"}) | OF_BOTH

ENROLLED = ("status:not", "entered-in-error,cancelled")
GOING_ON = ("status:not", "entered-in-error,cancelled,finished")
# Whoever is asked to do something for a member, or is told of it, sees the Patient; and whoever asks or tells, too
TOLD: Mapping[str, tuple[str, ...]] = {"Task": ("owner",), "Communication": ("recipient",)}
ADDRESSED: Mapping[str, tuple[str, ...]] = {"Task": ("owner", "requester"), "Communication": ("recipient", "sender")}
STANDING: Mapping[str, tuple[str, str]] = {
    "Task": ("status:not", "entered-in-error,cancelled,rejected"),
    "Communication": ("status:not", "entered-in-error,not-done"),
}
# What rules make in a commit tells nobody: it may follow from a write of whom it is to
BY_RULE: Mapping[str, tuple[str, str]] = {
    "Task": ("code", ",".join((OVERLAP, EXPIRY, REVIEW, ISSUE, OFFER))),
    "Communication": ("category", NOTICE),
}
UNTOLD = f"EpisodeOfCare:{keeper.SAID[keeper.OWN_ONLY]}"  # enrollments of members of whom nobody told
CONFIRMED = Not(Present(UNTOLD))  # the others: whoever lets itself in takes nothing from those who have the member


class Sight:
    """What an actor sees. Two of the same Acting see the same."""

    def __init__(self, acting: Acting) -> None:
        self.actor = acting.actor
        self.organizations = acting.organizations
        self._persons = acting.persons
        self._gates = acting.gates
        self._day = acting.day
        self._is_patient = self.actor.startswith(f"{PATIENT}/")
        self._found: dict[str, Filter] = {}
        self.episodes = self._episodes()
        self.enrolled = self._enrolled(ALL)
        self.untold = self._enrolled(Present(UNTOLD))  # nobody told the actor of these
        self.members = self._members()
        self.former = Or(tuple(self._former()))
        closed = self._closed()
        self.open = self.members if closed is None else And((self.members, Not(closed)))  # with all that others keep
        self.has = And((self.members, Not(Or((self.untold, self.former)))))  # by more than its own word
        self.told = Or(tuple(self._addressed(TOLD)))  # Patients of whom somebody else told the actor

    def clause(self, type: str) -> Filter:
        """What a resource of a type satisfies that is seen in lists."""
        if type not in self._found:
            self._found[type] = self._of(type)
        return self._found[type]

    def known(self, type: str) -> Filter:
        """What one satisfies that is seen by whoever knows its id: a Patient too whom nobody has enrolled yet."""
        return Or((self.clause(type), NOBODYS)) if type == PATIENT and not self._is_patient else self.clause(type)

    def enrolments(self) -> list[tuple[Filter, Filter]]:
        """The EpisodeOfCares that the actor may write for any Patient, and the Patients that the other side alone has.

        Enrolling in a program that shares under an agreement waits for nobody. Of these Patients the agreement says
        what it opens.
        """
        return [(And((_of_types(gate.types), self.episodes)), self._of_others(gate.types)) for gate in self._gates]

    @property
    def with_us(self) -> frozenset[str]:
        """The organizations that there is an agreement in force with, and for which the actor does not act."""
        partners = {partner for gate in self._gates for partner in gate.partners}
        return frozenset(partners.difference(self.organizations))

    @staticmethod
    def tells_writer(type: str) -> bool:
        """Whether it matters who wrote what names nobody."""
        return type not in SPOKEN_FOR and bool(_patients(type))

    def _of_others(self, types: frozenset[str]) -> Filter:
        """The Patients that other organizations have enrolled in what is shared with whoever has them by such types."""
        shared = _of_types({one for gate in self._gates if gate.types & types for one in gate.others})
        not_ours = Not(Equal("EpisodeOfCare.organization", self.organizations))
        theirs = And((_asked("EpisodeOfCare", ENROLLED), not_ours, CONFIRMED))
        among, beside = (
            Has("EpisodeOfCare", "EpisodeOfCare.patient", And((theirs, one))) for one in (shared, Not(shared))
        )
        return And((among, Not(beside)))

    def guarded(self, filter: Filter) -> Filter:
        """A search's filter, none of whose steps leads through what is not seen."""
        match filter:
            case And(filters) | Or(filters):
                return filter.__class__(tuple(map(self.guarded, filters)))
            case Not(negated):
                return Not(self.guarded(negated))
            case Chain(index, type, beyond):
                return Chain(index, type, self.guarded(beyond), self.clause(type))
            case Has(type, index, beyond):
                return Has(type, index, And((self.guarded(beyond), self.clause(type))))
            case Hierarchy(parent=parent) if self.clause(parent.partition(".")[0]) != ALL:
                raise Problem.of(
                    "forbidden",
                    f"What is above or below another by {parent} leads through what {self.actor} may not see",
                )
        return filter

    def _of(self, type: str) -> Filter:
        if type == PATIENT:
            return Or((self.members, *self._addressed(ADDRESSED)))
        naming = _patients(type)
        if not naming and type not in INDIRECT:
            return ALL
        of_members = _among(type, self.members)
        found = Or((self._shared(type, of_members), *self._own(type), *_of_none(type, naming)))
        return And((found, *self._all_seen(type)))

    def _shared(self, type: str, of_members: Filter) -> Filter:
        """What is in a member's compartment, as far as whoever else has the member lets it be seen."""
        if self.open is self.members:
            return of_members
        nobodys = NOBODY if type in OF_BOTH else Not(Or(tuple(Present(index.name) for index in _parties(type))))
        had = And((self.members, Not(self.former)))
        return Or(
            (
                _among(type, self.open),
                And((_among(type, had), Or((*self._partners(type), nobodys)))),
                And((of_members, Or((*self._us([_writer(type)]), *self._enrolments(type))))),
            )
        )

    def _enrolments(self, type: str) -> Iterator[Filter]:
        """That two organizations have the member, both know: without that they could make no agreement."""
        if type == "EpisodeOfCare":
            yield _of_types({one for gate in self._gates for one in gate.types})

    def partners(self, type: str) -> Filter | None:
        """What a partner keeps of a shared member, and the actor does not; None where anybody writes what there is."""
        kept = self._partners(type) if type in KEPT_APART else []
        return And((Or(tuple(kept)), Not(Or(tuple(self._us(_parties(type))))))) if kept else None

    def _partners(self, type: str) -> list[Filter]:
        """What names an organization that there is an agreement in force with."""
        partners = sorted({partner for gate in self._gates for partner in gate.partners})
        return [one for index in _parties(type) for one in _naming(index, partners)] if partners else []

    def _own(self, type: str) -> Iterator[Filter]:
        """What names the actor or its organizations, by who keeps it where that is said."""
        kept, others = _keepers(type), _named(type)
        if kept:
            yield from self._us(kept)
            if others:
                yield And((Not(Or(tuple(Present(index.name) for index in kept))), Or(tuple(self._us(others)))))
        else:
            yield from self._us(others)

    def _us(self, indexes: Sequence[Named]) -> Iterator[Filter]:
        for index in indexes:
            yield from _naming(index, self.organizations, self._persons)

    def _members(self) -> Filter:
        """The Patients that are the actor's own."""
        if self._is_patient:
            return Ids((self.actor.partition("/")[2],))
        teams = self._us([_index("CareTeam", "participant")])
        on_a_team = Has("CareTeam", "CareTeam.patient", And((_asked("CareTeam", _NO_MISTAKE), Or(tuple(teams)))))
        enrolled = (self.enrolled,) if self.organizations else ()
        return Or((*enrolled, *self._linked(), on_a_team))

    def _linked(self) -> Iterator[Filter]:
        """The Patients who name the actor or its organizations."""
        return self._us([_index("Patient", "organization"), _index("Patient", "general-practitioner")])

    def _enrolled(self, so: Filter) -> Filter:
        """The Patients whom the actor's organizations have enrolled, in such a way."""
        return Has("EpisodeOfCare", "EpisodeOfCare.patient", And((self.episodes, so)))

    def _episodes(self) -> Filter:
        """The enrollments by the actor's organizations."""
        ours = Equal("EpisodeOfCare.organization", self.organizations)
        return And((ours, _asked("EpisodeOfCare", ENROLLED))) if self.organizations else NOBODY

    def _addressed(self, by: Mapping[str, tuple[str, ...]]) -> Iterator[Filter]:
        """The Patients of whom a Task or a Communication tells the actor in such a role, and another wrote it."""
        for type, codes in by.items() if not self._is_patient else ():
            us = Or(tuple(self._us([_index(type, code) for code in codes])))
            others = (Not(Equal(_writer(type).name, self.organizations)),) if self.organizations else ()
            made = And((_asked(type, BY_RULE[type]), Not(Present(_writer(type).name))))
            yield Has(type, f"{type}.patient", And((us, _asked(type, STANDING[type]), *others, Not(made))))

    def _closed(self) -> Filter | None:
        """The members of whom another organization may keep to itself what it keeps."""
        if not self.organizations or not self._gates:
            return None
        by_others = And((self._had_by_strangers(), Or(tuple(map(self._closed_by, self._gates)))))
        return Or((by_others, self.untold, self.former))

    def _had_by_strangers(self) -> Filter:
        """Asked first, and once: whoever all agreements are with closes nothing."""
        with_us = frozenset.intersection(*(gate.partners for gate in self._gates)).union(self.organizations)
        strangers = Not(Equal("EpisodeOfCare.organization", tuple(sorted(with_us))))
        return Has("EpisodeOfCare", "EpisodeOfCare.patient", And((strangers, _asked("EpisodeOfCare", ENROLLED))))

    def _former(self) -> Iterator[Filter]:
        """The members whom the actor had in what is shared under an agreement, and others have now."""
        types = {one for gate in self._gates for one in gate.types}
        if not self.organizations or not types:
            return
        not_ours = Not(Equal("EpisodeOfCare.organization", self.organizations))
        of_others = And((_of_types(types), self._goes_on(), not_ours, CONFIRMED))
        taken = Has("EpisodeOfCare", "EpisodeOfCare.patient", of_others)
        had, has = self._enrolled(_of_types(types)), self._enrolled(self._goes_on())
        yield And((Not(Or((has, *self._linked()))), had, taken))

    def _goes_on(self) -> Filter:
        """The EpisodeOfCares that are not over."""
        ended = (Not(_asked("EpisodeOfCare", ("date", f"eb{self._day}"))),) if self._day else ()
        return And((_asked("EpisodeOfCare", GOING_ON), *ended))

    def _closed_by(self, gate: Gate) -> Filter:
        """Those whom the other side has or had, or another of our own side has now, and no agreement is with them."""
        with_us = tuple(sorted({*self.organizations, *gate.partners}))
        ours = And((_of_types(gate.types), self.episodes))
        alike = {one for each in self._gates if each.others & gate.others for one in each.types}
        theirs = Or(
            (
                And((_of_types(gate.others), _asked("EpisodeOfCare", ENROLLED))),
                And((_of_types(alike), self._goes_on())),
            )
        )
        other = And((theirs, Not(Equal("EpisodeOfCare.organization", with_us)), CONFIRMED))
        return And(tuple(Has("EpisodeOfCare", "EpisodeOfCare.patient", one) for one in (ours, other)))

    def _all_seen(self, type: str) -> Iterator[Filter]:
        for code in OF_MANY.get(type, ()):
            yield Not(Chain(parameters(type)[code].index, PATIENT, Not(self.clause(PATIENT))))


@lru_cache(256)
def sight(acting: Acting) -> Sight:
    """The sight of whoever acts so."""
    return Sight(acting)


def patients(change: Change) -> list[str]:
    """The Patients whose a resource would be, itself where it is one; its rows are filled."""
    if change.type == PATIENT:
        return [change.reference]
    indexes = {*_patients(change.type), *(_index(change.type, code).name for code in OF_MANY.get(change.type, ()))}
    named = (key for index, key in change.rows or () if index in indexes and isinstance(key, str))
    return list(dict.fromkeys(key for key in named if key.startswith(f"{PATIENT}/")))


def links(change: Change) -> list[str]:
    """The Patients that a Patient says it is one with; its rows are filled."""
    index = _index(PATIENT, "link").name
    named = (key for name, key in change.rows or () if name == index and isinstance(key, str))
    return [key for key in named if key.startswith(f"{PATIENT}/")]


class Named(NamedTuple):
    """An index of references, and the types that they may be to."""

    name: str
    targets: frozenset[str]


def _among(type: str, patients: Filter) -> Filter:
    """What is in the compartment of one of these Patients."""
    return Or(tuple(Chain(index, PATIENT, patients) for index in _patients(type)))


def _index(type: str, code: str) -> Named:
    parameter = parameters(type)[code]
    return Named(parameter.index, parameter.targets)


def _naming(index: Named, organizations: Collection[str], persons: Collection[str] = ()) -> Iterator[Filter]:
    """What names organizations, or those who work there, or a team that they keep."""
    keys = tuple(one for one in (*organizations, *persons) if one.partition("/")[0] in index.targets)
    if keys:
        yield Equal(index.name, keys)
    if not organizations:
        return
    staff = Equal(STAFF, tuple(organizations))
    if "PractitionerRole" in index.targets:
        yield Chain(index.name, "PractitionerRole", staff)
    if "Practitioner" in index.targets:
        yield Chain(index.name, "Practitioner", Has("PractitionerRole", "PractitionerRole.practitioner", staff))
    if "CareTeam" in index.targets:
        yield Chain(index.name, "CareTeam", Equal("CareTeam:managingOrganization", tuple(organizations)))


@cache
def _patients(type: str) -> tuple[str, ...]:
    """The indexes by which a resource of a type names a patient whose it may be."""
    found = {code: one for code, one in _references(type).items() if PATIENT in one.targets}
    beside = {"subject", "signer"} if "patient" in found else ()  # the same as "patient"; who signs a Contract
    return tuple(one.index for code, one in found.items() if code not in beside)


@cache
def _named(type: str) -> tuple[Named, ...]:
    """The indexes by which it names who does, asks or receives something."""
    return tuple(
        Named(one.index, one.targets) for one in _references(type).values() if not one.targets.isdisjoint(PARTIES)
    )


def _keepers(type: str) -> tuple[Named, ...]:
    return tuple(Named(index, frozenset(PARTIES)) for index in keeper.indexes(type))


def _writer(type: str) -> Named:
    return Named(f"{type}:{keeper.SAID[keeper.WRITER]}", frozenset({"Organization"}))


def _parties(type: str) -> tuple[Named, ...]:
    """The indexes by which a resource of a type says whose it is, where it does."""
    return *(_keepers(type) or _named(type)), _writer(type)


def _references(type: str) -> dict[str, Parameter]:
    found = parameters(type).items()
    return {code: one for code, one in found if one.kind == "reference" and len(one.targets) <= ANY}


def _of_none(type: str, naming: Sequence[str]) -> Iterator[Filter]:
    """What is in no patient's compartment."""
    if type not in INDIRECT:
        yield Not(Or(tuple(map(Present, naming))))


def _asked(type: str, *criteria: tuple[str, str]) -> Filter:
    return query.parse(type, criteria, base_url="", lenient=False).filter


def _of_types(tokens: Collection[str]) -> Filter:
    return _asked("EpisodeOfCare", ("type", ",".join(sorted(tokens))))


_NO_MISTAKE = ("status:not", "entered-in-error")
NOBODYS = Not(
    Or(
        (
            Has("EpisodeOfCare", "EpisodeOfCare.patient", ALL),
            Has("CareTeam", "CareTeam.patient", ALL),
            Present("Patient.organization"),
            Present("Patient.general-practitioner"),
        )
    )
)
