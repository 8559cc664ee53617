"""What tests look at in an answer."""

from __future__ import annotations

from typing import Any

import httpx


def refusal(response: httpx.Response) -> tuple[int, list[str]]:
    """(status, the issue codes of the OperationOutcome)."""
    assert response.headers["content-type"].startswith("application/fhir+json"), response.headers
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome", outcome
    assert all(issue["diagnostics"] for issue in outcome["issue"])
    return response.status_code, [issue["code"] for issue in outcome["issue"]]


def places(response: httpx.Response) -> list[str]:
    """The expressions of the OperationOutcome's issues."""
    return [place for issue in response.json()["issue"] for place in issue.get("expression", ())]


def rules(response: httpx.Response) -> set[str]:
    """The ids of the rules by which something is refused."""
    return {issue["details"]["text"].rpartition("#")[2] for issue in response.json()["issue"]}


def ids(response: httpx.Response) -> list[str]:
    """The ids of a Bundle's resources, in its order."""
    assert response.status_code == 200, response.text
    return [entry["resource"]["id"] for entry in response.json().get("entry", ())]


def statuses(response: httpx.Response) -> list[str]:
    """The status of each entry of a batch's or transaction's answer."""
    assert response.status_code == 200, response.text
    return [entry["response"]["status"][:3] for entry in response.json().get("entry", ())]


def transaction(*entries: dict[str, Any], type: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, full_url: str | None = None, **request: str
) -> dict[str, Any]:
    """A Bundle's entry. `request` takes ifMatch, ifNoneExist …"""
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made
