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

from server.fhir import body
from server.fhir.xml.element import NAMESPACE
from server.fhir.xml.reader import Reader
from server.fhir.xml.writer import Writer

__all__ = ["NAMESPACE", "read", "write"]


def read(data: bytes) -> bytes:
    """A resource's XML as JSON. Problem malformed (400) where it is none."""
    return body.dumps(Reader(data).resource())


def write(content: bytes, *, pretty: bool = False) -> bytes:
    """A resource's JSON as XML. Problem not_acceptable (406) for what is no R4, and so has no XML."""
    return Writer(pretty).written(body.loads(content))
