"""Narrative.div: whether it is the XHTML that R4 lets stand: nothing that acts, and nothing fetched from elsewhere.

https://hl7.org/fhir/R4/narrative.html#rules

What a browser would do with it is what counts: where HTML reads otherwise than XML does (CDATA, a comment that begins
with ">"), it is refused. One pass of a parser that is linear; no document type, so no entity is ever declared.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

from server.fhir.xml.div import XHTML, numbered

NAMED = 64  # characters of a client's word that a message repeats

_ELEMENTS = """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li
    ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
"""
_ATTRIBUTES = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
    class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev
    rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
    xml:lang xml:space xmlns
"""
ELEMENTS = frozenset(_ELEMENTS.split())  # those of txt-1, and so the attributes
ATTRIBUTES = frozenset(_ATTRIBUTES.split())
SHORT = 256  # characters of an attribute that is remembered
REMEMBERED = 2048  # characters of a narrative that is
_LINKS = frozenset({"href", "cite", "longdesc"})  # followed by who reads, if at all
_SCHEMES = frozenset({"", "http", "https", "mailto", "tel", "urn"})

_ignored = re.compile(r"[\x00-\x20]+").sub
_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):").match
_picture = re.compile(r"data:image/(?:png|gif|jpeg|webp|bmp);", re.IGNORECASE).match
_style_url = re.compile(r"url\(\s*['\"]?\s*", re.IGNORECASE).finditer
_acts = re.compile(r"\\|@import|expression|behavior|-moz-binding|javascript:|/\*|image-set", re.IGNORECASE).search


class _Refused(Exception):  # noqa: N818 - no failure of ours
    """What the narrative holds that it may not."""


def wrong(div: str) -> tuple[str, str] | None:
    """The invariant that a narrative breaks, and how; None where it may stand."""
    return _remembered_narrative(div) if len(div) <= REMEMBERED else _judged(div)


def _judged(div: str) -> tuple[str, str] | None:
    reader = _Reader()
    try:
        reader.read(numbered(div))
    except _Refused as refused:
        return "txt-1", str(refused)
    except (ExpatError, ValueError) as error:
        return "txt-1", f"it is no XHTML: {str(error)[:NAMED]}"
    return None if reader.tells else ("txt-2", "it has neither text nor an image")


_remembered_narrative = lru_cache(maxsize=1024)(_judged)  # an update keeps it, and what writes it writes the like again


class _Reader:
    """Reads one narrative. `tells`: it has something that is not white space."""

    def __init__(self) -> None:
        self.tells = False
        self.has_begun = False

    def read(self, div: str) -> None:
        self.parser = parser = ParserCreate()
        parser.StartElementHandler = self.begin
        parser.CharacterDataHandler = self.text
        parser.CommentHandler = self.comment
        parser.StartCdataSectionHandler = self.cdata
        parser.ProcessingInstructionHandler = self.instruct
        parser.XmlDeclHandler = self.instruct
        parser.StartDoctypeDeclHandler = self.declare
        parser.Parse(div, True)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name not in ELEMENTS:
            raise _Refused(f"the element {name[:NAMED]} cannot stand in it")
        if not self.has_begun:
            self.has_begun = True
            if name != "div":
                raise _Refused(f"it is a div, not a {name}")
        if name == "img" and "src" in attributes:
            self.tells = True
        for attribute, value in attributes.items():
            if attribute not in _HARMLESS:
                why = _remembered(name, attribute, value) if len(value) <= SHORT else _why_not(name, attribute, value)
                if why is not None:
                    raise _Refused(why)

    def text(self, text: str) -> None:
        if not text.isspace():
            self.tells = True
            self.parser.CharacterDataHandler = None

    def comment(self, text: str) -> None:
        if text.startswith((">", "->")) or "--!" in text:
            raise _Refused("a browser would end its comment elsewhere")

    def cdata(self) -> NoReturn:
        raise _Refused("a CDATA section cannot stand in it")

    def instruct(self, *_: object) -> NoReturn:
        raise _Refused("a processing instruction or an XML declaration cannot stand in it")

    def declare(self, *_: object) -> NoReturn:
        raise _Refused("a document type cannot stand in it")


_HARMLESS = ATTRIBUTES - _LINKS - {"src", "style", "xmlns"}


def _why_not(element: str, attribute: str, value: str) -> str | None:
    """What is wrong with an attribute; None where it may stand."""
    if attribute not in ATTRIBUTES:
        return f"the attribute {attribute[:NAMED]} cannot stand in it"
    if attribute == "xmlns":
        return None if value == XHTML else f"its namespace is {XHTML}"
    if attribute == "style":
        return _why_no_style(value)
    if attribute == "src":
        return (
            None
            if _is_at_home(value)
            else "an image is in it (data:image), or beside it, and not fetched from elsewhere"
        )
    scheme = _scheme_of(value)
    return None if scheme in _SCHEMES else f"{element}'s {attribute} leads by http, https, mailto or tel, not {scheme}"


_remembered = lru_cache(maxsize=4096)(_why_not)  # a narrative says the same again and again


def _why_no_style(value: str) -> str | None:
    if _acts(value):
        return "a style neither acts nor imports, and has no escapes and comments"
    if not all(_is_at_home(value[found.end() : found.end() + SHORT]) for found in _style_url(value)):
        return "a style fetches nothing from elsewhere"
    return None


def _is_at_home(url: str) -> bool:
    """Relative, or a picture that stands there itself."""
    plain = _plain(url)
    return _picture(plain) is not None or not (_scheme(plain) or plain.startswith(("//", "\\", "/\\")))


def _scheme_of(url: str) -> str:
    found = _scheme(_plain(url))
    return found[1].lower() if found else ""


def _plain(url: str) -> str:
    """Without what browsers leave out of a URL before they read its scheme."""
    return _ignored("", url[:256])
