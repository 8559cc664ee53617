"""Snapshots that are made, against those that HL7 made of US Core's profiles."""

from __future__ import annotations

from typing import Any

import pytest

from server.validation.profile import snapshot, structure
from server.validation.profile.structure import Structure
from tests import us_core
from tests.validation.loaded import Loaded, profile, us_core_loaded

# What rests on profiles that are not loaded here: SDC's, and R4's own vitalsigns
ON_OTHERS = {"us-core-questionnaireresponse", "us-core-vital-signs"}

# Where HL7 merges `valueQuantity` into a choice that its base leaves open, and we slice it: the same is refused
SLICED = {"us-core-blood-pressure", "us-core-pulse-oximetry"}

# Where HL7 gives a new slice its base's targets, and we those of the element that is sliced, which hold for it anyway
NARROWER = {("us-core-provenance", "type")}


def made(resource: dict[str, Any]) -> dict[str, Any]:
    known = structure.read(resource)
    found = snapshot.elements(us_core_loaded(), known._replace(snapshot=()))
    assert found is not None
    return {element["id"]: element for element in found}


def profiles() -> list[dict[str, Any]]:
    found = [one for one in us_core.definitions() if one["resourceType"] == "StructureDefinition"]
    return [one for one in found if one["id"] not in ON_OTHERS | SLICED]


@pytest.mark.parametrize("name", ["min", "max", "fixed", "pattern", "binding", "type"])
def test_snapshot_is_hl7s(name: str) -> None:
    differing = []
    for resource in profiles():
        ours = made(resource)
        for element in structure.read(resource).snapshot:
            if element["id"] != resource["type"] and (resource["id"], name) not in NARROWER:
                expected, actual = told(element, name), told(ours.get(element["id"], {}), name)
                if expected is not None and expected != actual:
                    differing.append((element["id"], expected, actual))
    assert [] == differing


def told(element: dict[str, Any], name: str) -> Any:
    if name == "binding":
        binding = element.get("binding", {})
        return binding.get("valueSet", "").partition("|")[0] if binding.get("strength") == "required" else None
    if name == "type":
        types = element.get("type", ())
        return None if any("/" in one["code"] for one in types) else sorted(map(type_told, types))
    return [value for key, value in sorted(element.items()) if key.startswith(name) and key not in NOT_ASKED]


NOT_ASKED = {"maxLength"}


def type_told(one: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    code = {"Element": "BackboneElement"}.get(one["code"], one["code"])
    targets = [target for target in one.get("targetProfile", ()) if not target.endswith("/Resource")]
    return code, sorted(one.get("profile", ())), sorted(targets)


def test_only_what_rests_on_others_has_no_snapshot() -> None:
    without = {
        one["id"]
        for one in us_core.definitions()
        if one["resourceType"] == "StructureDefinition"
        and snapshot.elements(us_core_loaded(), structure.read(one)._replace(snapshot=())) is None
    }
    assert ON_OTHERS == without


def of(*elements: dict[str, Any], type: str = "Observation") -> dict[str, Any]:
    read: Structure = structure.read(profile(type, *elements))
    return {one["id"]: one for one in snapshot.elements(Loaded(), read) or ()}


def test_members_of_a_type_are_unfolded_where_the_differential_leads_below() -> None:
    found = of({"id": "Observation.code.coding.system", "min": 1})
    assert (1, "1") == (found["Observation.code.coding.system"]["min"], found["Observation.code.coding.system"]["max"])
    assert "Observation.code.text" in found
    assert "Observation.category.coding" not in found


def test_slice_stands_after_its_element_and_its_earlier_slices() -> None:
    found = list(
        of(
            {"id": "Observation.category:a", "sliceName": "a"},
            {"id": "Observation.category:a.text", "min": 1},
            {"id": "Observation.category:b", "sliceName": "b"},
        )
    )
    at = found.index("Observation.category")
    assert "Observation.category:a" == found[at + 1]
    assert "Observation.code" == found[found.index("Observation.category:b") + 1]


def test_slice_of_a_slice_takes_what_the_slice_says() -> None:
    found = of(
        {"id": "Observation.category:a", "sliceName": "a", "max": "2"},
        {"id": "Observation.category:a/b", "sliceName": "a/b", "min": 1},
    )
    assert ("2", 1) == (found["Observation.category:a/b"]["max"], found["Observation.category:a/b"]["min"])


def test_short_name_of_a_choice_that_is_required_leaves_no_other() -> None:
    found = of({"id": "Observation.valueQuantity", "min": 1})
    assert ["Quantity"] == [one["code"] for one in found["Observation.value[x]"]["type"]]
    assert 1 == found["Observation.value[x]"]["min"]


def test_elements_without_ids_are_told_by_path_and_slice() -> None:
    elements = [
        {"path": "Observation.category"},
        {"path": "Observation.category", "sliceName": "a"},
        {"path": "Observation.category.text"},
    ]
    expected = ["Observation.category", "Observation.category:a", "Observation.category:a.text"]
    assert expected == [one["id"] for one in snapshot.identified(elements)]


def test_what_the_base_does_not_have_is_left_out() -> None:
    assert "Observation.colour" not in of({"id": "Observation.colour", "min": 1})


def test_profile_on_a_profile_that_is_not_loaded_has_no_snapshot() -> None:
    read = structure.read(profile("Observation", baseDefinition="http://example.org/none"))
    assert snapshot.elements(Loaded(), read) is None


def test_profiles_in_a_circle_have_no_snapshot() -> None:
    circle = profile("Observation")
    circle["baseDefinition"] = circle["url"]
    assert snapshot.elements(Loaded([circle]), structure.read(circle)) is None
