"""Terminology over HTTP: R4's own, our own, and what somebody puts into the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

Json = dict[str, Any]
ACHIEVEMENT = "http://terminology.hl7.org/CodeSystem/goal-achievement"
ACHIEVEMENTS = "http://hl7.org/fhir/ValueSet/goal-achievement"
BASE = "http://example.org/fhir"
WARM = [{"code": "warm", "valueBoolean": True}]
RED: Json = {
    "code": "red",
    "display": "Red",
    "definition": "As a rose",
    "designation": [{"language": "es", "value": "Rojo"}],
    "property": WARM,
    "concept": [{"code": "pink", "display": "Pink", "property": WARM}],
}
COLORS: Json = {
    "resourceType": "CodeSystem",
    "id": "colors",
    "url": f"{BASE}/CodeSystem/colors",
    "version": "1",
    "name": "Colors",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "property": [{"code": "warm", "type": "boolean"}, {"code": "inactive", "type": "boolean"}],
    "concept": [
        RED,
        {"code": "blue", "display": "Blue", "property": [{"code": "inactive", "valueBoolean": True}]},
        {"code": "b-1", "display": "Blue 1"},
    ],
}


def value_set(id: str, *include: Json, exclude: Json | None = None) -> Json:
    compose: Json = {"include": list(include)} | ({"exclude": [exclude]} if exclude else {})
    url = f"{BASE}/ValueSet/{id}"
    return {"resourceType": "ValueSet", "id": id, "url": url, "status": "active", "compose": compose}


def of_colors(*filters: tuple[str, str, str], **more: Any) -> Json:
    found = [{"property": name, "op": op, "value": value} for name, op, value in filters]
    return {"system": COLORS["url"], **({"filter": found} if found else {}), **more}


@pytest.fixture
async def colors(client: httpx.AsyncClient) -> httpx.AsyncClient:
    assert 201 == (await client.put("CodeSystem/colors", json=COLORS)).status_code
    return client


async def expanded(client: httpx.AsyncClient, resource: Json | None = None, **query: Any) -> Any:
    if resource is None:
        response = await client.get("ValueSet/$expand", params=query)
    else:
        given = [{"name": "valueSet", "resource": resource}]
        parameters = {"resourceType": "Parameters", "parameter": given}
        response = await client.post("ValueSet/$expand", json=parameters, params=query)
    if response.status_code != 200:
        return response.status_code, response.json()["issue"][0]["code"]
    return [one["code"] for one in response.json()["expansion"].get("contains", ())]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (of_colors(), ["red", "pink", "blue", "b-1"]),
        (of_colors(concept=[{"code": "blue"}, {"code": "red"}]), ["blue", "red"]),
        (of_colors(("concept", "is-a", "red")), ["red", "pink"]),
        (of_colors(("concept", "descendent-of", "red")), ["pink"]),
        (of_colors(("concept", "is-not-a", "red")), ["blue", "b-1"]),
        (of_colors(("concept", "generalizes", "pink")), ["red", "pink"]),
        (of_colors(("warm", "=", "true")), ["red", "pink"]),
        (of_colors(("warm", "exists", "false")), ["blue", "b-1"]),
        (of_colors(("code", "in", "blue, pink")), ["pink", "blue"]),
        (of_colors(("code", "not-in", "blue,pink")), ["red", "b-1"]),
        (of_colors(("code", "regex", "b.*[0-9]")), ["b-1"]),
        (of_colors(("concept", "is-a", "red"), ("code", "regex", "p.+")), ["pink"]),
    ],
)
async def test_expand_by_each_filter(colors: httpx.AsyncClient, include: Json, expected: list[str]) -> None:
    assert expected == await expanded(colors, value_set("a", include))


async def test_expand_with_sets_within_sets_and_exclusions(colors: httpx.AsyncClient) -> None:
    warm = value_set("warm", of_colors(("warm", "=", "true")))
    assert 201 == (await colors.put("ValueSet/warm", json=warm)).status_code
    imported = {"valueSet": [warm["url"]]}
    assert ["red", "pink"] == await expanded(colors, value_set("a", imported))
    assert ["pink"] == await expanded(colors, value_set("a", of_colors(("code", "=", "pink"), **imported)))
    both = {"valueSet": [warm["url"], warm["url"]]}
    assert ["pink"] == await expanded(colors, value_set("a", both, exclude=of_colors(concept=[{"code": "red"}])))
    assert ["red", "pink", "blue", "b-1"] == await expanded(colors, value_set("a", imported, of_colors()))
    response = await colors.get("ValueSet/warm/$expand")
    assert (warm["url"], 2) == (response.json()["url"], response.json()["expansion"]["total"])


async def test_expand_filters_pages_and_leaves_out_the_inactive(colors: httpx.AsyncClient) -> None:
    all_of = value_set("a", of_colors())
    assert ["blue", "b-1"] == await expanded(colors, all_of, filter="blue")
    assert ["b-1"] == await expanded(colors, all_of, filter="BLUE 1")
    assert ["pink", "blue"] == await expanded(colors, all_of, offset=1, count=2)
    assert [] == await expanded(colors, all_of, count=0)
    assert ["red", "pink", "b-1"] == await expanded(colors, all_of, activeOnly="true")


async def test_expand_tells_displays_in_a_language(colors: httpx.AsyncClient) -> None:
    given = [{"name": "valueSet", "resource": value_set("a", of_colors(concept=[{"code": "red"}]))}]
    body = {"resourceType": "Parameters", "parameter": given}
    query = {"displayLanguage": "es", "includeDesignations": "true"}
    answer = (await colors.post("ValueSet/$expand", json=body, params=query)).json()
    expected = {"system": COLORS["url"], "code": "red", "display": "Rojo", "designation": RED["designation"]}
    assert [expected] == answer["expansion"]["contains"]


async def test_expand_of_what_is_not_loaded_is_refused(client: httpx.AsyncClient) -> None:
    assert (404, "not-found") == await expanded(client, url="urn:none")
    assert (422, "not-found") == await expanded(client, value_set("a", {"system": "http://snomed.info/sct"}))
    assert (422, "not-found") == await expanded(client, value_set("a", {"valueSet": ["urn:none"]}))
    assert (400, "required") == await expanded(client)
    assert (400, "invalid") == await expanded(client, url=ACHIEVEMENTS, count=-1)


async def test_expand_of_sets_in_a_circle_ends(client: httpx.AsyncClient) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        await client.put(f"ValueSet/{one}", json=value_set(one, {"valueSet": [f"{BASE}/ValueSet/{other}"]}))
    assert (422, "not-found") == await expanded(client, url=f"{BASE}/ValueSet/a")


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|b*)*", r"(a)\1", "(?=a)a", "[", "a*b*c*", "(" * 300])
async def test_pattern_that_could_run_away_is_refused(colors: httpx.AsyncClient, pattern: str) -> None:
    assert (422, "processing") == await expanded(colors, value_set("a", of_colors(("code", "regex", pattern))))


async def test_expand_of_too_many_codes_is_paged(client: httpx.AsyncClient) -> None:
    many = COLORS | {"id": "many", "url": f"{BASE}/many", "concept": [{"code": str(n)} for n in range(10_001)]}
    await client.put("CodeSystem/many", json=many)
    of_many = value_set("a", {"system": many["url"]})
    assert (413, "too-costly") == await expanded(client, of_many)
    assert ["10000"] == await expanded(client, of_many, offset=10_000, count=5)


async def test_expansion_that_a_set_came_with_is_taken(client: httpx.AsyncClient) -> None:
    contains = [{"system": "urn:s", "code": "a", "contains": [{"system": "urn:s", "code": "b"}]}]
    expansion = {"timestamp": "2026", "contains": contains}
    assert ["a", "b"] == await expanded(
        client, {"resourceType": "ValueSet", "status": "active", "expansion": expansion}
    )


async def told(client: httpx.AsyncClient, path: str, **query: str) -> Any:
    response = await client.get(path, params=query)
    if response.status_code != 200:
        return response.status_code, response.json()["issue"][0]["code"]
    parameters = response.json()["parameter"]
    return {one["name"]: value for one in parameters for name, value in one.items() if name.startswith("value")}


async def test_validate_code_of_a_value_set(client: httpx.AsyncClient) -> None:
    path = "ValueSet/$validate-code"
    right = {"url": ACHIEVEMENTS, "system": ACHIEVEMENT, "code": "achieved"}
    assert {"result": True, "display": "Achieved"} == await told(client, path, **right)
    assert (await told(client, path, **right, display="achieved"))["result"] is True
    assert (await told(client, path, **right, display="Lost"))["result"] is False
    assert (await told(client, path, **right | {"code": "x"}))["result"] is False
    assert (await told(client, path, **right | {"system": "urn:x"}))["result"] is False
    assert (404, "not-found") == await told(client, path, **right | {"url": "urn:none"})
    assert (400, "invalid") == await told(client, path, url=ACHIEVEMENTS)


async def test_validate_code_of_concepts_with_several_codings(client: httpx.AsyncClient) -> None:
    codings = [{"system": "urn:x", "code": "y"}, {"system": ACHIEVEMENT, "code": "achieved"}]
    given = [
        {"name": "url", "valueUri": ACHIEVEMENTS},
        {"name": "codeableConcept", "valueCodeableConcept": {"coding": codings}},
    ]
    body = {"resourceType": "Parameters", "parameter": given}
    answer = (await client.post("ValueSet/$validate-code", json=body)).json()
    assert {"name": "result", "valueBoolean": True} in answer["parameter"]


async def test_validate_code_that_rests_on_what_is_not_loaded_is_not_guessed(client: httpx.AsyncClient) -> None:
    await client.put("ValueSet/a", json=value_set("a", {"system": "http://snomed.info/sct"}))
    asked = {"url": f"{BASE}/ValueSet/a", "system": "http://snomed.info/sct", "code": "1"}
    assert (422, "not-found") == await told(client, "ValueSet/$validate-code", **asked)
    assert (await told(client, "ValueSet/$validate-code", **asked | {"system": "urn:x"}))["result"] is False


async def test_validate_code_of_a_code_system(colors: httpx.AsyncClient) -> None:
    path = "CodeSystem/$validate-code"
    assert (await told(colors, path, url=COLORS["url"], code="pink"))["result"] is True
    assert (await told(colors, path, system=COLORS["url"], code="pink"))["result"] is True
    assert (await told(colors, "CodeSystem/colors/$validate-code", code="green"))["result"] is False
    assert (404, "not-found") == await told(colors, path, url="urn:none", code="a")
    partial = COLORS | {"id": "partial", "url": "urn:partial", "content": "fragment"}
    await colors.put("CodeSystem/partial", json=partial)
    assert (422, "not-found") == await told(colors, path, url="urn:partial", code="green")


async def test_lookup_tells_what_a_code_is(colors: httpx.AsyncClient) -> None:
    asked = {"system": COLORS["url"], "code": "red"}
    found = (await colors.get("CodeSystem/$lookup", params=asked)).json()["parameter"]
    named = [(one["name"], one["valueString"]) for one in found[:3]]
    assert [("name", "Colors"), ("version", "1"), ("display", "Red")] == named
    assert {"name": "value", "valueString": "Rojo"} in found[3]["part"]
    expected = {
        "definition": {"name": "value", "valueString": "As a rose"},
        "child": {"name": "value", "valueCode": "pink"},
        "warm": {"name": "value", "valueBoolean": True},
    }
    assert expected == {one["part"][0]["valueCode"]: one["part"][1] for one in found[4:]}
    asked = {"system": COLORS["url"], "code": "pink", "property": "parent"}
    one = (await colors.get("CodeSystem/$lookup", params=asked)).json()["parameter"]
    assert ["red"] == [part["part"][1]["valueCode"] for part in one if part["name"] == "property"]


async def test_lookup_of_what_is_not_there_is_a_404(client: httpx.AsyncClient) -> None:
    path = "CodeSystem/$lookup"
    assert (404, "not-found") == await told(client, path, system=ACHIEVEMENT, code="x")
    assert (404, "not-found") == await told(client, path, system="urn:x", code="x")
    assert (400, "required") == await told(client, path, code="x")


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("red", "red", "equivalent"),
        ("red", "pink", "subsumes"),
        ("pink", "red", "subsumed-by"),
        ("pink", "blue", "not-subsumed"),
    ],
)
async def test_subsumes(colors: httpx.AsyncClient, first: str, second: str, outcome: str) -> None:
    asked = {"codeA": first, "codeB": second}
    assert {"outcome": outcome} == await told(colors, "CodeSystem/$subsumes", **asked, system=COLORS["url"])
    assert {"outcome": outcome} == await told(colors, "CodeSystem/colors/$subsumes", **asked)


async def test_subsumes_of_what_is_not_there_is_refused(colors: httpx.AsyncClient) -> None:
    path = "CodeSystem/$subsumes"
    assert (404, "not-found") == await told(colors, path, codeA="red", codeB="x", system=COLORS["url"])
    assert (400, "invalid") == await told(colors, path, codeA="red", codeB="pink")
    assert (400, "invalid") == await told(colors, path, codeA="red", system=COLORS["url"])


def concept_map(**more: Any) -> Json:
    target = {"code": "warm", "display": "Warm", "equivalence": "wider"}
    elements = [{"code": "red", "target": [target]}, {"code": "b-1", "target": [{"equivalence": "unmatched"}]}]
    group = {"source": COLORS["url"], "target": "urn:feelings", "element": elements, **more}
    url = f"{BASE}/ConceptMap/feel"
    return {"resourceType": "ConceptMap", "id": "feel", "url": url, "status": "active", "group": [group]}


async def matches(client: httpx.AsyncClient, path: str = "ConceptMap/$translate", **query: str) -> Any:
    """The result, and each match's equivalence and code."""
    parameters = (await client.get(path, params=query)).json()["parameter"]
    found = []
    for one in (one for one in parameters if one["name"] == "match"):
        parts = {part["name"]: part for part in one["part"]}
        concept = parts.get("concept", {}).get("valueCoding", {})
        found.append((parts["equivalence"]["valueCode"], concept.get("code")))
    return next(one["valueBoolean"] for one in parameters if one["name"] == "result"), found


