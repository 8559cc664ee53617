"""FHIRPath for places: http://hl7.org/fhirpath/. fhirpathpy evaluates the same expressions, and must find the same."""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir import fhirpath, tree
from server.fhir.path import Walk, parse

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "extension": [{"url": "urn:x", "valueString": "a"}, {"url": "urn:y", "valueInteger": 2}],
    "identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}, {"system": "urn:a"}],
    "name": [
        {"use": "official", "family": "O'Brien", "given": ["A", "B"]},
        {"use": "usual", "given": ["C"], "period": {"start": "2020"}},
    ],
    "multipleBirthInteger": 2,
    "contact": [{"name": {"text": "x"}, "telecom": [{"system": "phone", "rank": 1}, {"system": "email", "rank": 2}]}],
}


@pytest.mark.parametrize(
    "expression",
    [
        "Patient",
        "Patient.active",
        "active",
        "Patient.name.given",
        "Patient.name[1].given[0]",
        "Patient.name.given[2]",
        "Patient.name[7]",
        "Patient.name.first().given.last()",
        "Patient.name.given.tail()",
        "Patient.name.where(use = 'official').family",
        "Patient.name.where(use != 'official')",
        "Patient.name.where(family = 'O\\'Brien').given",
        "Patient.name.where(given.count() = 2).use",
        "Patient.name.where(period.exists()).use",
        "Patient.name.where(period.empty()).use",
        "Patient.name.where(period.exists().not()).use",
        "Patient.name.where(use = 'usual' or use = 'official').given",
        "Patient.name.where(use = 'usual' and family.exists()).given",
        "Patient.name.where(use = 'usual' xor family.exists()).given",
        "Patient.name.where(given contains 'B').use",
        "Patient.name.where('B' in given).use",
        "Patient.name.given.where($this = 'B')",
        "Patient.name.where(given.where($this.startsWith('C')).exists()).use",
        "Patient.name.given.where($this.endsWith('B'))",
        "Patient.name.where(family.contains('Br')).use",
        "Patient.name.where(use ~ 'OFFICIAL').use",
        "Patient.identifier.where(system = 'urn:a' and value = '1')",
        "Patient.identifier.where(value > '1').value",
        "Patient.contact.telecom.where(rank > 1).system",
        "Patient.contact.telecom.where(rank <= 1).system",
        "Patient.contact[0].telecom[1]",
        "(Patient.name)[0].use",
        "Patient.extension('urn:x').value",
        "Patient.extension.where(url = 'urn:y').value",
        "Patient.extension.value.ofType(integer)",
        "(Patient.extension[1].value as integer)",
        "Patient.multipleBirth",
        "Patient.where(active = true).id",
        "Patient.where(active).id",
        "Patient.where(active = false).id",
        "Patient.name.where(true).use",
        "Patient.contact.name.where(text.all($this = 'x'))",
        "Patient.nothing.where(use = 'a').period",
        "Patient.`name`.use",
        "Patient.id.single()",
    ],
)
def test_path_finds_what_fhirpath_finds(expression: str) -> None:
    found = [tree.json(node) for node in Walk(tree.of(PATIENT)).nodes(parse(expression))]
    assert fhirpath.compiled(expression)(PATIENT) == found


@pytest.mark.parametrize(
    "expression", ["", ".", "Patient.", "Patient.name[use]", "Patient.name[0.5]", "a b", "'x", "?"]
)
def test_path_that_is_none(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(expression)
