from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.fhir.definition import RESOURCE_TYPES
from server.outcome import Problem
from server.search import token
from server.search.criterion import MAX_STEPS
from server.search.filter import ALL, And, Chain, Equal, Filter, Has, Ids, Not, Or, Present, Range, Updated
from server.search.include import Include
from server.search.query import MAX_INCLUDES, MAX_SORTS, MAX_TESTS, Query, Sort, parse, types_of
from tests.search.asked import BASE, places, refused
from tests.steps import steps

FEW = 5_000_000  # steps: a hop more, and there were a hundred times as many


def asked(type: str, *parameters: tuple[str, str], lenient: bool = False) -> Query:
    return parse(type, parameters, base_url=BASE, lenient=lenient)


def filter_of(name: str, value: str, type: str = "CarePlan") -> Filter:
    return asked(type, (name, value)).filter


def starts(index: str, text: str) -> Range:
    end = text[:-1] + chr(ord(text[-1]) + 1)
    return Range(index, text.encode(), end.encode())


ACTIVE = Equal("CarePlan.status", (token.key(None, "active"),))


def test_parse_nothing_is_everything() -> None:
    assert Query("CarePlan", ALL) == asked("CarePlan")
    assert Query("CarePlan", ALL) == asked("CarePlan", ("status", ""), ("subject", ","), ("_format", "json"))


def test_parse_joins_parameters_by_and_and_values_by_or() -> None:
    assert ACTIVE == filter_of("status", "active")
    both = Equal("CarePlan.status", (token.key(None, "active"), token.key(None, "draft")))
    assert both == filter_of("status", "active,draft")
    assert both == filter_of("status", "active,,draft,active")
    assert (
        And((ACTIVE, Equal("CarePlan.subject", ("Patient/1",))))
        == asked("CarePlan", ("status", "active"), ("subject", "Patient/1")).filter
    )
    assert And((ACTIVE, ACTIVE)) == asked("CarePlan", ("status", "active"), ("status", "active")).filter


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("_id", "1", Ids(("1",))),
        ("_id", "1,2,1", Ids(("1", "2"))),
        ("_id:not", "1", Not(Ids(("1",)))),
        ("_lastUpdated", "ge1970-01-02", Updated(86_400_000_000, None)),
        ("status:not", "active", Not(ACTIVE)),
        ("status:missing", "true", Not(Present("CarePlan.status"))),
        ("status:missing", "false", Present("CarePlan.status")),
        ("subject", "1", Equal("CarePlan.subject", ("Group/1", "Patient/1"))),
        ("subject:Patient.family", "li", Chain("CarePlan.subject", "Patient", starts("Patient.family", "li"))),
        ("patient.family", "li", Chain("CarePlan.patient", "Patient", starts("Patient.family", "li"))),
        ("patient._id", "1", Chain("CarePlan.patient", "Patient", Ids(("1",)))),
        ("patient.gender:not", "x", Chain("CarePlan.patient", "Patient", Not(filter_of("gender", "x", "Patient")))),
        ("patient.family:missing", "true", Chain("CarePlan.patient", "Patient", Not(Present("Patient.family")))),
        (
            "patient.family",
            "a,b",
            Chain("CarePlan.patient", "Patient", Or((starts("Patient.family", "a"), starts("Patient.family", "b")))),
        ),
        (
            "subject:Patient.organization.name",
            "x",
            Chain(
                "CarePlan.subject",
                "Patient",
                Chain("Patient.organization", "Organization", starts("Organization.name", "x")),
            ),
        ),
        ("_has:Task:focus:status", "draft", Has("Task", "Task.focus", filter_of("status", "draft", "Task"))),
        (
            "_has:Task:focus:_has:Provenance:target:_id",
            "9",
            Has("Task", "Task.focus", Has("Provenance", "Provenance.target", Ids(("9",)))),
        ),
        (
            "_has:Task:focus:owner:Practitioner.family",
            "x",
            Has("Task", "Task.focus", Chain("Task.owner", "Practitioner", starts("Practitioner.family", "x"))),
        ),
        (
            "patient._has:Group:member:_id",
            "g",
            Chain("CarePlan.patient", "Patient", Has("Group", "Group.member", Ids(("g",)))),
        ),
    ],
)
def test_parse_reads_names(name: str, value: str, expected: Filter) -> None:
    assert expected == filter_of(name, value)