async def test_translate(client: httpx.AsyncClient) -> None:
    await client.put("ConceptMap/feel", json=concept_map())
    red = {"system": COLORS["url"], "code": "red"}
    for path in ("ConceptMap/$translate", "ConceptMap/feel/$translate"):
        assert (True, [("wider", "warm")]) == await matches(client, path, **red)
    assert (True, [("wider", "warm")]) == await matches(client, **red, url=f"{BASE}/ConceptMap/feel")
    assert (True, [("wider", "warm")]) == await matches(client, **red, targetsystem="urn:feelings")
    assert (False, []) == await matches(client, **red, targetsystem="urn:other")
    assert (False, []) == await matches(client, system="urn:none", code="red")
    back = {"system": "urn:feelings", "code": "warm", "reverse": "true"}
    assert (True, [("narrower", "red")]) == await matches(client, **back)
    assert (False, [("unmatched", None)]) == await matches(client, **red | {"code": "b-1"})


@pytest.mark.parametrize(
    ("unmapped", "expected"),
    [
        ({"mode": "provided"}, [("equivalent", "pink")]),
        ({"mode": "fixed", "code": "none"}, [("inexact", "none")]),
        ({"mode": "other-map", "url": f"{BASE}/ConceptMap/other"}, [("equal", "rosy")]),
        ({"mode": "other-map", "url": f"{BASE}/ConceptMap/feel"}, []),
        ({"mode": "other-map", "url": "urn:none"}, []),
    ],
)
async def test_translate_what_a_map_leaves_open(client: httpx.AsyncClient, unmapped: Json, expected: Any) -> None:
    await client.put("ConceptMap/feel", json=concept_map(unmapped=unmapped))
    element = {"code": "pink", "target": [{"code": "rosy", "equivalence": "equal"}]}
    other = concept_map(element=[element]) | {"id": "other", "url": f"{BASE}/ConceptMap/other"}
    await client.put("ConceptMap/other", json=other)
    asked = {"url": f"{BASE}/ConceptMap/feel", "system": COLORS["url"], "code": "pink"}
    assert (bool(expected), expected) == await matches(client, **asked)


