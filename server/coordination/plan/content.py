"""Content: what two organizations agree on when they accept a plan of care, told from what goes on with it.

https://hl7.org/fhir/R4/careplan.html

Agreed on are the services, with their scope, frequency and performers, the goals and needs, the time, and whose the
plan is. How far a service has come, notes, and what else is written beside are not.
"""

from __future__ import annotations

import hashlib
import json

from server.ledger import Resource

AGREED = ("addresses", "author", "contributor", "description", "goal", "intent", "partOf", "period", "subject")
GOES_ON = ("status", "statusReason")  # of CarePlan.activity.detail


def content(plan: Resource) -> str:
    """A digest (SHA-256, hex) of what is agreed on: of two versions that say the same, the same."""
    agreed = {name: plan[name] for name in AGREED if name in plan}
    agreed["activity"] = [_activity(one) for one in plan.get("activity", ())]
    text = json.dumps(agreed, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _activity(activity: Resource) -> Resource:
    detail = {name: value for name, value in activity.get("detail", {}).items() if name not in GOES_ON}
    return {"detail": detail, "reference": activity.get("reference")}
