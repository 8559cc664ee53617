"""New York: nothing is agreed on without the agreement (ASA): on the template as it is, signed by both, in its time."""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from tests.answers import places, refusal, rules
from tests.coordination.memory import BASE
from tests.scenarios.iowa import Json, kept, put, puts
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OTHER,
    PAT,
    PLAN,
    TEMPLATE,
    TEXTS,
    asa,
    day,
    enrolled,
    lead,
    named,
    new_york,
    propose,
    proposed,
    respond,
    shipped,
    text,
)


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize("program", ["ny-mltcp", "ny-map"])
async def test_lead_is_proposed_under_an_agreement_of_that_pair_in_force_on_that_day(
    client: httpx.AsyncClient, program: str
) -> None:
    await new_york(client, program)
    await kept(client, asa(start=day(-10), end=day(10)), asa("asa-other", (PLAN, OTHER)))
    outside = [await propose(client, effective=("valueDate", day(at))) for at in (-11, 11)]
    assert [(422, ["business-rule"])] * 2 == [refusal(one) for one in outside]
    assert "NY-06" in outside[0].json()["issue"][0]["details"]["text"]
    await kept(client, asa(start=day(-10), end=day(10), status="terminated"))
    assert (422, ["business-rule"]) == refusal(await propose(client))
    await kept(client, asa(start=day(-10), end=day(10)))
    assert 201 == (await propose(client, effective=("valueDate", day(10)))).status_code


@pytest.mark.requirement("NY-06")
async def test_refusal_names_the_contracts_of_both_and_what_each_lacks(here: httpx.AsyncClient) -> None:
    naive = {name: value for name, value in asa("naive").items() if name not in {"type", "instantiatesUri", "signer"}}
    await kept(here, asa(end=day(-1)), naive, asa("asa-other", (PLAN, OTHER)))
    (told,) = [one["diagnostics"] for one in (await propose(here)).json()["issue"]]
    for expected in (f"it applies from 2025-01-01 to {day(-1)}", "Contract/naive: its type is not", "has not signed"):
        assert expected in told
    assert "Contract/asa-other" not in told


@pytest.mark.requirement("NY-06", "NY-07")
async def test_agreement_names_its_template_by_either_element(here: httpx.AsyncClient) -> None:
    whole = asa()
    del whole["instantiatesUri"]
    for link in ({"reference": TEMPLATE}, {"identifier": {"value": TEMPLATE}}):
        await kept(here, whole | {"instantiatesCanonical": link})
    assert 201 == (await propose(here)).status_code
    response = await put(here, whole | {"instantiatesCanonical": {"reference": TEMPLATE + "-other"}})
    assert (422, ["business-rule"]) == refusal(response)