async def test_translate_tells_what_else_it_fills(client: httpx.AsyncClient) -> None:
    product = {"property": "urn:shade", "system": "urn:shades", "value": "dark"}
    target = {"code": "warm", "equivalence": "equal", "product": [product]}
    stored = concept_map(element=[{"code": "red", "target": [target]}])
    assert 201 == (await client.put("ConceptMap/feel", json=stored)).status_code
    asked = {"system": COLORS["url"], "code": "red"}
    parameters = (await client.get("ConceptMap/feel/$translate", params=asked)).json()["parameter"]
    parts = next(part["part"] for part in parameters[-1]["part"] if part["name"] == "product")
    expected = [
        {"name": "element", "valueUri": "urn:shade"},
        {"name": "concept", "valueCoding": {"system": "urn:shades", "code": "dark"}},
    ]
    assert expected == parts


async def test_definition_that_changes_counts_at_once(colors: httpx.AsyncClient) -> None:
    all_of = value_set("a", of_colors())
    assert 4 == len(await expanded(colors, all_of))
    await colors.put("CodeSystem/colors", json=COLORS | {"concept": [{"code": "grey"}]})
    assert ["grey"] == await expanded(colors, all_of)


async def test_search_by_value_set_and_hierarchy(colors: httpx.AsyncClient) -> None:
    warm = value_set("warm", of_colors(("warm", "=", "true")))
    await colors.put("ValueSet/warm", json=warm)
    for code in ("red", "pink", "blue"):
        coding = {"system": COLORS["url"], "code": code}
        basic = {"resourceType": "Basic", "id": code, "code": {"coding": [coding]}}
        assert 201 == (await colors.put(f"Basic/{code}", json=basic)).status_code

    async def searched(name: str, value: str) -> Any:
        response = await colors.get("Basic", params={name: value})
        if response.status_code != 200:
            return response.status_code
        return sorted(entry["resource"]["id"] for entry in response.json().get("entry", ()))

    assert ["pink", "red"] == await searched("code:in", warm["url"])
    assert ["pink", "red"] == await searched("code:in", "ValueSet/warm")
    assert ["blue"] == await searched("code:not-in", warm["url"])
    assert ["pink", "red"] == await searched("code:below", f"{COLORS['url']}|red")
    assert ["pink", "red"] == await searched("code:above", f"{COLORS['url']}|pink")
    assert [400, 400] == [await searched("code:in", "urn:none"), await searched("code:below", f"{COLORS['url']}|x")]


