"""Invariants of who and where: people, organizations, groups, appointments, consents, lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.validation.invariant.condition import Holds, Invariant, Json, either, excludes, has, one_of, precede


def _deleted(name: str, mode: str) -> Holds:
    return lambda it: it.get("mode") == mode or not any(has(entry, name) for entry in it.get("entry", ()))


def _none_at_home(name: str) -> Callable[[Json], bool]:
    return lambda value: all(part.get("use") != "home" for part in value.get(name, ()))


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Appointment": (
        Invariant("app-2", lambda it: has(it, "start") == has(it, "end"), "start and end stand together"),
        Invariant(
            "app-3",
            lambda it: (
                (has(it, "start") and has(it, "end")) or it.get("status") in {"proposed", "cancelled", "waitlist"}
            ),
            "only what is proposed, cancelled or waits has no start and end",
        ),
        Invariant(
            "app-4",
            lambda it: not has(it, "cancelationReason") or it.get("status") in {"no-show", "cancelled"},
            "a reason of cancelation is of what was cancelled",
        ),
    ),
    "Appointment.participant": (Invariant("app-1", one_of("type", "actor"), "a participant has a type or an actor"),),
    "AppointmentResponse": (
        Invariant("apr-1", one_of("participantType", "actor"), "there is a participantType or an actor"),
    ),
    "AuditEvent.entity": (Invariant("sev-1", excludes("name", "query"), "an entity has a name or a query, not both"),),
    "Consent": (Invariant("ppc-1", one_of("policy", "policyRule"), "there is a policy or a policyRule"),),
    "CoverageEligibilityResponse.insurance.item": (
        Invariant("ces-1", either("category", "productOrService"), "there is a category or a productOrService"),
    ),
    "Group": (
        Invariant("grp-1", lambda it: "member" not in it or it.get("actual") is True, "members are of an actual group"),
    ),
    "InsurancePlan": (Invariant("ipn-1", one_of("identifier", "name"), "there is an identifier or a name"),),
    "Linkage": (Invariant("lnk-1", lambda it: len(it.get("item", ())) > 1, "there is more than one item to link"),),
    "List": (
        Invariant("lst-1", excludes("emptyReason", "entry"), "what has entries is not empty"),
        Invariant("lst-2", _deleted("deleted", "changes"), "deleted entries are of a list of changes"),
        Invariant("lst-3", _deleted("date", "working"), "dated entries are of a working list"),
    ),
    "MeasureReport": (
        Invariant(
            "mrp-1",
            lambda it: it.get("type") != "data-collection" or "group" not in it,
            "a report of type data-collection has no group",
        ),
    ),
    "MeasureReport.group.stratifier.stratum": (
        Invariant("mrp-2", lambda it: ("value" in it) != ("component" in it), "a stratum has a value or components"),
    ),
    "Organization": (
        Invariant("org-1", one_of("identifier", "name"), "an organization has an identifier or a name"),
        Invariant("org-2", _none_at_home("address"), "an organization's address is not of use home"),
        Invariant("org-3", _none_at_home("telecom"), "an organization's telecom is not of use home"),
    ),
    "Patient.contact": (
        Invariant(
            "pat-1",
            one_of("name", "telecom", "address", "organization"),
            "a contact has a name, telecom, address or organization",
        ),
    ),
    "Task": (
        Invariant("inv-1", lambda it: precede(it, "authoredOn", "lastModified"), "lastModified is after authoredOn"),
    ),
}