def test_parse_goes_through_every_type_that_an_untyped_chain_may_mean() -> None:
    found = filter_of("subject.identifier", "1")
    assert isinstance(found, Or)
    assert {("CarePlan.subject", "Group"), ("CarePlan.subject", "Patient")} == {
        (chain.index, chain.type) for chain in found.filters if isinstance(chain, Chain)
    }
    only = filter_of("subject.birthdate", "2000")  # a Group has none
    assert isinstance(only, Chain)
    assert "Patient" == only.type


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("nonsense", "1", "invalid"),
        ("Status", "active", "invalid"),
        ("_query", "1", "invalid"),
        ("_type", "Goal", "invalid"),
        ("_sort", "nonsense", "invalid"),
        ("subject:Patient.nonsense", "1", "invalid"),
        ("subject.nonsense", "1", "invalid"),
        ("_has:Task:nonsense:status", "draft", "invalid"),
        ("x" * 5000, "1", "invalid"),
    ],
)
def test_parse_of_an_unknown_name_follows_the_preference(name: str, value: str, code: str) -> None:
    problem = refused("CarePlan", (name, value))
    assert (400, [(code, f"http.{name}")]) == (problem.status, places(problem))
    found = asked("CarePlan", (name, value), ("status", "active"), lenient=True)
    assert (ACTIVE, (("status", "active"),)) == (found.filter, found.applied)
    assert [("warning", (f"http.{name}",))] == [(issue.severity, issue.expression) for issue in found.ignored]


def test_parse_of_an_unknown_name_lists_the_known() -> None:
    (issue,) = refused("CarePlan", ("nonsense", "1")).issues
    assert all(code in issue.diagnostics for code in ("nonsense", "care-team", "_lastUpdated", "subject"))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("status:exact", "a", "not-supported"),
        ("status:", "a|b|c", "invalid"),
        ("date", "soon", "invalid"),
        ("status.code", "a", "invalid"),
        ("instantiates-canonical.name", "a", "invalid"),
        ("subject:Device.identifier", "a", "invalid"),
        ("subject:Patient.birthdate:exact", "2000", "not-supported"),
        ("patient.birthdate", "soon", "invalid"),
        ("_has:Task", "1", "invalid"),
        ("_has:Task:focus", "1", "invalid"),
        ("_has:Nothing:focus:_id", "1", "invalid"),
        ("_has:Encounter:location:_id", "1", "invalid"),
        ("_has:Task:status:_id", "1", "invalid"),
        ("_id:exact", "1", "not-supported"),
        ("_sort:desc", "date", "invalid"),
        ("_sort", ",".join(["date"] * (MAX_SORTS + 1)), "invalid"),
        ("_count", "-1", "invalid"),
        ("_count", "ten", "invalid"),
        ("_count", "²", "invalid"),
        ("_count", "9" * 10, "invalid"),
        ("_total", "some", "invalid"),
        ("_summary", "all", "invalid"),
    ],
)
@pytest.mark.parametrize("lenient", [False, True])
def test_parse_refuses_bad_values_and_modifiers_always(name: str, value: str, code: str, lenient: bool) -> None:
    with pytest.raises(Problem) as problem:
        asked("CarePlan", (name, value), lenient=lenient)
    assert (400, [(code, f"http.{name}")]) == (problem.value.status, places(problem.value))