DOCUMENT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ROLES = Path(__file__).parents[2] / "profiles" / "CodeSystem-cm-role.json"


@pytest.mark.parametrize("line", re.findall(r"^GET ((?:ValueSet|CodeSystem|ConceptMap)/\S+)$", DOCUMENT, re.MULTILINE))
async def test_requests_of_the_document_are_answered(client: httpx.AsyncClient, line: str) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    await client.put("CodeSystem/cm-role", content=ROLES.read_bytes(), headers=headers)
    response = await client.get(line)
    assert 200 == response.status_code, response.text


async def test_sets_that_import_many_times_take_no_longer(client: httpx.AsyncClient) -> None:
    for number in range(12):
        include = [{"valueSet": [f"{BASE}/ValueSet/n{number + 1}"]}] * 12
        await client.put(f"ValueSet/n{number}", json=value_set(f"n{number}", *include))
    await client.put("ValueSet/n12", json=value_set("n12", {"system": "urn:s", "concept": [{"code": "a"}]}))
    assert ["a"] == await expanded(client, url=f"{BASE}/ValueSet/n0")
    asked = {"url": f"{BASE}/ValueSet/n0", "system": "urn:s", "code": "b"}
    assert (await told(client, "ValueSet/$validate-code", **asked))["result"] is False


