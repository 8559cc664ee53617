"""Include: how many resources come along with a page's matches, and the word on those that do not.

https://hl7.org/fhir/R4/search.html#revinclude
"""

from __future__ import annotations

from server.outcome import Issue

INCLUDE_LIMIT = 1000  # included resources a page

NOT_ALL = Issue(
    "incomplete",
    f"More than {INCLUDE_LIMIT} resources would be included; the rest is left out. Ask for fewer "
    "matches a page (_count) or search for the included resources directly",
    ("http._include",),
    "warning",
)
