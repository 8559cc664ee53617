from __future__ import annotations

import pytest

from server.fhir.fhirpath import compiled


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