async def test_maps_that_lead_to_one_another_many_times_take_no_longer(client: httpx.AsyncClient) -> None:
    for number in range(12):
        unmapped = {"mode": "other-map", "url": f"{BASE}/ConceptMap/m{number + 1}"}
        one = concept_map(unmapped=unmapped)
        one |= {"id": f"m{number}", "url": f"{BASE}/ConceptMap/m{number}", "group": one["group"] * 12}
        assert 201 == (await client.put(f"ConceptMap/m{number}", json=one)).status_code
    asked = {"url": f"{BASE}/ConceptMap/m0", "system": COLORS["url"], "code": "none"}
    assert (False, []) == await matches(client, **asked)


COMPOSED = value_set("composed", of_colors()) | {"name": "Composed", "status": "draft"}


async def test_expand_tells_the_definition_where_that_is_asked(colors: httpx.AsyncClient) -> None:
    await colors.put("ValueSet/composed", json=COMPOSED)
    plain = (await colors.get("ValueSet/composed/$expand")).json()
    defined = (await colors.get("ValueSet/composed/$expand?includeDefinition=true")).json()
    assert ("draft", "Composed", False) == (plain["status"], plain["name"], "compose" in plain)
    assert COMPOSED["compose"] == defined["compose"]


@pytest.mark.parametrize(("asked", "is_told"), [("es", True), ("urn:ietf:bcp:47|es", True), ("fr", False)])
async def test_expand_tells_designations_of_a_kind(colors: httpx.AsyncClient, asked: str, is_told: bool) -> None:
    await colors.put("ValueSet/composed", json=COMPOSED)
    answer = await colors.get("ValueSet/composed/$expand", params={"designation": asked})
    assert is_told == ("designation" in answer.json()["expansion"]["contains"][0])