@pytest.mark.requirement("NY-06")
async def test_agreement_is_in_force_when_the_proposal_is_accepted(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    await kept(here, asa(status="cancelled"))
    assert (422, ["business-rule"]) == refusal(await respond(here, task))
    await kept(here, asa("asa-new"))
    assert 200 == (await respond(here, task)).status_code
    assert "Contract/asa-new" == (await lead(here))["agreement"]


@pytest.mark.requirement("NY-06")
async def test_lead_of_a_day_that_is_past_is_named_under_an_agreement_of_today_too(here: httpx.AsyncClient) -> None:
    task = await proposed(here, effective=("valueDate", day(-30)))
    await kept(here, asa(end=day(-1)))
    assert (422, ["business-rule"]) == refusal(await respond(here, task))
    assert {} == await lead(here)
    assert 200 == (await respond(here, task, "withdraw", actor=PLAN)).status_code
    response = await propose(here, effective=("valueDate", day(-30)))
    assert ((422, ["business-rule"]), {"NY-06"}) == (refusal(response), rules(response))
    await kept(here, asa("asa-2", start=day(-5)))
    task = await proposed(here, effective=("valueDate", day(-30)))
    assert 200 == (await respond(here, task)).status_code
    assert "Contract/asa" == (await lead(here))["agreement"]


@pytest.mark.requirement("NY-03", "NY-04", "NY-06")
async def test_enrolling_in_the_health_home_waits_for_no_agreement(here: httpx.AsyncClient) -> None:
    await kept(here, asa(status="cancelled"))
    assert 201 == (await put(here, enrolled(MEMBER, "ny-health-home", OTHER) | {"id": "another"})).status_code


@pytest.mark.requirement("NY-07", "ADJ-10")
async def test_altered_text_is_refused_and_appendices_are_free(here: httpx.AsyncClient) -> None:
    altered = text(TEXTS[0]).replace(b"nowhere", b"anywhere")
    for content in (
        {"contentType": "text/plain", "data": base64.b64encode(altered).decode()},
        {"url": "http://plan.example/asa.txt", "hash": base64.b64encode(hashlib.sha1(altered).digest()).decode()},
    ):
        legal = [{"contentAttachment": content}, asa()["legal"][1]]
        response = await put(here, asa("asa-2", legal=legal))
        assert (422, ["business-rule", "business-rule"]) == refusal(response)
        assert ["Contract.legal[0]", "Contract.legal"] == places(response)
        assert {"NY-07"} == rules(response)
    by_hash = {
        "url": "http://plan.example/asa.txt",
        "hash": base64.b64encode(hashlib.sha1(text(TEXTS[0])).digest()).decode(),
    }
    free = [{"text": "Appendix B", "offer": {"text": "Respite is the plan's"}}]
    whole = asa("asa-2", legal=[{"contentAttachment": by_hash}, asa()["legal"][1]], term=free)
    assert 201 == (await put(here, whole)).status_code


@pytest.mark.requirement("NY-07")
async def test_hash_of_another_text_than_the_data_beside_it_is_refused(here: httpx.AsyncClient) -> None:
    true = base64.b64encode(hashlib.sha1(text(TEXTS[0])).digest()).decode()

    def with_hash(hash: str) -> Json:
        legal = [asa()["legal"][0]["contentAttachment"] | {"hash": hash}, asa()["legal"][1]["contentAttachment"]]
        return asa("asa-2", legal=[{"contentAttachment": one} for one in legal])

    response = await put(here, with_hash("AAAA"))
    assert (422, ["business-rule"]) == refusal(response)
    assert ["Contract.legal[0].contentAttachment.hash"] == places(response)
    assert true in response.json()["issue"][0]["diagnostics"]
    assert 201 == (await put(here, with_hash(true))).status_code


def document(content: bytes, type: str = "DocumentReference") -> Json:
    data = {"contentType": "text/plain", "data": base64.b64encode(content).decode()}
    if type == "Binary":
        return {"resourceType": "Binary", "id": "text", **data}
    return {"resourceType": "DocumentReference", "id": "text", "status": "current", "content": [{"attachment": data}]}


def kept_in(type: str) -> Json:
    """Contract.legal whose text is kept in a resource of its own."""
    if type == "Binary":
        hash = base64.b64encode(hashlib.sha1(text(TEXTS[0])).digest()).decode()
        return {"contentAttachment": {"url": "Binary/text", "hash": hash}}
    return {"contentReference": {"reference": "DocumentReference/text"}}


@pytest.mark.requirement("NY-07", "ADJ-10")
@pytest.mark.parametrize("type", ["Binary", "DocumentReference"])
async def test_text_that_is_kept_beside_the_agreement_is_not_altered_either(here: httpx.AsyncClient, type: str) -> None:
    original = text(TEXTS[0])
    altered = original.replace(b"nowhere", b"anywhere")
    whole = asa("asa-2", legal=[kept_in(type), asa()["legal"][1]])
    assert 422 == (await put(here, whole)).status_code  # there is no such text
    await kept(here, document(altered, type))
    assert (422, {"business-rule"}) == _codes(await put(here, whole))
    await kept(here, document(original, type))
    assert 201 == (await put(here, whole)).status_code
    patch = [{"op": "remove", "path": "/data" if type == "Binary" else "/content/0/attachment/data"}]
    headers = {"Content-Type": "application/json-patch+json"}
    error = {"status": "entered-in-error"} if type == "DocumentReference" else {"data": "AAAA"}
    for response in (
        await put(here, document(altered, type)),
        await put(here, document(original, type) | error),
        await here.post("", json=puts(document(altered, type))),
        await here.delete(f"{type}/text"),
        await here.patch(f"{type}/text", json=patch, headers=headers),
    ):
        assert (422, {"business-rule"}) == _codes(response)
    await kept(here, whole | {"status": "terminated"})
    assert 200 == (await put(here, document(altered, type))).status_code


def _codes(response: httpx.Response) -> tuple[int, set[str]]:
    status, codes = refusal(response)
    return status, set(codes)


@pytest.mark.requirement("NY-07", "ADJ-10")
async def test_agreement_without_statement_and_certification_is_refused(here: httpx.AsyncClient) -> None:
    response = await put(here, asa("asa-2", legal=asa()["legal"][:1]))
    assert (422, ["business-rule"]) == refusal(response)
    assert ["Contract.legal"] == places(response)


@pytest.mark.requirement("NY-06", "NY-07")
@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"signer": asa()["signer"][:1]}, "Contract.signer"),
        ({"subject": [{"reference": PLAN}]}, "Contract.subject"),
        ({"subject": [{"reference": PLAN}, {"reference": PLAN}]}, "Contract.subject"),
        ({"subject": [{"reference": PLAN}, {"display": "The Health Home"}]}, "Contract.subject"),
        ({"applies": {"end": "2027-01-01"}}, "Contract.applies"),
        ({"instantiatesUri": "urn:example:our-own"}, "Contract.instantiatesUri"),
    ],
)
async def test_agreement_that_is_not_whole_is_not_executed(
    here: httpx.AsyncClient, wrong: dict[str, object], where: str
) -> None:
    response = await put(here, asa("asa-2") | wrong)
    assert 422 == response.status_code
    assert [where] == places(response)
    assert 201 == (await put(here, asa("asa-2") | wrong | {"status": "negotiable"})).status_code


