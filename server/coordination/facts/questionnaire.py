"""Questionnaire: where one is stored, by its canonical URL.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.url
"""

from __future__ import annotations

from collections.abc import Iterator

from server.ledger import FactRow, Resource


def rows(questionnaire: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Questionnaire."""
    if "url" in questionnaire:
        yield "questionnaire", questionnaire["url"], [questionnaire.get("version", ""), questionnaire["status"]]