def test_parse_says_all_that_is_wrong_at_once() -> None:
    problem = refused("CarePlan", ("date", "soon"), ("status", "active"), ("nonsense", "1"), ("_count", "x"))
    assert ["http.date", "http.nonsense", "http._count"] == [place for _, place in places(problem)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("date", [("date", "CarePlan.date", False)]),
        ("-date,_id", [("date", "CarePlan.date", True), ("_id", "", False)]),
        ("-_lastUpdated", [("_lastUpdated", "", True)]),
        ("status", [("status", "CarePlan.status", False)]),
    ],
)
def test_parse_sort(value: str, expected: list[tuple[str, str, bool]]) -> None:
    found = asked("CarePlan", ("_sort", value)).sort
    assert expected == [(sort.code, sort.index, sort.descending) for sort in found]


def test_parse_sort_reads_values_where_the_index_is_not_in_their_order() -> None:
    date, status, subject = asked("CarePlan", ("_sort", "date,status,subject")).sort
    plan = {"resourceType": "CarePlan", "status": "active", "subject": {"reference": "Patient/1"}}
    assert date.value is None
    assert status.value is not None
    assert subject.value is not None
    assert (b"active", b"Patient/1") == (status.value(plan), subject.value(plan))
    (union,) = asked("Observation", ("_sort", "combo-value-quantity")).sort
    assert union.value is not None
    assert union.value({"resourceType": "Observation", "valueQuantity": {"value": 1}})


def test_parse_result_parameters() -> None:
    found = asked(
        "CarePlan",
        ("_count", "0"),
        ("_total", "accurate"),
        ("_summary", "data"),
        ("_elements", "status, subject"),
        ("_elements", "title"),
        ("_include", "CarePlan:subject"),
        ("_include", "CarePlan:subject"),
        ("_include:iterate", "Patient:organization"),
        ("_revinclude", "Task:focus"),
        ("_pretty", "true"),
    )
    assert (0, "accurate", "data") == (found.count, found.total, found.summary)
    assert ("status", "subject", "title") == found.elements
    assert (Include("CarePlan", "subject"), Include("Patient", "organization", None, True)) == found.include
    assert (Include("Task", "focus"),) == found.revinclude
    assert "_pretty" not in dict(found.applied)
    assert 9 == len(found.applied)


def test_parse_limits_includes() -> None:
    many = [("_include", f"{type}:*") for type in sorted(RESOURCE_TYPES)[: MAX_INCLUDES + 1]]
    assert ["invalid"] == [code for code, _ in places(refused("CarePlan", *many))]


@pytest.mark.parametrize(
    ("type", "name", "value"),
    [
        ("CarePlan", "status", ",".join(["a"] * (MAX_TESTS + 1))),
        ("CarePlan", "part-of." * (MAX_STEPS + 1) + "_id", "1"),
        ("CarePlan", "_has:CarePlan:part-of:" * (MAX_STEPS + 1) + "_id", "1"),
        ("Provenance", "target.focus._id", "1"),
        ("Task", "focus.focus.focus.focus.focus._id", "1"),
        ("CarePlan", "date", ",".join(["2020"] * 500)),
        ("Task", "focus", ",".join(map(str, range(200)))),
    ],
)
def test_parse_refuses_what_would_explode(type: str, name: str, value: str) -> None:
    def parsed() -> None:
        problem = refused(type, (name, value))
        assert ("too_costly", [("too-costly", f"http.{name}")]) == (problem.kind, places(problem))

    assert steps(parsed) < FEW


def test_parse_takes_many_ids() -> None:
    many = tuple(str(number) for number in range(4000))
    assert Ids(many) == filter_of("_id", ",".join(many))
    assert Equal("CarePlan.subject", tuple(f"Patient/{id}" for id in many)) == filter_of(
        "subject:Patient", ",".join(many)
    )


def test_parse_of_a_chain_that_leads_nowhere_ends() -> None:
    def parsed() -> None:
        assert "invalid" == refused("Task", ("focus." * MAX_STEPS + "nonsense", "1")).kind

    assert steps(parsed) < FEW


def test_parse_reads_a_chain_of_the_most_steps() -> None:
    found: Any = filter_of(
        ".".join(["part-of"] * MAX_STEPS) + "._id", "1", "Organization".replace("Organization", "CarePlan")
    )
    for _ in range(MAX_STEPS):
        assert isinstance(found, Chain)
        found = found.filter
    assert Ids(("1",)) == found