@pytest.mark.parametrize(
    ("named", "asked", "expected"),
    [
        ({}, {}, ["green"]),
        ({}, {"system-version": "1"}, ["red", "pink", "blue", "b-1"]),
        ({"version": "2"}, {"system-version": "1"}, ["green"]),
        ({"version": "2"}, {"force-system-version": "1"}, ["red", "pink", "blue", "b-1"]),
        ({}, {"check-system-version": "1"}, ["red", "pink", "blue", "b-1"]),
        ({"version": "2"}, {"check-system-version": "1"}, (422, "processing")),
        ({}, {"exclude-system": "2"}, []),
        ({}, {"exclude-system": "1"}, ["green"]),
        ({}, {"system-version": ""}, (400, "invalid")),
    ],
)
async def test_expand_by_versions_of_code_systems(
    colors: httpx.AsyncClient, named: Json, asked: dict[str, str], expected: Any
) -> None:
    later = COLORS | {"id": "later", "version": "2", "concept": [{"code": "green"}]}
    assert 201 == (await colors.put("CodeSystem/later", json=later)).status_code
    query = {name: f"{COLORS['url']}|{version}" for name, version in asked.items()}
    assert expected == await expanded(colors, value_set("a", of_colors(**named)), **query)


async def test_terminology_as_it_was_on_a_date(colors: httpx.AsyncClient) -> None:
    asked = {"system": COLORS["url"], "code": "red"}
    assert (404, "not-found") == await told(colors, "CodeSystem/$lookup", **asked, date="2001-01-01")
    assert "Red" == (await told(colors, "CodeSystem/$lookup", **asked, date="2999"))["display"]
    before = {"url": ACHIEVEMENTS, "system": ACHIEVEMENT, "code": "achieved", "date": "2001-01-01"}
    assert (await told(colors, "ValueSet/$validate-code", **before))["result"] is True  # R4's own are always there


async def test_validate_code_in_a_language(colors: httpx.AsyncClient) -> None:
    asked = {"url": COLORS["url"], "code": "red", "displayLanguage": "es"}
    path = "CodeSystem/$validate-code"
    assert {"result": True, "display": "Rojo"} == await told(colors, path, **asked, display="rojo")
    assert (await told(colors, path, **asked, display="Red"))["result"] is False
    assert (
        "Rojo"
        == (await told(colors, "CodeSystem/$lookup", system=COLORS["url"], code="red", displayLanguage="es"))["display"]
    )