@pytest.mark.requirement("NY-06")
async def test_somebody_signs_for_an_organization(here: httpx.AsyncClient) -> None:
    plan, home = asa()["signer"]
    for_home = {**home["signature"][0], "who": {"reference": "Practitioner/hal"}, "onBehalfOf": {"reference": HOME}}
    signers = [
        {**plan, "party": {"reference": PAT}},
        {**home, "party": {"reference": "Practitioner/hal"}, "signature": [for_home]},
    ]
    assert 201 == (await put(here, asa("asa-2", signer=signers))).status_code


@pytest.mark.requirement("NY-06")
async def test_agreement_that_a_lead_rests_on_is_ended_and_not_deleted(here: httpx.AsyncClient) -> None:
    await named(here)
    assert (422, ["business-rule"]) == refusal(await here.delete("Contract/asa"))
    assert 200 == (await put(here, asa(end=day(30)))).status_code
    assert HAL == (await lead(here, day(60)))["lead"]


@pytest.mark.requirement("NY-06")
async def test_agreement_was_in_force_as_a_lead_began_who_rests_on_it(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-100)))
    for undone in (
        asa(start=day(-10)),
        asa(end=day(-101)),
        asa(start=day(-10), status="terminated"),
        asa(parties=(PLAN, OTHER)),
        {name: value for name, value in asa().items() if name != "type"},
    ):
        response = await put(here, undone)
        assert ((422, ["business-rule"]), {"NY-06"}) == (refusal(response), rules(response))
        assert ["Contract.applies"] == places(response)
    for changed in (asa(end=day(0)), asa(end=day(30)), asa(title="The same"), asa(status="terminated")):
        assert 200 == (await put(here, changed)).status_code
    assert "Contract/asa" == (await lead(here))["agreement"]


