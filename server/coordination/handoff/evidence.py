"""Evidence: what shows that a step of a transfer was done: Task.output of the step, judged by what the program asks.

An output's type is the evidence's code, or anything where the output fits one evidence; its value is a Reference to a
resource, or a code (a mode, a consideration) as a code, a Coding or a CodeableConcept.
Considerations may stand on the transfer itself, as Task.input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from server.coordination import facts
from server.coordination.assignment import directory
from server.coordination.communication import letter, notice
from server.coordination.communication.representative import MEMBER, representative
from server.coordination.facts import literal
from server.coordination.handoff.party import Parties, admit, known
from server.coordination.handoff.protocol import Protocol
from server.coordination.handoff.transfer import coding
from server.coordination.program.program import Part
from server.coordination.stored import read
from server.coordination.write import Place, refusal
from server.ledger import Resource, View
from server.outcome import Issue, Problem

COMMUNICATION = "Communication"


class Lack(NamedTuple):
    """What a step still needs: which evidence, and why what is given is not enough."""

    item: Part
    why: str


@dataclass(slots=True)
class Given:
    """What there is for one evidence: resources, and codes."""

    resources: list[Resource] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # references that lead nowhere
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Judge:
    """Judges the evidence of one transfer, as the resources are after the commit."""

    view: View
    protocol: Protocol
    parties: Parties
    patient: str
    tasks: frozenset[str]  # the transfer's own

    async def lacking(self, step: Part, parent: Resource, task: Resource) -> list[Lack]:
        """What the step still needs, in the order of the program; empty where it can be completed."""
        given = await self.given(step, parent, task)
        return [
            Lack(item, why)
            for item in step.parts
            if (why := await self._why_not(item, given.get(item.code) or Given()))
        ]

    async def given(self, step: Part, parent: Resource, task: Resource) -> dict[str, Given]:
        """What there is for each evidence of a step, by its code.

        An output whose type is none of them is evidence of what it fits: a client need not know our codes.
        """
        items = {item.code: item for item in step.parts}
        found = {code: Given() for code in items}
        apart = []
        for one in task.get("output", ()):
            types = [type for type in facts.tokens([one.get("type", {})]) if type in found]
            for type in types:
                await self._add(items[type], found[type], _value(one))
            apart += [] if types else [_value(one)]
        for value in apart:
            await self._add_fitting(step, found, value)
        weighed = [code for _, value in values(parent.get("input", ())) for code in _codes(value)]
        for item in step.parts:
            found[item.code].codes += [code for code in weighed if code in item.parameters["code"]]
        return found

    async def _add_fitting(self, step: Part, found: dict[str, Given], value: Any) -> None:
        for item in step.parts:
            found[item.code].codes += [code for code in _codes(value, _known(item)) if code in _known(item)]
        reference = literal(value) if isinstance(value, dict) and "reference" in value else None
        resource = await read(self.view, reference) if reference else None
        if resource:
            served = {code for code, given in found.items() if given.resources}
            for item in (await self.fitting(step, resource, served))[:1]:
                found[item.code].resources.append(resource)

    async def fitting(self, step: Part, resource: Resource, served: Collection[str]) -> list[Part]:
        """What a resource is evidence of, the likeliest first: what has none yet (`served` has), and asks for most."""
        taking = [item for item in step.parts if resource["resourceType"] in item.parameters["resource"]]
        for item in taking:
            await self.identify(item, [resource])
        demanding = sorted(taking, key=_demands, reverse=True)
        fitting = [item for item in demanding if self.unfit(item, resource) is None]
        reaching = [item for item in fitting if self.reaches(item, resource)]
        unserved = [item for item in reaching if item.code not in served]
        return unserved or reaching[-1:] or fitting

    async def _add(self, item: Part, given: Given, value: Any) -> None:
        given.codes += _codes(value, _known(item))
        reference = literal(value) if isinstance(value, dict) and "reference" in value else None
        if reference is None:
            return
        resource = await read(self.view, reference)
        if resource is None:
            given.unknown.append(reference)
        else:
            given.resources.append(resource)

    async def _why_not(self, item: Part, given: Given) -> str | None:
        parameters = item.parameters
        if given.unknown:
            return f"there is no {' and no '.join(given.unknown)}"
        if parameters["code"]:
            return self._lacks_codes(item, given)
        if not parameters["resource"]:
            return None
        await self.identify(item, given.resources)
        if self.parties.untold and "member" in parameters["recipient"]:
            return self.parties.untold
        for resource in given.resources:
            if why := self.unfit(item, resource):
                return f"{resource['resourceType']}/{resource['id']} {why}"
        if len(given.resources) < parameters["min"]:
            makes = "; $advance makes it" if parameters["made"] else ""
            return f"nothing is given; it takes {self.asks(item)}{makes}"
        if not given.resources and not self._unreached(item, given):
            return None
        return self._lacks_somebody(item, given) or await self._lacks_name(item)

    async def _lacks_name(self, item: Part) -> str | None:
        """A letter, whoever wrote it, says who the next case manager is, and how to reach them."""
        if item.parameters["made"] != "letter":
            return None
        zone = self.protocol.program.zone
        found = await directory.manager(self.view, self.parties.of["new-manager"][0], self.parties.now, zone)
        return "; ".join(issue.diagnostics for issue in letter.unnamed(found)) or None

    def _lacks_codes(self, item: Part, given: Given) -> str | None:
        accepted = set(item.parameters["code"])
        if len(accepted.intersection(given.codes)) >= item.parameters["min"]:
            return None
        return f"{item.parameters['min']} of {names(item.parameters['code'])} is to be given"

    async def identify(self, item: Part, resources: Iterable[Resource]) -> None:
        """Find out who the persons are whom an evidence is to reach, and whom resources name."""
        given = list(resources)
        senders = [link for one in given for link in sent_by(one)]
        await known(self.view, self.parties, [*senders, *(link for one in given for link in reached(one))])
        if self.parties.has_left and "current-manager" in item.parameters["sender"]:
            await admit(self.view, self.parties, senders)
        if "member" in item.parameters["recipient"]:
            await self._find_whom_to_tell()
        if "provider" in item.parameters["recipient"] and "provider" not in self.parties.of:
            await self._find_providers()

    async def _find_whom_to_tell(self) -> None:
        """The member's party is whoever is told in the member's place: any of several guardians or parents."""
        parties, rule = self.parties, self.protocol.rule
        if parties.told or parties.untold:
            return
        zone = self.protocol.program.zone
        try:
            parties.told = await representative(self.view, self.patient, parties.now, rule.parameters["majority"], zone)
        except Problem as problem:
            parties.untold = "; ".join(issue.diagnostics for issue in problem.issues)
        else:
            parties.of["member"] = [*parties.told.alike]

    async def _find_providers(self) -> None:
        """Those who serve the member, but for the case managers and the plan itself."""
        program, organization = self.protocol.program, self.parties.organization
        managers = [one for party in ("current-manager", "new-manager") for one in self.parties.of[party]]
        found = await notice.providers(self.view, self.patient, self.parties.now, program.zone, managers, program.role)
        self.parties.of["provider"] = [one for one in found if one != organization]

    def unfit(self, item: Part, resource: Resource) -> str | None:
        """Why a resource is not what the evidence asks for."""
        type, parameters = resource["resourceType"], item.parameters
        if type not in parameters["resource"]:
            return f"is none of {', '.join(parameters['resource'])}"
        if "status" in resource and parameters["status"] and resource["status"] not in parameters["status"]:
            return f"is {resource['status']}; it is to be {' or '.join(parameters['status'])}"
        subjects = _subjects(resource)
        if subjects and set(subjects).isdisjoint(self.parties.patients):
            return f"is about {' and '.join(subjects)}"
        about = [link for one in resource.get("about", ()) if (link := literal(one, types=("Task",)))]
        if about and self.tasks.isdisjoint(about):
            return f"is about {about[0]}"
        senders = parameters["sender"]
        if senders and not any(self.parties.are(one, party) for one in sent_by(resource) for party in senders):
            return f"is not from {self.who(senders)}"
        if type == COMMUNICATION:
            return _lacks_medium(item, resource)
        return None

    def _unreached(self, item: Part, given: Given) -> list[str]:
        """Whom the resources, together, do not reach."""
        told = [link for resource in given.resources for link in reached(resource)]
        wanted = [party for party in item.parameters["recipient"] if not self._is_gone(party)]
        missing = self.untold(given) if "provider" in wanted else []
        missing += [self.who([one]) for one in wanted if one != "provider" and not self._are_among(told, one)]
        if not set(given.codes).isdisjoint(item.parameters["joint-mode"]):
            there = told + [link for resource in given.resources for link in sent_by(resource)]
            both = ("current-manager", "new-manager")
            missing += [self.who([one]) for one in both if not self._are_among(there, one)]
        return list(dict.fromkeys(missing))

    def _are_among(self, links: Iterable[str], party: str) -> bool:
        return any(self.parties.are(link, party) for link in links)

    def _is_gone(self, party: str) -> bool:
        """Who has left cannot be told."""
        return party == "current-manager" and self.parties.has_left

    def reaches(self, item: Part, resource: Resource) -> bool:
        """True where a resource reaches one of those whom an evidence is to reach, or it is to reach nobody."""
        wanted = item.parameters["recipient"]
        told = reached(resource)
        return not wanted or any(self._are_among(told, party) for party in wanted)

    def untold(self, given: Given) -> list[str]:
        """The providers whom the resources, together, do not reach."""
        told = [link for resource in given.resources for link in reached(resource)]
        return [one for one in self.parties.of["provider"] if not any(self._is(link, one) for link in told)]

    def _is(self, link: str, other: str) -> bool:
        return self.parties.person(link) == self.parties.person(other)

    def _lacks_somebody(self, item: Part, given: Given) -> str | None:
        modes = [code for code in dict.fromkeys(given.codes) if code in item.parameters["mode"]]
        if item.parameters["mode"] and (len(modes) != 1 or len(set(given.codes)) != 1):
            return f"exactly one mode is to be given, of {names(item.parameters['mode'])}"
        missing = self._unreached(item, given)
        return f"{' and '.join(missing)} did not take part or was not told" if missing else None

    def who(self, parties: Iterable[str]) -> str:
        """Parties by their names and references."""
        return " or ".join(
            f"the {self._called(party)} {' or '.join(self.parties.of.get(party, ()))}".rstrip() for party in parties
        )

    def _called(self, party: str) -> str:
        told = self.parties.told
        if party != "member" or told is None or told.relationship == MEMBER:
            return party
        return f"member's {told.relationship}"

    def asks(self, item: Part) -> str:
        """What an evidence asks for, in words."""
        parameters = item.parameters
        words = [" or ".join(parameters["resource"])]
        words += [f"status {' or '.join(parameters['status'])}"] if parameters["status"] else []
        words += [f"from {self.who(parameters['sender'])}"] if parameters["sender"] else []
        words += [f"to {self.who([party])}" for party in parameters["recipient"]]
        words += [f"medium {names(parameters['medium'])}"] if parameters["medium"] else []
        words += ["with its medium"] if parameters["medium-named"] else []
        words += [f"one mode of {names(parameters['mode'])}"] if parameters["mode"] else []
        return ", ".join(words)


def issues(protocol: Protocol, lacks: Iterable[Lack], task: str) -> list[Issue]:
    """One for each evidence that is missing, by its own id."""
    program, rule = protocol.program, protocol.rule
    found = []
    for item, why in lacks:
        text = f"{item.id} {item.title}: {why}.".lstrip()
        details = {"coding": [coding(item.code)], "text": f"{program.canonical}#{item.id or rule.id}"}
        found.append(replace(refusal(program, rule, text, Place(task, "Task.output")), details=details))
    return found


def _lacks_medium(item: Part, resource: Resource) -> str | None:
    media = facts.tokens(resource.get("medium"))
    named = bool(media) or any(medium.get("text") for medium in resource.get("medium", ()))
    if item.parameters["medium-named"] and not named:
        return "does not say by which medium"
    wanted = item.parameters["medium"]
    return None if not wanted or not set(wanted).isdisjoint(media) else f"was not by {names(wanted)}"


def _demands(item: Part) -> int:
    """How much an evidence asks for, whom to reach not counted."""
    return sum(bool(item.parameters[name]) for name in ("sender", "medium", "medium-named", "mode"))


def values(given: Sequence[Resource]) -> Iterable[tuple[str, Any]]:
    """Task.input or Task.output: each type's tokens with the value."""
    for one in given:
        for type in facts.tokens([one.get("type", {})]):
            yield type, _value(one)


