"""Kind: the kinds of rule that code knows, and what each takes; a program's file gives the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """A rule-parameter that a kind declares: the FHIR type of its value, how often it stands, and its codes."""

    type: str
    required: bool = False
    repeats: bool = False
    codes: tuple[str, ...] = ()
    default: Any = None


class Level(NamedTuple):
    """What the actions inside a rule's action are, and what each takes."""

    name: str
    parameters: Mapping[str, Parameter]


class Kind(NamedTuple):
    """A kind of rule: its parameters, and the severities that it can have."""

    parameters: Mapping[str, Parameter]
    severities: tuple[str, ...]
    once: bool = False  # a program has at most one
    levels: tuple[Level, ...] = ()  # of the actions inside, from the outermost


# Who takes part in a transfer, and who learns of it
PARTIES = ("requester", "current-manager", "new-manager", "member", "provider")
MANAGERS = PARTIES[:3]

_STEP = Level(
    "step",
    {
        "owner": Parameter("code", required=True, codes=MANAGERS),
        "completer": Parameter("code", repeats=True, codes=MANAGERS),
        "accepts": Parameter("boolean", default=False),
        "switches": Parameter("boolean", default=False),
        "state": Parameter("Coding"),
        "notice-text": Parameter("string", repeats=True),
    },
)
_EVIDENCE = Level(
    "evidence",
    {
        "min": Parameter("integer", default=1),
        "asked-for": Parameter("Coding", repeats=True),
        "made": Parameter("code", codes=("letter", "first-contacts", "provider-notice")),
        "code": Parameter("Coding", repeats=True),
        "resource": Parameter("code", repeats=True),
        "status": Parameter("code", repeats=True),
        "sender": Parameter("code", repeats=True, codes=PARTIES),
        "recipient": Parameter("code", repeats=True, codes=PARTIES),
        "medium-named": Parameter("boolean", default=False),
        "medium": Parameter("Coding", repeats=True),
        "mode": Parameter("Coding", repeats=True),
        "joint-mode": Parameter("Coding", repeats=True),
        "letter-title": Parameter("string"),
        "letter-text": Parameter("string", repeats=True),
        "letter-text-representative": Parameter("string", repeats=True),
        "letter-language": Parameter("code", default="en"),
        "notice-text": Parameter("string", repeats=True),
        "state": Parameter("Coding"),
    },
)

KINDS: Mapping[str, Kind] = {
    "assignment": Kind(
        {
            "role": Parameter("Coding", required=True),
            "individual-role": Parameter("Coding", repeats=True),
            "direct-change": Parameter("boolean", default=False),
            "exclusive": Parameter("boolean", default=True),
        },
        ("block",),
        once=True,
    ),
    "caseload-cap": Kind(
        {
            "level": Parameter("code", required=True, codes=("manager", "average")),
            "limit": Parameter("integer", required=True),
            "counted": Parameter("code", codes=("program", "all"), default="program"),
        },
        ("block", "report"),
    ),
    "transfer-opening": Kind(
        {
            "requester-role": Parameter("Coding", required=True, repeats=True),
            "requester-area": Parameter("boolean", default=False),
        },
        ("block",),
        once=True,
    ),
    "transfer": Kind(
        {
            "reason": Parameter("Coding", repeats=True),
            "due-days": Parameter("integer"),
            "majority": Parameter("integer", default=18),
            "former-access": Parameter("boolean", default=False),
            "same-organization": Parameter("boolean", default=False),
            "opened": Parameter("Coding"),
            "completed": Parameter("Coding"),
        },
        ("block",),
        once=True,
        levels=(_STEP, _EVIDENCE),
    ),
    "agreement": Kind(
        {
            "type": Parameter("Coding", required=True),
            "appendix": Parameter("Coding"),
            "expiry-days": Parameter("integer"),
        },
        ("block",),
        once=True,
        levels=(
            Level("template", {"uri": Parameter("canonical", required=True)}),
            Level("document", {"hash": Parameter("string", required=True, repeats=True)}),
        ),
    ),
    "lead": Kind(
        {
            "role": Parameter("Coding", required=True),
            "partner": Parameter("Coding", required=True),
            "need": Parameter("Coding", required=True, repeats=True),
            "form": Parameter("canonical", required=True),
            "form-lead": Parameter("string", required=True),
            "form-need": Parameter("string", required=True),
            "reason": Parameter("Coding", repeats=True),
            "notice-text": Parameter("string", repeats=True),
            "lapse-text": Parameter("string", repeats=True),
            "answer-days": Parameter("integer"),
            "continues": Parameter("Coding", repeats=True),
        },
        ("block",),
        once=True,
        levels=(Level("demand", {}),),
    ),
    "responsibility": Kind(
        {},
        ("report",),
        levels=(
            Level(
                "service",
                {
                    "scope": Parameter("code", required=True, codes=("in-plan", "out-of-plan")),
                    "primary": Parameter("code", codes=("plan", "partner", "neither", "both")),
                },
            ),
        ),
    ),
    "eligibility": Kind(
        {
            "limit": Parameter("integer", required=True),
            "comparator": Parameter("code", codes=("gt", "ge", "lt", "le"), default="gt"),
            "code": Parameter("Coding", repeats=True),
            "questionnaire": Parameter("canonical"),
            "item": Parameter("string"),
            "missing": Parameter("code", codes=("admit", "flag", "refuse"), default="flag"),
        },
        ("block", "warn"),
        once=True,
    ),
    "offer": Kind(
        {
            "code": Parameter("Coding", required=True, repeats=True),
            "program": Parameter("Coding", required=True),
            "consent": Parameter("Coding", required=True),
            "reason": Parameter("Coding", repeats=True),
            "description": Parameter("string"),
        },
        ("block",),
        once=True,
    ),
    "coverage": Kind({"type": Parameter("Coding", required=True, repeats=True)}, ("block",), once=True),
    "single-enrollment": Kind({"type": Parameter("Coding", required=True, repeats=True)}, ("block", "task")),
    "shared-plan": Kind(
        {
            "plans": Parameter("code", codes=("one", "linked"), default="one"),
            "answer-days": Parameter("integer"),
        },
        ("block",),
        once=True,
    ),
    "segment-end": Kind(
        {"type": Parameter("Coding", required=True)},
        ("block",),
        once=True,
        levels=(
            Level(
                "ending",
                {"segment": Parameter("code", required=True, repeats=True, codes=("outreach", "enrollment"))},
            ),
        ),
    ),
    "notification": Kind({"notice-text": Parameter("string", repeats=True)}, ("report",)),
    "duplication": Kind({"window-days": Parameter("integer", required=True)}, ("report",), once=True),
    "rebalance": Kind(
        {
            "move": Parameter("integer", default=100),
            "month": Parameter("integer", default=2),
            "months": Parameter("integer", default=120),
            "continuity": Parameter("integer", default=1000),
            "mile": Parameter("integer", default=2),
            "provider-mile": Parameter("integer", default=1),
            "new-manager": Parameter("integer", default=50),
            "new-manager-days": Parameter("integer", default=90),
            "new-manager-limit": Parameter("integer"),
            "workload-limit": Parameter("integer"),
            "workload": Parameter("integer", default=1),
            "reason": Parameter("Coding"),
        },
        ("report",),
        once=True,
        levels=(Level("acuity", {"workload": Parameter("integer", required=True)}),),
    ),
}
