"""uri: the whole URI, or with :below and :above what stands under and over it.

https://hl7.org/fhir/R4/search.html#uri

Key: the first 128 bytes, 0, and a digest of the whole.
"""

from __future__ import annotations

from typing import Any

from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import digest6
from server.search.escaping import unescape
from server.search.filter import Equal, Filter, Range, either
from server.search.parameter import Parameter, Path, Test, Write, not_supported

LENGTH = 128
MAX_SEGMENTS = 64


def key(uri: str) -> bytes:
    return _head(uri) + b"\0" + digest6(uri)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values; a canonical is found with its version and without."""
    index = parameter.index

    def rows_of(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(value)))

    def canonical(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(value)))
        url, bar, _ = value.partition("|")
        if bar:
            rows.append((index, key(url)))

    return canonical if path.type == "canonical" else rows_of


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier not in (None, "below", "above"):
        raise not_supported(parameter, modifier, "below", "above")

    def matched(value: str, base_url: str) -> Filter:
        uri = unescape(value)
        if modifier is None:
            return either([Equal(index, (key(uri),)) for index in parameter.indexes])
        if "://" not in uri:
            raise Problem.invalid(
                f"{uri!r} is no URL; :{modifier} goes by the segments of one: http://example.org/fhir"
            )
        if modifier == "below":
            return either([part for index in parameter.indexes for part in _below(index, uri)])
        return either([Equal(index, _above(uri)) for index in parameter.indexes])

    return matched


def _below(index: str, url: str) -> list[Filter]:
    """The URL itself, and what starts with it and a slash."""
    folder = _head(url.rstrip("/") + "/")
    return [Equal(index, (key(url),)), Range(index, folder, folder[:-1] + bytes((folder[-1] + 1,)))]


def _above(url: str) -> tuple[bytes, ...]:
    """The URL itself, and the URLs of the folders that it is in, each with a slash at its end and without."""
    scheme, _, rest = url.partition("://")
    segments = rest.split("/")
    if len(segments) > MAX_SEGMENTS:
        raise Problem.of("too_costly", f"The URL has {len(segments)} segments; :above takes at most {MAX_SEGMENTS}")
    folders = [f"{scheme}://{'/'.join(segments[:count])}" for count in range(len(segments) - 1, 0, -1)]
    return tuple(dict.fromkeys([key(url), *(key(found) for folder in folders for found in (folder, folder + "/"))]))


def _head(uri: str) -> bytes:
    return uri[:LENGTH].encode("utf-8", "surrogatepass")[:LENGTH]
