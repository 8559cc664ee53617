"""What a load reads, and the archives that it refuses."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from server.load import source
from server.load.source import Piece, digest, files, pieces
from server.outcome import Problem

PATIENT = b'{"resourceType":"Patient","id":"1"}'


def package(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_ndjson_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(PATIENT + b"\n\n" + PATIENT)
    assert [(f"{path}:1", PATIENT + b"\n"), (f"{path}:3", PATIENT)] == [(p.place, p.data) for p in pieces(path)]


def test_json_is_one_loose_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(PATIENT)
    assert [Piece(str(path), PATIENT, len(PATIENT), loose=True)] == list(pieces(path))


def test_package_gives_its_definitions_and_examples(tmp_path: Path) -> None:
    path = package(
        tmp_path / "ig.tgz",
        ("package/package.json", b"{}"),
        ("package/.index.json", b"{}"),
        ("package/CodeSystem-a.json", b"1"),
        ("package/example/Patient-b.json", b"2"),
        ("package/example/.index.json", b"{}"),
        ("package/openapi/Patient.openapi.json", b"{}"),
        ("package/xml/Patient-c.xml", b"<a/>"),
    )
    assert [b"1", b"2"] == [piece.data for piece in pieces(path)]


def test_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.json", "a.ndjson", "notes.txt", "sub/c.tgz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert ["a.ndjson", "b.json", "sub/c.tgz"] == [str(path.relative_to(tmp_path)) for path in files([tmp_path])]


@pytest.mark.parametrize("name", ["notes.txt", "absent.json"])
def test_what_no_load_reads_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(Problem) as refused:
        files([tmp_path / name])
    assert "invalid" == refused.value.kind


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/outside.json", "package/../../outside.json", "package\\..\\a.json"]
)
def test_package_that_names_a_place_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = package(tmp_path / "evil.tgz", ("package/Patient-a.json", PATIENT), (name, PATIENT))
    read = pieces(path)
    assert PATIENT == next(read).data
    with pytest.raises(Problem) as refused:
        next(read)
    assert "invalid" == refused.value.kind


def test_package_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/Patient-a.json")
        member.type = tarfile.SYMTYPE
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "invalid" == refused.value.kind


def test_package_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = package(tmp_path / "bomb.tgz", *[(f"package/Patient-{n}.json", b" " * 1_000_000) for n in range(8)])
    monkeypatch.setattr(source, "MAX_UNPACKED", 4_000_000)
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "too_costly" == refused.value.kind


def test_member_over_the_bound_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = package(tmp_path / "bomb.tgz", ("package/Patient-a.json", b" " * 2000))
    monkeypatch.setattr(source, "MAX_LINE", 1000)
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "too_costly" == refused.value.kind


def test_header_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tgz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 10_000_000}) as archive:
        archive.addfile(tarfile.TarInfo("package/Patient-a.json"))
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "invalid" == refused.value.kind


@pytest.mark.parametrize("rest", [b"\0" * 3_000_000, b"more"])
def test_what_follows_the_end_of_a_package_is_refused(tmp_path: Path, rest: bytes) -> None:
    path = package(tmp_path / "long.tgz", ("package/Patient-a.json", PATIENT))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + rest))
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "invalid" == refused.value.kind


@pytest.mark.parametrize("data", [b"", b"not a package", b"\x1f\x8b\x08\x00garbage"])
def test_broken_package_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.tgz"
    path.write_bytes(data)
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "invalid" == refused.value.kind


def test_truncated_package_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "cut.tgz", *[(f"package/Patient-{n}.json", PATIENT) for n in range(50)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "invalid" == refused.value.kind


def test_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b" " * 2000)
    monkeypatch.setattr(source, "MAX_LINE", 1000)
    with pytest.raises(Problem) as refused:
        list(pieces(path))
    assert "too_costly" == refused.value.kind


def test_digest_names_the_content(tmp_path: Path) -> None:
    for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(data)
    first, same, other = (digest(tmp_path / name) for name in "abc")
    assert first == same != other
