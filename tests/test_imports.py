"""Who may import whom: each room only from the lines above its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES = (
    {"outcome", "settings"},
    {"fhir", "ledger"},
    {"search", "validation", "coordination"},
    {"store", "printing"},
    {"auth"},
    {"repository"},
    {"interactions", "operations", "subscriptions", "dashboard"},
    {"app", "catalog", "cli", "guide", "load", "log", "lookout", "metrics", "protocol"},
)
LINE = {room: number for number, rooms in enumerate(LINES) for room in rooms}
LAST = len(LINES) - 1  # where what runs the server is: its parts may know one another

WEB = {"fastapi", "starlette"}
WEB_ROOMS = {"interactions", "operations", "dashboard", "app", "auth"}
DRIVERS = {"apsw", "sqlite3", "pymongo"}
PURE = {"fhir", "search", "validation", "coordination"}
INPUT_AND_OUTPUT = {"asyncio", "socket", "subprocess", "httpx", "urllib.request", "tempfile", "shutil"}

MODULES = sorted((ROOT / "server").rglob("*.py")) + sorted((ROOT / "mappings").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            module = node.module or ""
            yield from (f"{module}.{name.name}" for name in node.names)


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "server").parts
    return parts[0].removesuffix(".py")


def rooms(name: str) -> set[str]:
    """The room that an import is of."""
    package, _, rest = name.partition(".")
    return {rest.partition(".")[0]} - {""} if package == "server" else set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    names = list(imported(path))
    if path.is_relative_to(ROOT / "mappings"):
        assert [] == [name for name in names if name.split(".")[0] == "server"]
        return
    room = room_of(path)
    if room == "__init__":
        return
    others = set().union(*map(rooms, names)) - {room}
    allowed = set().union(*LINES[: LINE[room]]) | (LINES[LAST] if LINE[room] == LAST else set())
    assert set() == others - allowed
    packages = {name.split(".")[0] for name in names}
    assert room in WEB_ROOMS or not packages & WEB
    assert room == "store" or not packages & DRIVERS
    if room in PURE:
        assert set() == {name for name in names for other in INPUT_AND_OUTPUT if f"{name}.".startswith(f"{other}.")}
