"""Guide: the user documentation of docs/ as pages under /docs: a server explains itself without the Internet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

DOCS = Path(__file__).parents[1] / "docs"

_LINK = re.compile(r'(href=")(?!https?:)(?:\.\./docs/)?([a-z0-9/-]+)\.md')
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}"
)


def page(name: str) -> str | None:
    """A page of the guide as HTML; None where there is none. `name` is as in docs/, without .md."""
    path = _pages().get(name)
    return _made(name, path) if path else None


@cache
def _pages() -> Mapping[str, Path]:
    """All that may be asked for: no name of a client's is ever a path, or kept."""
    return {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in DOCS.rglob("*.md")}


@cache
def _made(name: str, path: Path) -> str:
    made = MarkdownIt("commonmark", {"html": False}).enable("table").render(path.read_text())
    made = _LINK.sub(lambda found: f"{found[1]}/docs/{_within(name, found[2])}", made)
    title = name.rpartition("/")[2].replace("-", " ").capitalize()
    return (
        f'<!doctype html><meta charset="utf-8"><title>{title} - careplan-server</title><style>{_STYLE}</style>'
        f'<p><a href="/docs">Guide</a> · <a href="/fhir/metadata">CapabilityStatement</a></p>{made}'
    )


def _within(name: str, link: str) -> str:
    """A link of one page as a path below docs/."""
    folder = name.rpartition("/")[0]
    return f"{folder}/{link}" if folder else link
