"""The member's file as a document."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.coordination.member_file.member_file import File, Manager, document, is_of_another, references, what, when
from server.ledger import micros
from server.validation.element import validate
from tests.coordination.memory import NOW, patient

AT = micros(NOW)
BASE_URL = "https://fhir.example.org/fhir"
M = {"reference": "Patient/m"}
Json = dict[str, Any]


def resource(type: str, id: str, /, **more: Any) -> Json:
    return {"resourceType": type, "id": id, **more}


def answers(id: str, authored: str, questionnaire: str = "http://x/q", status: str = "completed") -> Json:
    return resource(
        "QuestionnaireResponse", id, status=status, subject=M, authored=authored, questionnaire=questionnaire
    )


def plan(id: str, status: str = "active", **more: Any) -> Json:
    return resource("CarePlan", id, status=status, intent="plan", subject=M, **{"title": f"Plan {id}", **more})


def filed(*own: Json, managers: tuple[Manager, ...] = (), person: Json | None = None, **more: Any) -> Json:
    found = {f"{one['resourceType']}/{one['id']}": one for one in own}
    made = File(
        person or patient("m"), found, {}, list(managers), ["Organization/mco"], AT, AT, 7, "America/Chicago",
        base_url=BASE_URL, **more,
    )  # fmt: skip
    return document(made)


def section(made: Json, title: str) -> Json:
    sections: list[Json] = made["entry"][0]["resource"]["section"]
    return next(one for one in sections if one["title"] == title)


def named(made: Json, title: str) -> list[str]:
    return [entry["reference"] for entry in section(made, title).get("entry", ())]


@pytest.mark.requirement("IA-19")
def test_a_file_is_a_valid_document_even_with_nothing_in_it() -> None:
    made = filed()
    assert [] == validate(made)
    assert ["Composition", "Patient"] == [entry["resource"]["resourceType"] for entry in made["entry"]]
    assert "unavailable" == section(made, "Goals")["emptyReason"]["coding"][0]["code"]


def test_the_same_file_has_the_same_identifier_and_another_one_has_another() -> None:
    assert filed()["identifier"] == filed()["identifier"]
    assert filed()["identifier"] != filed(recipient="PractitionerRole/b")["identifier"]


def test_the_current_assessment_is_the_last_of_each_questionnaire_until_then() -> None:
    made = filed(
        answers("old", "2025-01-01"),
        answers("last", "2026-01-01"),
        answers("future", "2027-01-01"),
        answers("begun", "2026-02-01", status="in-progress"),
        answers("other", "2024-01-01", questionnaire="http://x/r|2"),
    )
    assert ["QuestionnaireResponse/last", "QuestionnaireResponse/other"] == named(made, "Current assessment")
    assert {"future", "begun", "old"} == {one.partition("/")[2] for one in named(made, "Earlier assessments and plans")}


def test_the_current_plan_is_one_in_force() -> None:
    made = filed(
        plan("now", period={"start": "2026-01-01", "end": "2026-03-10"}),
        plan("over", period={"end": "2026-03-09"}),
        plan("done", "completed"),
    )
    assert ["CarePlan/now"] == named(made, "Current service plan")
    assert ["CarePlan/done", "CarePlan/over"] == sorted(named(made, "Earlier assessments and plans"))


def test_every_resource_stands_in_one_section() -> None:
    own = [
        plan("1"),
        answers("1", "2026-01-01"),
        resource("Account", "1"),
        resource("Goal", "1"),
        resource("List", "1"),
    ]
    made = filed(*own)
    everywhere = [
        entry["reference"] for one in made["entry"][0]["resource"]["section"] for entry in one.get("entry", ())
    ]
    assert sorted(f"{one['resourceType']}/{one['id']}" for one in own) == sorted(everywhere)
    assert ["List/1", "Account/1"] == named(made, "Other important information")[::-1]


@pytest.mark.requirement("IA-19")
def test_the_narrative_says_who_has_the_member_since_when() -> None:
    made = filed(managers=(Manager("PractitionerRole/a", "Ann Lee", "2026-01-01", None),))
    text = section(made, "Case managers and care team")["text"]["div"]
    assert "<td>Ann Lee</td><td>PractitionerRole/a</td><td>2026-01-01</td><td>no end</td>" in text


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_the_narrative_is_xhtml_whatever_a_resource_says(text: str) -> None:
    made = filed(
        plan("1", title=text), managers=(Manager("r", text, text, None),), person=patient("m", name=[{"text": text}])
    )
    composition = made["entry"][0]["resource"]
    for narrative in (composition["text"], *(one["text"] for one in composition["section"])):
        root = ElementTree.fromstring(narrative["div"])
        assert {"div", "p", "table", "thead", "tbody", "tr", "th", "td"} >= {
            element.tag.rpartition("}")[2] for element in root.iter()
        }


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        (("Plan 1", ""), plan("1")),
        (("Aide", "2026-01-02"), resource("ServiceRequest", "1", code={"coding": [{"code": "9", "display": "Aide"}]},
                                          authoredOn="2026-01-02")),
        (("from Ann to Patient/m PHONE Called", "2026-01-02"), resource(
            "Communication", "1", sender={"display": "Ann"}, recipient=[M], medium=[{"coding": [{"code": "PHONE"}]}],
            payload=[{"contentString": "Called"}], sent="2026-01-02")),
        (("HH by Patient/m", "2026-01-03"), resource("Encounter", "1", **{"class": {"code": "HH"}},
                                                     participant=[{"individual": M}], period={"start": "2026-01-03"})),
        (("Rosa Diaz, mother", ""), resource("RelatedPerson", "1", name=[{"given": ["Rosa"], "family": "Diaz"}],
                                             relationship=[{"text": "mother"}])),
        (("", ""), resource("Basic", "1")),
    ],
)  # fmt: skip
def test_a_resource_is_told_in_a_few_words_with_its_date(expected: tuple[str, str], made: Json) -> None:
    assert expected == (what(made), when(made))


def test_the_narrative_names_people_in_the_place_of_references() -> None:
    role = resource("PractitionerRole", "a", practitioner={"reference": "Practitioner/a"})
    ann = resource("Practitioner", "a", name=[{"text": "Ann Lee"}])
    visit = resource(
        "Encounter", "1", status="finished", participant=[{"individual": {"reference": "PractitionerRole/a"}}]
    )
    made = filed(
        visit, role, ann, resource("Communication", "1", recipient=[M]), person=patient("m", name=[{"text": "Eva"}])
    )
    text = section(made, "Contacts")["text"]["div"]
    assert "<td>by Ann Lee</td>" in text
    assert "<td>to Eva</td>" in text


def test_references_are_local_ones_of_whatever_form_and_attachments() -> None:
    made = {
        "subject": M,
        "a": [
            {"reference": f"{BASE_URL}/Organization/1"},
            {"reference": "#inner"},
            {"reference": "http://other/Goal/1"},
        ],
        "content": [{"attachment": {"url": "Binary/1"}}],
        "extension": [{"url": "http://x/y", "valueReference": {"reference": "Location/1/_history/2"}}],
    }
    assert ["Patient/m", "Organization/1", "Binary/1", "Location/1"] == list(references(made, BASE_URL))


@pytest.mark.parametrize(
    ("expected", "more"),
    [
        (False, {"subject": M}),
        (False, {}),
        (False, {"subject": {"reference": "Group/1"}}),
        (True, {"subject": {"reference": "Patient/other"}}),
        (True, {"for": {"reference": f"{BASE_URL}/Patient/other"}}),
        (False, {"individual": [{"reference": "Patient/other"}, M]}),
    ],
)
def test_what_is_about_another_member_is_of_another(expected: bool, more: Json) -> None:
    assert expected == is_of_another(resource("CareTeam", "1", **more), ["Patient/m"], BASE_URL)


@pytest.mark.parametrize(
    ("expected", "targets"), [(False, ["Patient/m", "Task/t"]), (True, ["Patient/m", "Patient/x"])]
)
def test_a_provenance_of_several_members_is_of_another(expected: bool, targets: list[str]) -> None:
    made = resource("Provenance", "1", target=[{"reference": one} for one in targets])
    assert expected == is_of_another(made, ["Patient/m"], BASE_URL)
