"""uri: the whole URI, or with :below and :above what stands under and over it.

https://hl7.org/fhir/R4/search.html#uri

Key: the first 128 bytes, 0, and a digest of the whole. A URL longer than that has a row in ":below" for each folder
that it is in whose own name is longer too, so that :below tells apart what differs only there.
"""

from __future__ import annotations

from typing import Any

from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import digest, digest6
from server.search.escaping import unescape
from server.search.filter import Equal, Filter, Range, either
from server.search.parameter import Parameter, Path, Test, Write, not_supported

LENGTH = 128
MAX_SEGMENTS = 64
MAX_FOLDER = 2048  # characters


def key(uri: str) -> bytes:
    return _head(uri) + b"\0" + digest6(uri)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values; a canonical is found with its version and without."""
    index = parameter.index
    below = f"{index}:below"

    def rows_of(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(value)))
        if len(_bytes(value)) > LENGTH:
            rows.extend((below, digest(folder, 10)) for folder in _long_folders(value))

    def canonical(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows_of(value, rows, base_url)
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
    folder = url.rstrip("/") + "/"
    head = _bytes(folder)
    if len(head) > LENGTH:
        _check_segments(url, "below")
        if len(folder) > MAX_FOLDER:
            raise Problem.of("too_costly", f"The URL has {len(url)} characters; :below takes at most {MAX_FOLDER - 1}")
        return [Equal(index, (key(url),)), Equal(f"{index}:below", (digest(folder, 10),))]
    return [Equal(index, (key(url),)), Range(index, head, head[:-1] + bytes((head[-1] + 1,)))]


def _long_folders(url: str) -> list[str]:
    """The folders that a URL is in, each with its slash, that a key cannot hold but a search may ask for."""
    *segments, _ = url[:MAX_FOLDER].split("/", MAX_SEGMENTS + 3)
    folders = ("/".join(segments[:count]) + "/" for count in range(3, len(segments) + 1))
    return [folder for folder in folders if len(_bytes(folder)) > LENGTH]


def _above(url: str) -> tuple[bytes, ...]:
    """The URL itself, and the URLs of the folders that it is in, each with a slash at its end and without."""
    scheme, _, rest = url.partition("://")
    _check_segments(url, "above")
    segments = rest.split("/")
    folders = [f"{scheme}://{'/'.join(segments[:count])}" for count in range(len(segments) - 1, 0, -1)]
    return tuple(dict.fromkeys([key(url), *(key(found) for folder in folders for found in (folder, folder + "/"))]))


def _check_segments(url: str, modifier: str) -> None:
    count = len(url.partition("://")[2].split("/"))
    if count > MAX_SEGMENTS:
        raise Problem.of("too_costly", f"The URL has {count} segments; :{modifier} takes at most {MAX_SEGMENTS}")


def _head(uri: str) -> bytes:
    return _bytes(uri[:LENGTH])[:LENGTH]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
