"""FHIR's XML: read to the JSON that is kept, and written from it, for every type.

https://hl7.org/fhir/R4/xml.html

Both directions are driven by the table of elements. Reading refuses what only XML can get wrong: its form, namespaces,
attributes, order, what stands twice, empty elements, text. What JSON can get wrong too (an unknown element, a value
that is no boolean) becomes JSON that is wrong in the same way, so that validation alone says so, in its own words and
all at once.

The parser is expat: linear, and without recursion. A document type is refused where it begins, so no entity is ever
declared, let alone fetched. Comments and processing instructions are no content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from html.entities import name2codepoint
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

from server.fhir import body
from server.fhir.body import MAX_DEPTH, NAMED
from server.fhir.datatype import decimal
from server.fhir.definition import PRIMITIVE_TYPES, RESOURCE_TYPES, Element, elements
from server.outcome import Problem

NAMESPACE = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
LONG = 200  # characters of a namespace's name: the parser repeats it with every element
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

_XML = "http://www.w3.org/XML/1998/namespace"
_LINK = "https://hl7.org/fhir/R4/xml.html"
_KEPT = frozenset({"string", "markdown", "xhtml"})  # whose white space at the ends is what was said

Json = dict[str, Any]


class Row(NamedTuple):
    """An element where XML has it as an element: its place in the order, which the types of a choice share."""

    order: int
    element: Element

    @property
    def type(self) -> str:
        return self.element.types[0]

    @property
    def repeats(self) -> bool:
        return self.element.max != 1


@cache
def rows(type_name: str) -> Mapping[str, Row]:
    """Name -> Row of a type, in the specification's order; what XML has as attributes is left out."""
    found: dict[str, Row] = {}
    order, group = 0, ""
    for name, element in elements(type_name).items():
        order += group != (element.choice or name)
        group = element.choice or name
        if name not in attributes(type_name):
            found[name] = Row(order, element)
    return found


@cache
def attributes(type_name: str) -> frozenset[str]:
    """What XML has as attributes: an element's id and an extension's url. A resource has none."""
    if type_name in RESOURCE_TYPES:
        return frozenset()
    return frozenset({"id", "url"} if type_name == "Extension" else {"id"})


# Reading


def read(data: bytes) -> bytes:
    """A resource's XML as JSON. Problem malformed (400) where it is none."""
    return body.dumps(_Reader(data).resource())


@dataclass(slots=True)
class _Open:
    """An element that has begun. `holds`: what may stand in it, and how it becomes JSON."""

    place: str  # FHIRPath
    name: str
    type: str
    holds: Literal["elements", "extensions", "a resource", "anything"]
    row: Row | None = None
    value: Any = None  # of a primitive, and of what holds a resource
    members: Json = field(default_factory=dict)
    beside: dict[str, list[Any]] = field(default_factory=dict)  # `_given`: an item for each of `given`
    last: str = ""  # the element that ended last