def test_sort_without_a_modifier_is_plain() -> None:
    assert Sort("date", "CarePlan.date") == asked("CarePlan", ("_sort", "date")).sort[0]


def test_parse_of_several_types_asks_each_in_its_own_index() -> None:
    found = parse(["Patient", "Goal"], [("_tag", "urn:a|b"), ("_id", "1")], base_url=BASE, lenient=False)
    assert ("Patient", ["Goal"]) == (found.type, [type for type, _ in found.others])
    for type, filter in (("Patient", found.filter), *found.others):
        assert isinstance(filter, And)
        assert [f"{type}._tag"] == [part.index for part in filter.filters if isinstance(part, Equal)]


def test_parse_of_several_types_takes_what_all_of_them_have() -> None:
    with pytest.raises(Problem) as refused_:
        parse(["Patient", "Goal"], [("birthdate", "2000")], base_url=BASE, lenient=False)
    assert [("invalid", "http.birthdate")] == places(refused_.value)
    with pytest.raises(Problem):
        parse(["Patient", "Goal"], [("_sort", "identifier")], base_url=BASE, lenient=False)
    ignored = parse(["Patient", "Goal"], [("birthdate", "2000")], base_url=BASE, lenient=True)
    assert ((), 1) == (ignored.applied, len(ignored.ignored))


def test_types_of_names_each_once_or_all() -> None:
    assert ("Goal", "Task") == types_of([("_type", "Goal,Task"), ("_type", "Goal")], ("Task", "Goal", "List"))
    assert ("Goal", "List", "Task") == types_of([("_id", "1")], ("Task", "Goal", "List"))
    with pytest.raises(Problem) as refused_:
        types_of([("_type", "Goal,Gaol")], ("Task", "Goal"))
    assert [("invalid", "http._type")] == places(refused_.value)


def test_parse_of_a_functional_list_is_of_the_current_lists_with_its_code() -> None:
    found = filter_of("_list", "$current-problems,7")
    assert isinstance(found, Has)
    assert isinstance(found.filter, Or)
    ids, current = found.filter.filters
    assert (Ids(("7",)), filter_of_lists()) == (ids, current)


def filter_of_lists() -> Filter:
    code = "http://terminology.hl7.org/CodeSystem/list-example-use-codes|problems"
    return parse("List", [("status", "current"), ("code", code)], base_url=BASE, lenient=False).filter


def test_parse_of_a_list_is_of_what_its_items_name() -> None:
    assert Has("List", "List.item", Ids(("1", "2"))) == filter_of("_list", "1,List/2")
    assert [("invalid", "http._list")] == places(refused("CarePlan", ("_list", "$current-drug-allergies")))
    assert [("invalid", "http._list:not")] == places(refused("CarePlan", ("_list:not", "1")))


ANYTHING = st.text(st.sampled_from('ab09.,|$\\"()[]*:-_ é\0/') | st.characters(), max_size=40)
PIECES = st.sampled_from(
    ["name", "birthdate", "eq", "co", "not", "and", "or", "(", ")", "[", "]", ".", '"', "2014", "x"]
)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["_filter", "_content", "_text", "near", "name", "identifier", "identifier:of-type", "birthdate"]),
    ANYTHING | st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=12).map("".join),
)
def test_parse_reads_any_text_or_says_why_not(name: str, value: str) -> None:
    type = "Location" if name == "near" else "Patient"
    found = read_or_refused(type, name, value)
    if isinstance(found, Problem):
        assert {"invalid", "too_costly"} >= {found.kind}
        assert all(issue.diagnostics and issue.expression == (f"http.{name}",) for issue in found.issues)


def read_or_refused(type: str, name: str, value: str) -> Query | Problem:
    try:
        return parse(type, [(name, value)], base_url=BASE, lenient=False)
    except Problem as problem:
        return problem
