"""A partition that is opened without HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.fhir.body import parse
from server.ledger import Change, Plan, View
from server.outcome import Problem
from server.settings import Settings

ROOT = Path(__file__).parents[2]


async def test_opened_is_under_the_rules(settings: Settings) -> None:
    """A write that comes by no HTTP is judged as any other."""
    program = (ROOT / "profiles" / "PlanDefinition-ia-hcbs.json").read_bytes().replace(b'"caseload-cap"', b'"no-rule"')
    body = parse(program)

    async def decide(view: View) -> Plan:
        return Plan([Change("PUT", body.type, "p", {**body.resource, "id": "p"}, body.text("p"))])

    async with opened(settings) as server:
        with pytest.raises(Problem) as raised:
            await server.repository.commit(SYSTEM, decide)
        assert 422 == raised.value.status
        assert 0 == await server.repository.head(SYSTEM)


async def test_a_store_of_other_definitions_is_refused(settings: Settings) -> None:
    async with opened(settings):
        pass
    with pytest.raises(Problem) as raised:
        async with opened(settings.model_copy(update={"base_url": "https://other.example/fhir"})):
            pass
    assert "unavailable" == raised.value.kind
