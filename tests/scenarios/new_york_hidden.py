"""New York: resources with words that only who sees them may read."""

from __future__ import annotations

from typing import Any

from tests.scenarios.iowa import Json

SECRET = "Xylophone"  # what only the other organization's resources say


def plan(id: str, member: str, author: str, **more: Any) -> Json:
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "title": SECRET,
        "subject": {"reference": member},
        "author": {"reference": author},
        **more,
    }


def observation(id: str, member: str, performer: str | None = None, **more: Any) -> Json:
    by = {"performer": [{"reference": performer}]} if performer else {}
    about = {"status": "final", "code": {"text": SECRET}, "subject": {"reference": member}}
    return {"resourceType": "Observation", "id": id, **about, **by, **more}


def task(id: str, member: str, owner: str, **more: Any) -> Json:
    about = {"status": "requested", "intent": "order", "for": {"reference": member}, "owner": {"reference": owner}}
    return {"resourceType": "Task", "id": id, **about, "description": SECRET, **more}


def care_team(id: str, member: str, organization: str | None = None) -> Json:
    kept_by = {"managingOrganization": [{"reference": organization}]} if organization else {}
    about = {"status": "active", "name": SECRET, "subject": {"reference": member}}
    return {"resourceType": "CareTeam", "id": id, **about, **kept_by}


def binary(id: str, context: str) -> Json:
    held = {"contentType": "text/plain", "data": "WHlsb3Bob25l", "securityContext": {"reference": context}}
    return {"resourceType": "Binary", "id": id, **held}