async def test_validate_code_of_an_abstract_code(client: httpx.AsyncClient) -> None:
    group = {"code": "group", "property": [{"code": "notSelectable", "valueBoolean": True}]}
    await client.put("CodeSystem/colors", json=COLORS | {"concept": [group]})
    asked = {"url": COLORS["url"], "code": "group"}
    found = [
        (await told(client, "CodeSystem/$validate-code", **asked, abstract=one))["result"] for one in ("true", "false")
    ]
    assert [True, False] == found


async def test_validate_code_of_a_version_that_is_not_loaded(colors: httpx.AsyncClient) -> None:
    await colors.put("ValueSet/composed", json=COMPOSED)
    asked = {"url": COMPOSED["url"], "system": COLORS["url"], "code": "red"}
    assert (await told(colors, "ValueSet/$validate-code", **asked, systemVersion="1"))["result"] is True
    assert (422, "not-found") == await told(colors, "ValueSet/$validate-code", **asked, systemVersion="9")


@pytest.mark.parametrize(("value", "codes"), [("f", ["a"]), ("m", ["b"]), (None, ["a", "b"])])
async def test_translate_by_what_it_depends_on(client: httpx.AsyncClient, value: str | None, codes: list[str]) -> None:
    targets = [
        {"code": code, "equivalence": "equal", "dependsOn": [{"property": "urn:sex", "value": sex}]}
        for code, sex in (("a", "f"), ("b", "m"))
    ]
    group = {"source": "urn:s", "target": "urn:t", "element": [{"code": "x", "target": targets}]}
    concept_map = {"resourceType": "ConceptMap", "status": "active", "group": [group]}
    given: list[Json] = [
        {"name": "conceptMap", "resource": concept_map},
        {"name": "coding", "valueCoding": {"system": "urn:s", "code": "x"}},
    ]
    if value:
        concept = {"name": "concept", "valueCodeableConcept": {"coding": [{"code": value}]}}
        given.append({"name": "dependency", "part": [{"name": "element", "valueUri": "urn:sex"}, concept]})
    answer = await client.post("ConceptMap/$translate", json={"resourceType": "Parameters", "parameter": given})
    matches = [one["part"] for one in answer.json()["parameter"] if one["name"] == "match"]
    assert codes == [part["valueCoding"]["code"] for parts in matches for part in parts if part["name"] == "concept"]


RED_OF_X: Json = {"code": {"valueCode": "red"}, "system": {"valueUri": "urn:x"}}


@pytest.mark.parametrize(
    ("operation", "name", "resource", "beside"),
    [
        ("CodeSystem/$validate-code", "codeSystem", {"resourceType": "CodeSystem"}, {"code": {"valueCode": "red"}}),
        ("ValueSet/$expand", "valueSet", {"resourceType": "ValueSet", "compose": {"include": [{"concept": [{}]}]}}, {}),
        ("ConceptMap/$translate", "conceptMap", {"resourceType": "ConceptMap", "group": [{}]}, RED_OF_X),
        ("StructureDefinition/$snapshot", "definition", {"resourceType": "StructureDefinition", "url": "x"}, {}),
    ],
)
async def test_definition_that_is_given_and_cannot_be_read(
    client: httpx.AsyncClient, operation: str, name: str, resource: Json, beside: Json
) -> None:
    given = [{"name": name, "resource": resource}, *({"name": one, **value} for one, value in beside.items())]
    refused = await client.post(operation, json={"resourceType": "Parameters", "parameter": given})
    assert (400, "OperationOutcome") == (refused.status_code, refused.json()["resourceType"])
    assert refused.json()["issue"][0]["expression"][0].startswith(resource["resourceType"])


async def test_code_system_without_a_url(client: httpx.AsyncClient) -> None:
    nameless = {name: value for name, value in COLORS.items() if name != "url"}
    await client.put("CodeSystem/colors", json=nameless)
    answer = await client.get("CodeSystem/colors/$validate-code?code=red")
    assert 200 == answer.status_code, answer.text