@pytest.mark.requirement("NY-07")
async def test_operators_own_template_is_a_hash_in_the_programs_file(here: httpx.AsyncClient) -> None:
    program = shipped("ny-map")
    document = next(one for one in program["action"] if one["id"] == "NY-06")["action"][0]["action"][0]
    official = b"The Department's text"
    document["extension"][0]["extension"][1]["valueString"] = base64.b64encode(hashlib.sha1(official).digest()).decode()
    await kept(here, program | {"version": "2.0.0"})
    legal = [
        {"contentAttachment": {"contentType": "text/plain", "data": base64.b64encode(official).decode()}},
        asa()["legal"][1],
    ]
    assert 201 == (await put(here, asa("asa-2", legal=legal))).status_code


@pytest.mark.requirement("NY-06")
async def test_contract_of_another_kind_concerns_no_rule(here: httpx.AsyncClient) -> None:
    lease = {"resourceType": "Contract", "id": "lease", "status": "executed", "type": {"text": "A lease"}}
    assert 201 == (await put(here, lease)).status_code
    assert 204 == (await here.delete("Contract/lease")).status_code


async def expiring(client: httpx.AsyncClient) -> dict[str, tuple[str, str]]:
    """Of each organization: (the Task's status, when it is to be seen to)."""
    code = f"{BASE}/CodeSystem/cm-task|agreement-expiry"
    found = (await client.get("Task", params={"code": code})).json().get("entry", ())
    tasks = [entry["resource"] for entry in found]
    assert all("Contract/asa" == task["focus"]["reference"] for task in tasks)
    return {
        task["owner"]["reference"]: (task["status"], "/".join(task["restriction"]["period"].values())) for task in tasks
    }


@pytest.mark.requirement("NY-06")
async def test_end_of_an_agreement_shows_ahead_of_time_as_tasks_of_both(here: httpx.AsyncClient) -> None:
    assert {} == await expiring(here)
    await kept(here, asa(end=day(200)))
    when = f"{day(110)}/{day(200)}"
    assert {PLAN: ("requested", when), HOME: ("requested", when)} == await expiring(here)
    await kept(here, asa(end=day(200), title="The same"))
    later = f"{day(275)}/{day(365)}"
    await kept(here, asa(end=day(365)))
    assert {PLAN: ("requested", later), HOME: ("requested", later)} == await expiring(here)
    await kept(here, asa())
    assert {PLAN: ("cancelled", later), HOME: ("cancelled", later)} == await expiring(here)
    await kept(here, asa(end=day(200)))
    await kept(here, asa(end=day(200), status="terminated"))
    assert {PLAN: ("cancelled", when), HOME: ("cancelled", when)} == await expiring(here)
    await kept(here, asa(end=day(200)))
    assert {PLAN: ("requested", when), HOME: ("requested", when)} == await expiring(here)


async def to_renew(client: httpx.AsyncClient, contract: str = "asa") -> dict[str, tuple[str, list[str]]]:
    """Of each organization: the status of the Task about an agreement's end, and what renewed it."""
    query = {"code": f"{BASE}/CodeSystem/cm-task|agreement-expiry", "focus": f"Contract/{contract}"}
    tasks = [entry["resource"] for entry in (await client.get("Task", params=query)).json().get("entry", ())]
    renewed = [[one["valueReference"]["reference"] for one in task.get("output", ())] for task in tasks]
    return {task["owner"]["reference"]: (task["status"], found) for task, found in zip(tasks, renewed, strict=True)}


DUE = {PLAN: ("requested", list[str]()), HOME: ("requested", list[str]())}
RENEWED = dict.fromkeys((PLAN, HOME), ("completed", ["Contract/asa-2"]))


