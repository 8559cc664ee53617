"""R4's own value sets, expanded as anybody's are, beside the table that is made from HL7's definitions another way."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.resources import files

import pytest

from server.fhir.definition import value_set as required
from server.validation.terminology import value_set
from server.validation.terminology.value_set import Lacking
from tests.validation.loaded import Loaded

LOADED = Loaded()
R4 = files("server.fhir").joinpath("r4")
BOUND = sorted(json.loads(R4.joinpath("codes.json").read_text()))
ALL = sorted(json.loads(R4.joinpath("value_sets.json").read_text()))
# what others publish: these 104 rest on it
ELSEWHERE = {"http://snomed.info/sct", "http://loinc.org", "urn:iso:std:iso:3166", "http://unitsofmeasure.org"}


@pytest.mark.parametrize("url", BOUND)
def test_value_set_that_an_element_requires_has_the_codes_of_the_table(url: str) -> None:
    found, lacking = value_set.find(LOADED, url), Lacking()
    assert found is not None
    codes: dict[str, set[str]] = defaultdict(set)
    for member in value_set.members(LOADED, found, lacking):
        codes[member.system].add(member.code)
    assert required(url) == codes
    assert set() == lacking.names


def test_all_of_r4s_value_sets_are_expanded_but_for_what_others_publish() -> None:
    lacking: dict[str, set[str]] = {}
    for url in ALL:
        found, needed = value_set.find(LOADED, url), Lacking()
        assert found is not None
        for member in value_set.members(LOADED, found, needed)[:3]:
            assert value_set.contains(LOADED, found, member.system, member.code) is not False, url
        if needed.names:
            lacking[url] = needed.names
    assert (1316, 104) == (len(ALL), len(lacking))
    assert set().union(*lacking.values()) >= ELSEWHERE