def _value(given: Resource) -> Any:
    return next((value for name, value in given.items() if name.startswith("value")), None)


def _known(item: Part) -> list[str]:
    return [*item.parameters["code"], *item.parameters["mode"]]


def _codes(value: Any, known: Collection[str] = ()) -> list[str]:
    """The tokens that a value names; a code alone names those of the known ones that end in it."""
    if isinstance(value, str):
        return [token for token in known if token.rpartition("|")[2] == value]
    if not isinstance(value, dict) or "reference" in value:
        return []
    return facts.tokens([value if "coding" in value else {"coding": [value]}])


def names(tokens: Iterable[str]) -> str:
    """Codes as a person names them."""
    return ", ".join(token.rpartition("|")[2] for token in tokens)


def _subjects(resource: Resource) -> list[str]:
    """Whom a resource is about: its subject, or the Patients who take part."""
    named = _literals([resource.get("subject"), resource.get("for")])
    return named or [one for one in _literals(_participants(resource)) if one.startswith("Patient/")]


def sent_by(resource: Resource) -> list[str]:
    """From whom a resource is: its sender, author, or who takes part."""
    links = [resource.get("sender"), resource.get("requester"), *resource.get("author", ())]
    if resource["resourceType"] == "Task":
        links.append(resource.get("owner"))
    return _literals([*links, *_participants(resource)])


def reached(resource: Resource) -> list[str]:
    """Whom a resource reaches: its recipients, or who takes part."""
    links = [*resource.get("recipient", ()), *_participants(resource)]
    if resource["resourceType"] in {"Encounter", "Appointment"}:
        links.append(resource.get("subject"))
    return _literals(links)


def _participants(resource: Resource) -> list[Any]:
    return [one.get("individual") or one.get("actor") for one in resource.get("participant", ())]


def _literals(links: Iterable[Any]) -> list[str]:
    return [found for link in links if (found := literal(link))]