class _Reader:
    """Reads one resource, in one pass."""

    def __init__(self, data: bytes) -> None:
        self.data = data.removeprefix(b"\xef\xbb\xbf")
        self.found: Json | None = None
        self.open: list[_Open] = []
        self.div: _Div | None = None
        self.parser = parser = ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self.begin
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.XmlDeclHandler = self.declaration
        parser.StartDoctypeDeclHandler = self.document_type
        parser.StartNamespaceDeclHandler = self.namespace

    def resource(self) -> Json:
        if self.data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in self.data:
            raise self.malformed("FHIR's XML is UTF-8, not UTF-16")
        try:
            self.parser.Parse(self.data, True)
        except ExpatError as error:
            raise self.malformed(f"The body is not XML: {str(error).partition(':')[0]}") from None
        assert self.found is not None, "a document has a root"
        return self.found

    def malformed(self, diagnostics: str) -> Problem:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        place = [self.open[-1].place] if self.open else []
        return Problem.malformed(f"{diagnostics}, at line {line}, column {column}: {_LINK}", *place)

    # what is around elements

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "utf8"}:
            raise self.malformed(f"FHIR's XML is UTF-8, not {encoding[:NAMED]}")

    def document_type(self, *_: object) -> NoReturn:
        raise self.malformed("A document type (DTD) cannot stand in FHIR's XML, nor the entities that it would declare")

    def namespace(self, prefix: str | None, name: str | None) -> None:
        if name and len(name) > LONG:
            raise self.malformed(f"A namespace's name is longer than {LONG} characters")

    def text(self, text: str) -> None:
        if self.div is not None:
            self.div.text(text)
        elif not text.isspace() and not self.is_skipped:
            raise self.malformed(f"Text stands outside a narrative: {text.strip()[:NAMED]!r}; a value is an attribute")

    # elements

    @property
    def is_skipped(self) -> bool:
        return bool(self.open) and self.open[-1].holds == "anything"

    def begin(self, name: str, given: dict[str, str]) -> None:
        if len(self.open) + (self.div.depth if self.div else 0) >= MAX_DEPTH:
            raise self.malformed(f"The body is nested more than {MAX_DEPTH} levels deep")
        namespace, _, local = name.rpartition(" ")
        if self.div is not None:
            self.check_namespace(namespace, XHTML, local)
            self.div.begin(local, self.xhtml_attributes(given))
        elif self.is_skipped:
            self.open.append(self.open[-1])
        elif self.open and self.open[-1].holds != "a resource":
            self.begin_element(self.open[-1], namespace, local, given)
        else:
            self.check_namespace(namespace, NAMESPACE, local)
            self.begin_resource(local, given)

    def check_namespace(self, namespace: str, expected: str, name: str) -> None:
        if namespace != expected:
            stands = f"in {namespace[:NAMED]!r}" if namespace else "in none"
            raise self.malformed(f"The namespace of {name[:NAMED]} is {expected}, and it stands {stands}")

    def begin_resource(self, name: str, given: dict[str, str]) -> None:
        """What stands at the root, or within what holds a resource."""
        above = self.open[-1] if self.open else None
        if above and above.value is not None:
            raise self.malformed(f"{above.name} holds one resource; give another {above.name} for {name[:NAMED]}")
        if name not in RESOURCE_TYPES:
            raise self.malformed(f"{name[:NAMED]} is no resource type of FHIR R4")
        place = above.place if above else name
        self.open.append(_Open(place, name, name, "elements"))
        self.take_attributes(given)

    def begin_element(self, above: _Open, namespace: str, name: str, given: dict[str, str]) -> None:
        row = rows(above.type).get(name)
        self.check_namespace(namespace, XHTML if row and row.type == "xhtml" else NAMESPACE, name)
        if row is None:
            self.skip(above, name)
            return
        self.check_order(above, name, row)
        place = f"{above.place}.{name}"
        if row.repeats:
            place += f"[{len(above.members.get(name, ()))}]"
        if row.type == "xhtml":
            self.div = _Div(self.data, self.parser.CurrentByteIndex)
            self.div.begin(name, self.xhtml_attributes(given))
            self.open.append(_Open(place, name, "xhtml", "anything", row))
        else:
            self.open.append(_Open(place, name, row.type, _holding(row.type), row))
            self.take_attributes(given)

    def skip(self, above: _Open, name: str) -> None:
        """What has no place here becomes a member that has none in JSON either: validation tells of it."""
        if name in attributes(above.type):
            raise self.malformed(f"{name} is an attribute of {above.name}, not an element in it")
        if name == "resourceType" or name.startswith("_"):
            raise self.malformed(f"{name[:NAMED]} is JSON's word; XML has no such element")
        above.members[name] = True
        self.open.append(_Open(f"{above.place}.{name}", name, "", "anything"))

    def check_order(self, above: _Open, name: str, row: Row) -> None:
        if above.last and row.order < rows(above.type)[above.last].order:
            raise self.malformed(f"{name} stands before {above.last} in {above.type}, not after it")
        if name == above.last and not row.repeats:
            raise self.malformed(f"{name} stands once in {above.type}, not twice")

    def take_attributes(self, given: dict[str, str]) -> None:
        opened = self.open[-1]
        for name, text in given.items():
            if name == "value" and opened.holds == "extensions":
                opened.value = _value(opened.type, text)
            elif name in attributes(opened.type) and opened.holds != "a resource":
                opened.members[name] = _value(elements(opened.type)[name].types[0], text)
            else:
                raise self.malformed(f"{opened.name} has no attribute {name.replace(' ', ' of ')[:NAMED]}")

    def end(self, name: str) -> None:
        if self.div is not None:
            self.div.end(name.rpartition(" ")[2])
            if self.div.depth:
                return
            self.open[-1].value, self.div = self.div.written(self.parser.CurrentByteIndex), None
        ended = self.open.pop()
        above = self.open[-1] if self.open else None
        if ended is above or (ended.holds == "anything" and ended.row is None):
            return
        self.check_content(ended)
        _complete(ended)
        if above is None:
            self.found = ended.members
        elif ended.row is None:
            above.value = ended.members
        else:
            _place(above, ended, ended.row)

    def check_content(self, ended: _Open) -> None:
        if ended.type in RESOURCE_TYPES:
            first = {"resourceType": ended.type}
            if "meta" in ended.members:  # where Body.text puts it: what was read and comes back unchanged is no change
                first["meta"] = ended.members["meta"]
            ended.members = {**first, **ended.members}
        elif ended.value is None and not ended.members:
            self.open.append(ended)  # where it stands
            raise self.malformed(f"{ended.name} is empty; an element has a value, elements or an extension")

    def xhtml_attributes(self, given: dict[str, str]) -> dict[str, str]:
        foreign = next((name for name in given if " " in name and not name.startswith(_XML + " ")), None)
        if foreign is not None:
            raise self.malformed(f"XHTML has no attribute {foreign.replace(' ', ' of ')[:NAMED]}")
        return {name.replace(_XML + " ", "xml:"): text for name, text in given.items()}


