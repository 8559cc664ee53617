"""Source: the files that a load reads, one piece after another, within bounds.

https://hl7.org/fhir/R4/nd-json.html, https://hl7.org/fhir/packages.html

An archive is read where it lies: nothing of it is written to disk, and one that names places outside of itself, or
that unpacks to more than its bounds, is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from server.outcome import Problem

MAX_LINE = 64 << 20  # bytes of one resource
MAX_FILE = 512 << 20  # bytes of one Bundle
MAX_UNPACKED = 4 << 30  # bytes of one package, all members together
MAX_MEMBERS = 200_000
MAX_HEADER = 1 << 16  # bytes of a member's extended header
MAX_PADDING = 1 << 20  # bytes after a package's last member
NDJSON = (".ndjson", ".jsonl")
PACKAGE = (".tgz", ".tar.gz")
MANIFEST = "package/package.json"
_DEFINITIONS, _EXAMPLES = PurePosixPath("package"), PurePosixPath("package/example")  # where a package has them


class Piece(NamedTuple):
    """One resource's bytes, and where a report finds it. A Bundle that is `loose`, a file of its own, is unpacked.

    A definition that is `packaged` keeps out of the way of its other versions.
    """

    place: str
    data: bytes
    end: int  # how far into the file it reaches
    loose: bool = False
    packaged: bool = False


class Manifest(NamedTuple):
    """What a package says of itself in package.json: its id, its version, and those that it rests on."""

    name: str
    version: str
    dependencies: dict[str, str]


def files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those of the folders named, in order. Problem invalid for what no load reads."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and _is_read(file))
        elif not path.is_file():
            raise Problem.invalid(f"{path}: there is no such file or folder")
        elif not _is_read(path):
            raise Problem.invalid(f"{path}: a load reads .json, .ndjson, .tgz and folders of them")
        else:
            found.append(path)
    return found


def _is_read(path: Path) -> bool:
    return path.name.endswith((".json", *NDJSON, *PACKAGE))


def digest(path: Path) -> str:
    """What names the file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def pieces(path: Path, *, examples: bool = True) -> Iterator[Piece]:
    """The file's resources; of a package without its examples where they are not wanted.

    Problem where it cannot be read on.
    """
    if path.name.endswith(NDJSON):
        return _lines(path)
    if path.name.endswith(PACKAGE):
        return _resources(path, examples)
    return _whole(path)


def manifest(path: Path) -> Manifest | None:
    """A package's manifest; None of what is no package, or has none. https://hl7.org/fhir/packages.html"""
    if not path.name.endswith(PACKAGE):
        return None
    try:
        read = (data for name, data, _ in _members(path, MANIFEST.__eq__, MAX_HEADER) if name == MANIFEST)
        found = json.loads(next(read, b"null"))
        return Manifest(str(found["name"]), str(found["version"]), dict(found.get("dependencies") or {}))
    except (Problem, ValueError, TypeError, KeyError):
        return None  # the load itself says what is wrong with it


def _whole(path: Path) -> Iterator[Piece]:
    if path.stat().st_size > MAX_FILE:
        raise _too_long(str(path), MAX_FILE)
    data = path.read_bytes()
    yield Piece(str(path), data, len(data), loose=True)


def _lines(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        number = end = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            end += len(line)
            if len(line) > MAX_LINE:
                raise _too_long(f"{path}:{number}", MAX_LINE)
            if not line.isspace():
                yield Piece(f"{path}:{number}", line, end)


def _resources(path: Path, examples: bool) -> Iterator[Piece]:
    def wanted(name: str) -> bool:
        return _is_resource(PurePosixPath(name), examples)

    for name, data, end in _members(path, wanted, MAX_LINE):
        yield Piece(f"{path}/{name}", data, end, packaged=PurePosixPath(name).parent == _DEFINITIONS)


def _members(path: Path, wanted: Callable[[str], bool], longest: int) -> Iterator[tuple[str, bytes, int]]:
    """The name and bytes of each member that is wanted, and how far into the file it reaches."""
    unpacked = 0
    try:
        with (
            path.open("rb") as raw,
            gzip.open(raw) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|", tarinfo=_Header) as archive,
        ):
            for number, member in enumerate(archive):
                place = f"{path}/{member.name}"
                _check_place(place, member)
                unpacked += member.size
                if unpacked > MAX_UNPACKED or number >= MAX_MEMBERS:
                    raise Problem.of("too_costly", f"{place}: with this the package unpacks to more than a load reads")
                if not (member.isfile() and wanted(member.name)):
                    continue
                if member.size > longest:
                    raise _too_long(place, longest)
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, file.read(), raw.tell()
            _check_end(unzipped)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Problem.invalid(f"{path}: not a package that can be read: {error}") from None


def _check_end(unzipped: gzip.GzipFile) -> None:
    """Read on to gzip's checksum, which tells a package that was cut off or damaged."""
    rest = unzipped.read(MAX_PADDING)
    if rest.strip(b"\0") or unzipped.read(1):
        raise tarfile.ReadError("something follows its end")


class _Header(tarfile.TarInfo):
    """A member's header; one of the kinds that are read into memory whole has its bound."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > MAX_HEADER:
            raise tarfile.ReadError("a header is too long")
        return header


def _check_place(place: str, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise Problem.invalid(f"{place}: the package names a place outside of itself")
    if not (member.isfile() or member.isdir()):
        raise Problem.invalid(f"{place}: a package holds files and folders, and no links or devices")


def _is_resource(name: PurePosixPath, examples: bool) -> bool:
    return (
        (name.parent == _DEFINITIONS or (examples and name.parent == _EXAMPLES))
        and name.suffix == ".json"
        and not name.name.startswith(".")
        and name.name != "package.json"
    )


def _too_long(place: str, limit: int) -> Problem:
    return Problem.of("too_costly", f"{place}: longer than {limit >> 20} MB")
