"""Which documents meet a condition: as the database judges it."""

from __future__ import annotations

from typing import Any

import pytest

from server.store.mongodb.condition import Apart, meets

PLAN: dict[str, Any] = {
    "_id": "0000000000001048576",
    "live": "CarePlan",
    "until": 7,
    "keys": ["CarePlan.status=61", "CarePlan.subject>Patient/1", "CarePlan.date=05"],
    "low": {"date": "05"},
    "facts": [{"k": "plan Patient/1", "d": "{}"}, {"k": "item Patient/1", "d": "{}"}],
}


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"live": "CarePlan", "until": {"$gt": 6}},
        {"_id": {"$gte": "0000000000001048576", "$lt": "0000000000002097152"}},
        {"until": {"$lte": 7}},
        {"keys": {"$in": ["CarePlan.status=61", "else"]}},
        {
            "keys": {
                "$elemMatch": {"$gte": "CarePlan.date=04", "$lt": "CarePlan.date=06", "$regex": "^CarePlan.date=05"}
            }
        },
        {"facts.k": {"$in": ["item Patient/1"]}},
        {"low.date": {"$exists": True}, "low.code": {"$exists": False}, "body": {"$exists": False}},
        {"$or": [{"live": "Patient"}, {"until": 7}]},
        {"$nor": [{"live": "Patient"}, {"keys": {"$in": ["else"]}}]},
        {"$and": [{"live": "CarePlan"}, {}]},
    ],
)
def test_condition_is_met(condition: dict[str, Any]) -> None:
    assert meets(condition)(PLAN)


@pytest.mark.parametrize(
    "condition",
    [
        {"live": "Patient"},
        {"live": "CarePlan", "until": {"$gt": 7}},
        {"until": {"$lt": 7}},
        {"body": {"$lt": "x"}},
        {"keys": {"$in": []}},
        {"keys": {"$elemMatch": {"$gte": "CarePlan.date=06", "$regex": "^CarePlan.date=05"}}},
        {"facts.k": {"$in": ["plan Patient/2"]}},
        {"high.date": {"$exists": True}},
        {"$or": []},
        {"$nor": [{"live": "CarePlan"}]},
        {"$and": [{"live": "CarePlan"}, {"until": 6}]},
    ],
)
def test_condition_is_not_met(condition: dict[str, Any]) -> None:
    assert not meets(condition)(PLAN)


@pytest.mark.parametrize("condition", [{"late": {"$in": ["x"]}}, {"$and": [{"low.date@a1": {"$exists": True}}]}])
def test_what_is_not_held_is_not_judged(condition: dict[str, Any]) -> None:
    with pytest.raises(Apart):
        meets(condition)
