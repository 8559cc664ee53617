"""Which answers a Questionnaire requires of a form."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.lead.form import unanswered

Json = dict[str, Any]


def item(link: str, *inside: Json, **more: Any) -> Json:
    return {"linkId": link, "type": "group" if inside else "string", **({"item": [*inside]} if inside else {}), **more}


def answered(link: str, *inside: Json, value: str | None = "yes") -> Json:
    return {"linkId": link, "answer": [{**({"valueString": value} if value else {}), "item": [*inside]}]}


@pytest.mark.parametrize(
    ("items", "given", "missing"),
    [
        ([item("a", required=True), item("b")], [], ["a"]),
        ([item("a", required=True)], [answered("a")], []),
        ([item("a", required=True)], [{"linkId": "a"}], ["a"]),
        ([item("a", required=True)], [answered("a", value=None)], ["a"]),
        ([item("a", required=True, enableWhen=[{"question": "b"}])], [], []),
        ([item("g", item("a", required=True))], [], []),
        ([item("g", item("a", required=True), required=True)], [], ["g"]),
        ([item("g", item("a", required=True))], [{"linkId": "g", "item": [{"linkId": "b"}]}], ["a"]),
        ([item("g", item("a", required=True), required=True)], [{"linkId": "g", "item": [answered("a")]}], []),
        ([item("q", item("a", required=True))], [answered("q")], ["a"]),
        ([item("q", item("a", required=True))], [answered("q", answered("a"))], []),
    ],
)
def test_unanswered_is_what_is_required_of_what_is_there(
    items: list[Json], given: list[Json], missing: list[str]
) -> None:
    assert missing == list(unanswered(items, given))
