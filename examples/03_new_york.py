#!/usr/bin/env python3
"""The third story: a plan and a Health Home in New York care for one member, with one lead and on one plan.

    make serve                                          # in one terminal
    .venv/bin/python examples/03_new_york.py            # in another

A member of a Medicaid Advantage Plus plan is also in a Health Home. Without an agreement no lead is named; an agreement
with an altered text is refused. Then the Health Home proposes its care manager, the plan counters with its own, the
Health Home accepts. Each has a draft of a plan of care; put together, with what contradicts side by side, they are
proposed by the plan, countered and accepted: one active plan, and no second one. Each is told of the other's changes.
Both visit the member: that is found, and resolved. Last, who leads as of three dates, and the one plan as a person
reads it.
"""

from __future__ import annotations

import base64
import re
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

Resource = dict[str, Any]

BASE = "https://careplan-server.org/fhir"
HERE = Path(__file__).parent
NEW_YORK = ZoneInfo("America/New_York")


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{BASE}/CodeSystem/{system}", "code": code}]}


def link(reference: str) -> Resource:
    return {"reference": reference}


def day(offset: int) -> str:
    return (datetime.now(NEW_YORK).date() + timedelta(days=offset)).isoformat()


class Story:
    """The people and papers of one run; their ids begin with a word of its own, so that it can be run again."""

    def __init__(self, server: httpx.Client, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        self.plan, self.home = (f"Organization/{prefix}{name}" for name in ("plan", "home"))
        self.pat, self.hal = (f"PractitionerRole/{prefix}{name}" for name in ("pat", "hal"))
        self.member = f"Patient/{prefix}maria"

    def id(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def put(self, resource: Resource, what: str = "", actor: str = "") -> httpx.Response:
        headers = {"X-Acting-As": actor} if actor else {}
        response = self.server.put(f"{resource['resourceType']}/{resource['id']}", json=resource, headers=headers)
        if what:
            tell(what, response)
        else:
            response.raise_for_status()
        return response

    def ask(self, what: str, actor: str, url: str, *given: Resource) -> Resource:
        asked = {"resourceType": "Parameters", "parameter": list(given)}
        response = self.server.post(url, json=asked, headers={"X-Acting-As": actor})
        tell(what, response)
        found: Resource = response.json()
        return found

    # Who is there

    def people(self) -> None:
        for reference, name in ((self.plan, "Hudson MAP"), (self.home, "Bronx Health Home")):
            self.put({"resourceType": "Organization", "id": reference.partition("/")[2], "name": name})
        for role, name, at in ((self.pat, "Pat Plan", self.plan), (self.hal, "Hal Home", self.home)):
            id = role.partition("/")[2]
            self.put({"resourceType": "Practitioner", "id": id, "name": [{"text": name}]})
            person, phone = link(f"Practitioner/{id}"), [{"system": "phone", "value": "1-718-555-0100"}]
            at_work = {"practitioner": person, "organization": link(at), "telecom": phone}
            self.put({"resourceType": "PractitionerRole", "id": id, **at_work})
        self.put({"resourceType": "Patient", "id": self.id("maria"), "name": [{"text": "Maria Ruiz"}]})
        for program, at in (("ny-map", self.plan), ("ny-health-home", self.home)):
            episode = {
                "resourceType": "EpisodeOfCare",
                "id": self.id(program),
                "status": "active",
                "type": [coded("cm-program", program)],
                "patient": link(self.member),
                "managingOrganization": link(at),
                "period": {"start": "2025-01-01"},
            }
            self.put(episode)

    def agreement(self, altered: bool) -> Resource:
        """The agreement, signed by both; its appendix gives behavioral health to the Health Home."""
        texts = [(HERE / name).read_bytes() for name in ("ny-asa.txt", "ny-statement-and-certification.txt")]
        if altered:
            texts[0] = texts[0].replace(b"nowhere", b"anywhere")
        return {
            "resourceType": "Contract",
            "id": self.id("asa"),
            "status": "executed",
            "type": coded("ny-agreement", "asa"),
            "instantiatesUri": f"{BASE}/Contract/ny-asa-template|2024-11-13",
            "applies": {"start": "2025-01-01"},
            "subject": [link(self.plan), link(self.home)],
            "signer": [self.signer(self.plan), self.signer(self.home)],
            "legal": [
                {"contentAttachment": {"contentType": "text/plain", "data": base64.b64encode(text).decode()}}
                for text in texts
            ],
            "term": [
                {
                    "type": coded("ny-appendix", "appendix-b"),
                    "offer": {"text": "Services, and who coordinates them"},
                    "asset": [
                        self.row("personal-care", "Personal care", self.plan),
                        self.row("behavioral-health", "Behavioral health", self.home),
                    ],
                }
            ],
        }

    def signer(self, organization: str) -> Resource:
        kind = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}
        signature = {"type": [kind], "when": "2024-12-20T10:00:00-05:00", "who": link(organization)}
        grantor = {"system": "http://terminology.hl7.org/CodeSystem/contractsignertypecodes", "code": "GRANTOR"}
        return {"type": grantor, "party": link(organization), "signature": [signature]}

    def row(self, service: str, title: str, whose: str) -> Resource:
        return {
            "type": [coded("ny-service", service)],
            "subtype": [coded("ny-benefit-scope", "in-plan")],
            "text": title,
            "valuedItem": [{"responsible": link(whose)}],
        }

    # The lead

    def form(self, lead: str) -> Resource:
        """The Care Planning and Coordination form, as a parameter."""
        need = {"system": f"{BASE}/CodeSystem/ny-primary-need", "code": "behavioral-health"}
        form = {
            "resourceType": "QuestionnaireResponse",
            "questionnaire": f"{BASE}/Questionnaire/ny-care-planning-coordination",
            "status": "completed",
            "subject": link(self.member),
            "item": [
                {"linkId": "lead", "answer": [{"valueReference": link(lead)}]},
                {"linkId": "primary-need", "answer": [{"valueCoding": need}]},
            ],
        }
        return {"name": "form", "resource": form}

    def propose(self, what: str) -> Resource:
        return self.ask(
            what,
            self.hal,
            f"{self.member}/$propose-lead",
            {"name": "lead", "valueReference": link(self.hal)},
            {"name": "primaryNeed", "valueCodeableConcept": coded("ny-primary-need", "behavioral-health")},
            {"name": "effective", "valueDate": day(10)},
            self.form(self.hal),
        )

    def lead(self, at: str) -> str:
        found = self.server.get(f"{self.member}/$lead", params={"asOf": at}).raise_for_status().json()
        told = {one["name"]: one for one in found.get("parameter", ())}
        if not told:
            return "nobody"
        return f"{told['lead']['valueReference']['reference']} since {told['since']['valueDateTime'][:10]}"

    # The work

    def care_plan(self, name: str, services: dict[str, str], *contributors: str, status: str = "draft") -> Resource:
        """A plan with services, each by one of both; whose goal is to walk so many minutes a day."""
        return {
            "resourceType": "CarePlan",
            "id": self.id(name),
            "status": status,
            "intent": "plan",
            "title": "Plan of care",
            "subject": link(self.member),
            "contributor": [link(one) for one in contributors],
            "period": {"start": day(0)},
            "goal": [link(f"Goal/{self.id(name)}-walk")],
            "activity": [
                {"detail": {"status": "scheduled", "code": coded("ny-service", service), "performer": [link(whose)]}}
                for service, whose in services.items()
            ],
        }

    def walk(self, name: str, minutes: int) -> Resource:
        measure = {"coding": [{"system": "urn:example:goal", "code": "walk", "display": "Minutes of walking a day"}]}
        aim = {"measure": measure, "detailQuantity": {"value": minutes, "unit": "min"}, "dueDate": day(90)}
        return {
            "resourceType": "Goal",
            "id": f"{self.id(name)}-walk",
            "lifecycleStatus": "active",
            "description": {"text": f"Walk {minutes} minutes a day"},
            "subject": link(self.member),
            "target": [aim],
        }

    def one_plan(self) -> None:
        """From a draft of each to the one plan, which both have accepted."""
        own = {"personal-care": self.plan}, {"behavioral-health": self.home}
        for name, minutes in (("draft-plan", 20), ("draft-home", 40), ("agreed", 30)):
            self.put(self.walk(name, minutes))
        self.put(self.care_plan("draft-plan", own[0], self.plan), "the plan's own draft", self.pat)
        self.put(self.care_plan("draft-home", own[1], self.home), "the Health Home's own draft", self.hal)
        alone = self.care_plan("agreed", own[0] | own[1], self.plan, self.home, status="active")
        self.put(alone, "the plan makes one of both active alone", self.pat)
        merged = self.ask(
            "the plan proposes both drafts as one",
            self.pat,
            f"{self.member}/$comprehensive-plan",
            {"name": "propose", "valueBoolean": True},
        )
        task = next(one["resource"] for one in merged["entry"] if one["resource"]["resourceType"] == "Task")
        sections = {one["title"]: one for one in merged["entry"][0]["resource"]["section"]}
        for line in filter(None, readable(sections["What contradicts"]["text"]["div"])):
            print(f"      {line}")
        drafts = [link(f"CarePlan/{self.id(name)}") for name in ("draft-plan", "draft-home")]
        agreed = self.care_plan("agreed", own[0] | own[1], self.plan, self.home) | {"replaces": drafts}
        self.put(agreed, "the Health Home writes one that settles it", self.hal)
        counter = {"name": "response", "valueCode": "counter"}
        other = {"name": "plan", "valueReference": link(f"CarePlan/{self.id('agreed')}")}
        task = self.ask("and counters with that", self.hal, f"Task/{task['id']}/$respond", counter, other)
        accept = {"name": "response", "valueCode": "accept"}
        self.ask("the plan accepts the Health Home's", self.pat, f"Task/{task['id']}/$respond", accept)
        second = self.care_plan("second", own[1], self.home, self.plan, status="active")
        self.put(second, "a second one", self.hal)

    def told(self) -> None:
        """What each was told of the other's changes."""
        for organization in (self.plan, self.home):
            asked = {"recipient": organization, "subject": self.member, "_sort": "_lastUpdated"}
            found = self.server.get("Communication", params=asked).raise_for_status().json()
            for notice in (entry["resource"] for entry in found.get("entry", ())):
                print(f"   {organization}: {' '.join(one['contentString'] for one in notice['payload'])}")

    def visit(self, name: str, by: str, status: str = "finished") -> Resource:
        at = datetime.now(NEW_YORK).replace(microsecond=0).isoformat()
        return {
            "resourceType": "Encounter",
            "id": self.id(name),
            "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
            "type": [{"coding": [{"system": "urn:example:contact", "code": "monthly-visit"}], "text": "Monthly visit"}],
            "subject": link(self.member),
            "serviceProvider": link(by),
            "period": {"start": at, "end": at},
        }

    def check(self) -> None:
        found = self.server.post(f"{self.member}/$coordination-check", json={"resourceType": "Parameters"})
        issues = [entry["resource"] for entry in found.raise_for_status().json().get("entry", ())]
        for issue in issues:
            print(f"   {issue['code']['coding'][0]['code']}: {issue['detail']}")
        if not issues:
            print("   nothing is found")


def tell(what: str, response: httpx.Response) -> None:
    """What was asked and how it was answered; a refusal in the server's own words."""
    print(f"   {what}: {response.status_code} {response.reason_phrase}")
    if not response.is_success:
        for issue in response.json()["issue"]:
            print(f"      {issue['code']}: {issue['diagnostics']}")


def readable(div: str) -> list[str]:
    """A narrative as lines."""
    rows = re.sub("</(p|tr)>", "\n", div)
    return [" | ".join(part for part in re.split("<[^>]*>", row) if part.strip()) for row in rows.splitlines()]


def main(base: str, prefix: str) -> None:
    with httpx.Client(base_url=base, headers={"Content-Type": "application/fhir+json"}, timeout=60) as server:
        story = Story(server, prefix)
        print("1. A member of a MAP plan and of a Health Home")
        story.people()
        story.propose("a lead without an agreement")

        print("2. The agreement, on the template as it is")
        story.put(story.agreement(altered=True), "an altered text")
        story.put(story.agreement(altered=False), "the template's text")

        print("3. Both name the lead")
        proposal = story.propose("the Health Home proposes its own")
        lead = {"name": "lead", "valueReference": link(story.pat)}
        answer = {"name": "response", "valueCode": "counter"}
        other = story.ask(
            "the plan counters with its own",
            story.pat,
            f"Task/{proposal['id']}/$respond",
            answer,
            lead,
            story.form(story.pat),
        )
        accept = {"name": "response", "valueCode": "accept"}
        story.ask("the plan accepts its own proposal", story.pat, f"Task/{other['id']}/$respond", accept)
        story.ask("the Health Home accepts", story.hal, f"Task/{other['id']}/$respond", accept)

        print("4. One plan of care")
        story.one_plan()

        print("5. Each is told")
        story.told()

        print("6. Nothing twice")
        story.put(story.visit("visit", story.plan))
        story.put(story.visit("visit-too", story.home))
        story.check()
        story.put(story.visit("visit-too", story.home, "cancelled"))
        story.check()

        print("7. Who leads")
        for at in (date.fromisoformat(day(offset)) for offset in (0, 10, 100)):
            print(f"   on {at}: {story.lead(at.isoformat())}")

        print("8. What a person reads")
        asked = {"asOf": day(10)}
        bundle = server.get(f"{story.member}/$comprehensive-plan", params=asked).raise_for_status().json()
        composition = bundle["entry"][0]["resource"]
        for part in (composition, *composition["section"]):
            print(f"   {part['title']}")
            for line in filter(None, readable(part["text"]["div"])):
                print(f"      {line}")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/fhir",
        sys.argv[2] if len(sys.argv) > 2 else f"s{int(time.time()):x}-",
    )
