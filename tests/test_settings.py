"""Settings from the environment, and docs/settings.md, which lists them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import Settings, is_loopback

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"
ROW = re.compile(r"\| `(CAREPLAN_\w+)` \| (?:`([^`]*)`|(the cores))? ?\| (.*) \|")


def shown(value: object) -> str:
    return str(int(value)) if isinstance(value, bool | float) else str(value)


def test_document_lists_every_setting() -> None:
    expected = [
        (
            f"CAREPLAN_{name.upper()}",
            "the cores" if name == "workers" else shown(field.default),
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    rows = [ROW.fullmatch(line) for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert expected == [(row[1], row[2] or row[3] or "", row[4]) for row in rows if row]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPLAN_PORT", "8001")
    monkeypatch.setenv("CAREPLAN_DEMO", "0")
    monkeypatch.setenv("CAREPLAN_BASE_URL", "https://fhir.example.org/fhir/")
    found = Settings()
    assert (8001, False, "https://fhir.example.org/fhir") == (found.port, found.demo, found.base_url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"store": "mongodb://localhost"},
        {"store": "mongodb://localhost/?tls=true"},
        {"store": "mongodb://localhost/plan.prod"},
        {"store": "mongodb://localhost/admin"},
        {"store": "sqlite:///"},
        {"store": "postgresql://localhost"},
        {"host": "0.0.0.0"},
        {"host": "192.168.1.4"},
        {"host": "example.org"},
        {"host": "::"},
        {"partitions": "IA"},
        {"partitions": "9a"},
        {"partitions": "-a"},
        {"partitions": "i_a"},
        {"partitions": "i.a"},
        {"partitions": "ia/ny"},
        {"partitions": "ia ny"},
        {"partitions": "\u0456a"},
        {"partitions": "a" * 33},
        {"partitions": "ia,ny,ia"},
        {"partitions": "default"},
        {"partitions": "metadata"},
        {"partitions": "_history"},
        {"partitions": "$validate"},
        {"partitions": "Patient"},
        {"partitions": "a" * 32, "store": f"mongodb://localhost/{'d' * 31}"},
        {"base_url": "fhir.example.org"},
        {"workers": 0},
        {"port": 65536},
        {"max_body": 10},
        {"log_level": "loud"},
    ],
)
def test_settings_refuse(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


@pytest.mark.parametrize("store", ["mongodb://a,b/careplan?replicaSet=rs0", "mongodb+srv://example.org/careplan"])
def test_mongodb_is_named_with_its_database(store: str) -> None:
    assert store == Settings(store=store).store


@pytest.mark.parametrize(
    ("expected", "host"),
    [(True, "127.0.0.1"), (True, "127.8.8.8"), (True, "::1"), (True, "localhost"), (False, "0.0.0.0"), (False, "a.b")],
)
def test_is_loopback(expected: bool, host: str) -> None:
    assert expected == is_loopback(host)