def _holding(type_name: str) -> Literal["elements", "extensions", "a resource"]:
    if type_name in PRIMITIVE_TYPES:
        return "extensions"
    return "a resource" if type_name == "Resource" else "elements"


def _complete(ended: _Open) -> None:
    """The members beside primitives that repeat: `_given` only where something is beside, `given` where a value is."""
    for name, items in ended.beside.items():
        if any(item is not None for item in items):
            ended.members[f"_{name}"] = items
            if all(value is None for value in ended.members[name]):
                del ended.members[name]


def _place(above: _Open, ended: _Open, row: Row) -> None:
    """Put what an element says into the one that it stands in."""
    name, is_primitive = ended.name, ended.holds == "extensions"
    above.last = name
    value = ended.value if ended.holds != "elements" else ended.members
    if row.repeats:
        above.members.setdefault(name, []).append(value)
        if is_primitive:
            above.beside.setdefault(name, []).append(ended.members or None)
        return
    if value is not None:
        above.members[name] = value
    if is_primitive and ended.members:
        above.members[f"_{name}"] = ended.members


_INTEGER = re.compile(r"\+?(-?(?:0|[1-9][0-9]{0,17}))", re.ASCII).fullmatch
_BOOLEANS = {"true": True, "false": False}
_INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt"})


def _value(type_name: str, text: str) -> Any:
    """A value as JSON has it; what is none of its type stays text, for validation to refuse."""
    if type_name in _KEPT:
        return text
    text = text.strip()
    if type_name == "boolean":
        return _BOOLEANS.get(text, text)
    if type_name in _INTEGERS:
        found = _INTEGER(text)
        return int(found[1]) if found else text
    if type_name == "decimal":
        number = decimal(text)
        return text if number is None else number
    return text


class _Div:
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


# Writing


def write(content: bytes, *, pretty: bool = False) -> bytes:
    """A resource's JSON as XML. Problem not_acceptable (406) for what is no R4, and so has no XML."""
    writer = _Writer(pretty)
    writer.resource(body.loads(content), 0, f' xmlns="{NAMESPACE}"')
    return "".join(writer.parts).encode()


