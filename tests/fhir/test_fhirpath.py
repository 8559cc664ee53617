from __future__ import annotations

from typing import Any

import pytest

from server.fhir.fhirpath import compiled, rule


def test_compiled_reads_a_resource() -> None:
    team = {"resourceType": "CareTeam", "status": "active", "participant": [{"role": [{"text": "x"}]}]}
    assert [True] == compiled("CareTeam.status = 'active' and participant.exists()")(team)
    assert [False] == compiled("status = 'inactive'")(team)


def test_compiled_knows_choice_types() -> None:
    observation = {"resourceType": "Observation", "valueInteger": 3}
    assert [3] == compiled("Observation.value")(observation)


@pytest.mark.parametrize("expression", ["", "a =", "status = = 'a'", "(((", "a b", "'x", "1 +", "a.b)"])
def test_compiled_refuses_what_is_no_fhirpath(expression: str) -> None:
    with pytest.raises(ValueError, match="column"):
        compiled(expression)


@pytest.mark.parametrize(
    ("expression", "value", "holds"),
    [
        ("value.matches('^[0-9]{2}$')", {"value": "12"}, True),
        ("value.matches('^[0-9]{2}$')", {"value": "123"}, False),
        ("value.exists() or period.exists()", {"period": {"start": "2026"}}, True),
        ("value or period", {"system": "urn:a"}, False),
        ("assigner.exists((resolve() is Organization))", {"assigner": {"reference": "Organization/1"}}, True),
        ("assigner.exists((resolve() is Organization))", {"assigner": {"reference": "#o"}}, True),
        ("assigner.exists((resolve() is Organization))", {"assigner": {"reference": "Patient/1"}}, False),
        ("%resource.id = 'p'", {"value": "a"}, True),
        ("period.start", {"value": "a"}, False),
        ("period.start", {"period": {"start": "2026"}}, True),
        ("value.length() > 1", {"system": "urn:a"}, False),
    ],
)
def test_rule_holds_of_a_value(expression: str, value: dict[str, Any], holds: bool) -> None:
    patient = {"resourceType": "Patient", "id": "p", "contained": [{"resourceType": "Organization", "id": "o"}]}
    assert holds is rule(expression)(value, "Identifier", patient)


def test_rule_takes_systems_name_of_a_type_for_fhirs() -> None:
    holds = rule("$this is DateTime implies $this.toString().length() >= 10")
    assert [False, True] == [holds(value, "dateTime", {}) for value in ("2026", "2026-01-01")]


@pytest.mark.parametrize("expression", ["matches('(a+)+')", "matches(system)", "replaceMatches('(a+)+', 'b')", "a +"])
def test_rule_that_could_run_away_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever of its words
        rule(expression)


def test_rule_holds_no_long_text_against_a_pattern() -> None:
    with pytest.raises(ValueError, match="too long"):
        rule("value.matches('a*b')")({"value": "a" * 5000}, "Identifier", {})