@pytest.mark.requirement("NY-06")
async def test_renewal_completes_the_tasks_of_the_end_in_its_own_commit(here: httpx.AsyncClient) -> None:
    await kept(here, asa(end=day(30)))
    renewal = await put(here, asa("asa-2", start=day(31), end=day(400)))
    tasks = (await here.get("Task", params={"focus": "Contract/asa"})).json()["entry"]
    assert {renewal.json()["meta"]["versionId"]} == {one["resource"]["meta"]["versionId"] for one in tasks}
    assert (RENEWED, DUE) == (await to_renew(here), await to_renew(here, "asa-2"))
    await kept(here, asa(end=day(30), title="The same"))
    assert RENEWED == await to_renew(here)


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize(
    "other",
    [
        asa("asa-2", start=day(32)),  # a day is without
        asa("asa-2", start=day(-5), end=day(30)),  # ends with it
        asa("asa-2", start=day(31), status="executable"),
        asa("asa-2", (PLAN, OTHER), start=day(31)),
    ],
)
async def test_what_is_no_renewal_leaves_the_tasks_open(here: httpx.AsyncClient, other: Json) -> None:
    await kept(here, asa(end=day(30)), other)
    assert DUE == await to_renew(here)


@pytest.mark.requirement("NY-06")
async def test_renewal_that_is_withdrawn_opens_the_tasks_again(here: httpx.AsyncClient) -> None:
    renewal = asa("asa-2", start=day(31))
    await kept(here, asa(end=day(30)), renewal)
    for undone in (renewal | {"status": "terminated"}, asa("asa-2", start=day(40)), asa("asa-2", (PLAN, OTHER))):
        assert RENEWED == await to_renew(here)
        await kept(here, undone)
        assert DUE == await to_renew(here)
        await kept(here, renewal)
    await kept(here, asa("asa-3", start=day(20)), renewal | {"status": "terminated"})
    assert dict.fromkeys((PLAN, HOME), ("completed", ["Contract/asa-3"])) == await to_renew(here)
    assert 204 == (await here.delete("Contract/asa-3")).status_code
    assert DUE == await to_renew(here)


@pytest.mark.requirement("NY-06")
async def test_end_is_renewed_by_what_is_on_file_before_it_or_comes_too_late(here: httpx.AsyncClient) -> None:
    await kept(here, asa("asa-2", start=day(10)), asa(end=day(30)))
    assert RENEWED == await to_renew(here)
    await kept(here, asa("asa-2", start=day(10), status="terminated"))
    assert DUE == await to_renew(here)
    await kept(here, asa(end=day(-10)))
    assert DUE == await to_renew(here)
    await kept(here, asa("asa-2", start=day(0)))  # late: from now on there is one again
    assert RENEWED == await to_renew(here)


@pytest.mark.requirement("NY-06")
async def test_task_that_somebody_ended_stays_so_whatever_is_renewed(here: httpx.AsyncClient) -> None:
    await kept(here, asa(end=day(30)))
    kind = {"coding": [{"system": f"{BASE}/CodeSystem/cm-designation", "code": "agreement"}]}
    note = {"output": [{"type": kind, "valueReference": {"display": "On paper"}}]}
    for entry in (await here.get("Task", params={"focus": "Contract/asa"})).json()["entry"]:
        await kept(here, entry["resource"] | {"status": "completed"} | note)
    for status in ("executed", "terminated"):
        await kept(here, asa("asa-2", start=day(31), status=status))
        tasks = (await here.get("Task", params={"focus": "Contract/asa"})).json()["entry"]
        assert [("completed", note["output"])] * 2 == [
            (one["resource"]["status"], one["resource"]["output"]) for one in tasks
        ]


@pytest.mark.requirement("NY-06")
async def test_agreement_that_is_deleted_has_nothing_to_be_renewed(here: httpx.AsyncClient) -> None:
    await kept(here, asa("asa-2", (PLAN, OTHER), end=day(30)))
    assert 204 == (await here.delete("Contract/asa-2")).status_code
    assert {"cancelled"} == {status for status, _ in (await to_renew(here, "asa-2")).values()}
