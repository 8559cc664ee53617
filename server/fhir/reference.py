"""Reference: how one resource names another.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from server.fhir.definition import RESOURCE_TYPES

PATH = "/fhir"  # of the service base, on whatever host

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_LOOPBACK = re.compile(r"(?i:https?://(?:localhost|127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?" + PATH).match
_IN_PARTITION = re.compile(r"[a-z][a-z0-9-]*/").match  # types, _history and $operations begin otherwise


class BaseUrl(str):
    """The base URL of a partition that has a name, with what its place is below the service's own: "/ia".

    That of the default partition, which has no name in URLs, is any other str.
    """

    below: str

    def __new__(cls, url: str, below: str) -> BaseUrl:
        made = super().__new__(cls, url)
        made.below = below
        return made

    def __reduce__(self) -> tuple[type[BaseUrl], tuple[str, str]]:
        return BaseUrl, (str(self), self.below)


_own: ContextVar[str] = ContextVar("own", default="")


def own() -> str:
    """The base URL of the partition that is being worked on; "": the default one's, where no setting names it."""
    return _own.get()


def work_under(base_url: str) -> None:
    """From here on in this context, what is local is so by this base URL, where no other is given."""
    _own.set(base_url)


@contextmanager
def under(base_url: str) -> Iterator[None]:
    """As `work_under`, for a while."""
    before = _own.get()
    _own.set(base_url)
    try:
        yield
    finally:
        _own.set(before)  # and no reset: a fixture may end in another context than it began in


class Local(NamedTuple):
    """A literal reference to a resource of this server."""

    type: str
    id: str
    version: str | None = None


def local(reference: str, base_url: str | None = None) -> Local | None:
    """Read "Patient/1", "Patient/1/_history/3", or either under our own base URL; None for all else.

    A loopback address is always our own: who wrote it meant the server on this machine. What is below the base of
    another partition is not: that is another ledger. No base_url is that of the partition being worked on.
    """
    parts = _relative(reference, base_url).split("/")
    if len(parts) == 4 and parts[2] == "_history" and is_id(parts[3]):
        version: str | None = parts[3]
    elif len(parts) == 2:
        version = None
    else:
        return None
    if parts[0] in RESOURCE_TYPES and is_id(parts[1]):
        return Local(parts[0], parts[1], version)
    return None


def is_under(url: str, base_url: str | None = None) -> bool:
    """True where an absolute URL is one of this partition, whether or not it names a resource."""
    rest = _relative(url, base_url)
    return rest != url and not _IN_PARTITION(rest)


def is_id(text: str) -> bool:
    """R4's id: 1 to 64 of A-Z a-z 0-9 - and a full stop. https://hl7.org/fhir/R4/datatypes.html#id"""
    return _ID(text) is not None


def _relative(reference: str, base_url: str | None) -> str:
    if not reference.startswith("http"):
        return reference
    base = _own.get() if base_url is None else base_url
    if base and reference.startswith(f"{base}/"):
        return reference[len(base) + 1 :]
    if ours := _LOOPBACK(reference):
        below = f"{base.below}/" if isinstance(base, BaseUrl) else "/"
        if reference.startswith(below, ours.end()):
            return reference[ours.end() + len(below) :]
    return reference
