"""div: a narrative, which is XHTML within a resource's XML and a string in its JSON.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from html.entities import name2codepoint
from typing import NoReturn
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

XHTML = "http://www.w3.org/1999/xhtml"


class Div:
    """A narrative, to be kept as it was written; as it means the same without prefixes, where it was written with any.

    `depth`: how many of its elements are open.
    """

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.start = start
        self.depth = 0
        self.parts: list[str] = []

    def begin(self, name: str, given: dict[str, str]) -> None:
        declared = f' xmlns="{XHTML}"' if not self.depth else ""
        self.parts.append(f"<{name}{declared}{''.join(f' {key}={quoteattr(text)}' for key, text in given.items())}>")
        self.depth += 1

    def end(self, name: str) -> None:
        self.depth -= 1
        self.parts.append(f"</{name}>")

    def text(self, text: str) -> None:
        self.parts.append(escape(text))

    def written(self, at: int) -> str:
        """The narrative, whose last tag begins at `at`, or ends there where it is the only one."""
        is_empty = len(self.parts) == 2 and self.data[at - 2 : at] == b"/>"
        end = at if is_empty else self.data.index(b">", at) + 1
        source = self.data[self.start : end].decode()
        return source if _is_plain(source) else "".join(self.parts)


_begins = re.compile(r"""<div(?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*/?>""").match
_declares = re.compile(rf"""\sxmlns\s*=\s*["']{re.escape(XHTML)}["']""").search
_prefixed = re.compile(r"</?[\w.-]+:|\sxmlns:").search


def _is_plain(source: str) -> bool:
    """True where a narrative means by itself what it means where it stands: no prefixes, its namespace declared."""
    tag = _begins(source)
    return tag is not None and _declares(tag[0]) is not None and _prefixed(source) is None


_entity = re.compile(r"&([A-Za-z][A-Za-z0-9]*);").sub
_unsaid = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]").sub


def written(text: str) -> str:
    """A narrative as XML has it: in its namespace, its named characters by number, as XML does not know them."""
    source = _unsaid("\ufffd", numbered(text.strip()))
    tag = _begins(source)
    if tag is None:
        return _shown(text)
    if _declares(tag[0]) is None:
        source = f'<div xmlns="{XHTML}"{source[4:]}'
    return source if _is_xhtml(source) else _shown(text)


def numbered(text: str) -> str:
    """XHTML's named characters by their numbers; what names none is left for a parser to refuse."""
    return _entity(_by_number, text) if "&" in text else text


def _by_number(found: re.Match[str]) -> str:
    code = name2codepoint.get(found[1])
    return found[0] if code is None or found[1] in {"lt", "gt", "amp", "quot"} else f"&#{code};"


def _is_xhtml(source: str) -> bool:
    parser = ParserCreate(None, " ")
    parser.StartDoctypeDeclHandler = _no_document_type
    try:
        parser.Parse(source, True)
    except (ExpatError, ValueError):
        return False
    return True


def _no_document_type(*_: object) -> NoReturn:
    raise ValueError("a narrative declares no document type")


def _shown(text: str) -> str:
    """A narrative that is no XHTML, stored before narratives were checked: as the text that it is."""
    said = escape(_unsaid("\ufffd", text))
    return f'<div xmlns="{XHTML}">{said}</div>'