class _Writer:
    """Writes one resource."""

    def __init__(self, pretty: bool) -> None:
        self.parts = [DECLARATION]
        self.pretty = pretty

    def add(self, text: str, depth: int) -> None:
        self.parts.append(f"\n{'  ' * depth}{text}" if self.pretty else text)

    def resource(self, resource: Any, depth: int, namespace: str = "") -> None:
        type_name = resource.get("resourceType") if isinstance(resource, dict) else None
        if type_name not in RESOURCE_TYPES:
            raise _unwritable(str(type_name))
        members = {name: value for name, value in resource.items() if name != "resourceType"}
        if members:
            self.add(f"<{type_name}{namespace}>", depth)
            self.members(type_name, members, depth + 1)
            self.add(f"</{type_name}>", depth)
        else:
            self.add(f"<{type_name}{namespace}/>", depth)

    def members(self, type_name: str, value: Json, depth: int) -> None:
        for name, row in sorted(_elements(type_name, value).items(), key=_order):
            for one, more in _pairs(row, value.get(name), value.get(f"_{name}")):
                self.element(name, row.type, one, more, depth)

    def element(self, name: str, type_name: str, value: Any, beside: Any, depth: int) -> None:
        if type_name == "xhtml":
            self.add(_div(str(value)), depth)
        elif type_name == "Resource":
            self.add(f"<{name}>", depth)
            self.resource(value, depth + 1)
            self.add(f"</{name}>", depth)
        elif type_name in PRIMITIVE_TYPES:
            said = "" if value is None else f" value={_quoted(value)}"
            self.tag(name, "Element", beside or {}, said, depth)
        else:
            self.tag(name, type_name, value, "", depth)

    def tag(self, name: str, type_name: str, value: Any, said: str, depth: int) -> None:
        if not isinstance(value, dict):
            raise _unwritable(name)
        named = attributes(type_name)
        begin = f"{name}{''.join(f' {key}={_quoted(value[key])}' for key in sorted(named) if key in value)}{said}"
        if value.keys() <= named:
            self.add(f"<{begin}/>", depth)
            return
        self.add(f"<{begin}>", depth)
        self.members(type_name, value, depth + 1)
        self.add(f"</{name}>", depth)


def _elements(type_name: str, value: Json) -> dict[str, Row]:
    """The elements that an object has, by value or beside it."""
    known, found = rows(type_name), {}
    for name in value.keys() - attributes(type_name):
        row = known.get(name)
        if row is None and name.startswith("_"):
            row = known.get(name[1:])
            row = row if row and row.type in PRIMITIVE_TYPES else None
        if row is None:
            raise _unwritable(f"{type_name}.{name}")
        found[row.element.name] = row
    return found


def _order(found: tuple[str, Row]) -> int:
    return found[1].order


def _pairs(row: Row, item: Any, beside: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of an element with what stands beside it."""
    if item is None and beside is None:
        return
    if not row.repeats:
        yield item, beside
    elif isinstance(item or [], list) and isinstance(beside or [], list):
        yield from zip_longest(item or (), beside or ())
    else:
        raise _unwritable(row.element.name)


def _unwritable(what: str) -> Problem:
    return Problem.of(
        "not_acceptable", f"{what[:NAMED]} is no R4 that XML could say; ask for it as application/fhir+json"
    )


_SPECIAL = re.compile('[&<>"\x00-\x1f\ufffe\uffff]')
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def _quoted(value: Any) -> str:
    """A primitive as an attribute's value, with its quotes. What no XML can say becomes U+FFFD."""
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if isinstance(value, dict | list):
        raise _unwritable("a structure in the place of a value")
    return f'"{_SPECIAL.sub(_escaped, str(value))}"'


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[0], "\ufffd")


_entity = re.compile(r"&([A-Za-z][A-Za-z0-9]*);").sub
_unsaid = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]").sub


def _div(text: str) -> str:
    """A narrative as XML has it: in its namespace, its named characters by number, as XML does not know them."""
    source = _unsaid("\ufffd", _entity(_numbered, text.strip()))
    tag = _begins(source)
    if tag is None:
        return _shown(text)
    if _declares(tag[0]) is None:
        source = f'<div xmlns="{XHTML}"{source[4:]}'
    return source if _is_xhtml(source) else _shown(text)


def _numbered(found: re.Match[str]) -> str:
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
