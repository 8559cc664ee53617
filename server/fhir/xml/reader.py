"""Reader: a resource's XML, read to its JSON in one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

from server.fhir.body import MAX_DEPTH, NAMED
from server.fhir.datatype import decimal
from server.fhir.definition import PRIMITIVE_TYPES, RESOURCE_TYPES, elements
from server.fhir.xml.div import XHTML, Div
from server.fhir.xml.element import NAMESPACE, Row, attributes, rows
from server.outcome import Problem

LONG = 200  # characters of a namespace's name: the parser repeats it with every element

_XML = "http://www.w3.org/XML/1998/namespace"
_LINK = "https://hl7.org/fhir/R4/xml.html"
_KEPT = frozenset({"string", "markdown", "xhtml"})  # whose white space at the ends is what was said

Json = dict[str, Any]


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


class Reader:
    """Reads one resource, in one pass."""

    def __init__(self, data: bytes) -> None:
        self.data = data.removeprefix(b"\xef\xbb\xbf")
        self.found: Json | None = None
        self.open: list[_Open] = []
        self.div: Div | None = None
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
            self.div = Div(self.data, self.parser.CurrentByteIndex)
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
