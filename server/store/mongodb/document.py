"""Document: what the collection `versions` holds of one version. It follows from the ledger alone, whoever makes it.

    _id        the place of its seq in the ledger
    reference, type, id, method, at, body: of the version; a deletion has no body
    born       the seq of the resource's first version: the order of pages
    until      the position of the resource's next version, OPEN while there is none: it held from its own up to there
    live       its type, where it is not a deletion: what searches look among
    is_new     whether nothing stood before it
    keys       the index's rows, "<index>=<hex>" or "<index>><reference>", and "><reference>" for those of parameters
    low, high  by search parameter, its least and its greatest key: what sorts
    facts      {k: "<kind> <key>", d: data}
    words      its words, "n <word>" of the narrative and "c <word>" of the content
    said       its words in their order, of the narrative and of the content
    late       rows of the indexes that stored SearchParameters define, made when there is time

Keys are hexadecimal: MongoDB orders binary data by its length first, and no pattern can hold every byte.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from server.ledger import Fact, FactRow, IndexRow, Version
from server.search.filter import NAMELESS
from server.store.engine import fact_text
from server.store.seq import MASK, ORDINAL_BITS, seq_of

Document = dict[str, Any]

OPEN = 1 << 62  # the `until` of a version that holds
_DIGITS = 19  # of the greatest seq
BESIDE = ":"  # in the name of an index that stands beside a search parameter's own
BYTES, REFERENCE, AFTER = "=", ">", "?"  # what parts an index's name from its keys; the character after both

INDEXED = ("keys", "low", "high", "words", "said", "late")  # what is dropped of a version that ended long ago

_WORD = re.compile(r"(?:[^\W_]|[\ue000-\uf8ff])+")


class Standing(NamedTuple):
    """A resource's last version: its seq, that of its first, and whether it is no deletion."""

    seq: int
    born: int
    is_living: bool


def place(number: int) -> str:
    """A seq or a position as an `_id`: texts, in the order of their numbers.

    FerretDB finds one document by an `_id` that is a text, and by nothing else: it looks through the collection.
    """
    return f"{number:0{_DIGITS}}"


def standing_of(document: Document) -> Standing:
    return Standing(int(document["_id"]), int(document["born"]), "live" in document)


def version_of(document: Document) -> Version:
    seq = int(document["_id"])
    return Version(
        document["type"],
        document["id"],
        seq >> ORDINAL_BITS,
        seq & MASK,
        document["method"],
        int(document["at"]),
        document.get("body"),
    )


def document_of(
    version: Version,
    before: Standing | None,
    rows: Sequence[IndexRow],
    facts: Sequence[FactRow],
    words: Mapping[str, Sequence[str]],
) -> Document:
    """A version as it is inserted: it holds, and what is made late is not made."""
    seq = seq_of(version.position, version.ordinal)
    made: Document = {
        "_id": place(seq),
        "reference": version.reference,
        "type": version.type,
        "id": version.id,
        "method": version.method,
        "at": version.at,
        "born": seq if before is None else before.born,
        "until": OPEN,
        "is_new": before is None or not before.is_living,
    }
    if version.body is not None:
        low, high = bounds(rows)
        made |= {
            "live": version.type,
            "body": version.body,
            "keys": keys(rows),
            "low": low,
            "high": high,
            "facts": [{"k": fact_key(kind, key), "d": fact_text(data)} for kind, key, data in facts],
            **words,
        }
    return made


def key(index: str, key: bytes | str) -> str:
    """A row as it is stored."""
    return f"{index}{REFERENCE}{key}" if isinstance(key, str) else f"{index}{BYTES}{key.hex()}"


def keys(rows: Iterable[IndexRow]) -> list[str]:
    found: dict[str, None] = {}
    for index, each in rows:
        found[key(index, each)] = None
        if isinstance(each, str) and BESIDE not in index:
            found[f"{REFERENCE}{each}"] = None
    return list(found)


def bounds(rows: Iterable[IndexRow]) -> tuple[dict[str, str], dict[str, str]]:
    """The least and the greatest key of each search parameter; a value without a name has no place in an order."""
    low: dict[str, str] = {}
    high: dict[str, str] = {}
    for index, each in rows:
        if isinstance(each, str) or each == NAMELESS:
            continue
        code, text = code_of(index), each.hex()
        low[code] = min(text, low.get(code, text))
        high[code] = max(text, high.get(code, text))
    return low, high


def code_of(index: str) -> str:
    """What an index is called in `low` and `high`: a dot would part the name of a field."""
    return index.partition(".")[2].replace(".", "/")


def fact_key(kind: str, key: str) -> str:
    return f"{kind} {key}"


def facts_of(document: Document, kind: str, wanted: dict[str, str]) -> Iterable[Fact]:
    """The facts under the wanted keys, which are by `fact_key`."""
    for each in document.get("facts", ()):
        if each["k"] in wanted:
            yield Fact(kind, wanted[each["k"]], orjson.loads(each["d"]), document["reference"])


def said(texts: tuple[str, str]) -> dict[str, list[str]]:
    """`words` and `said` of a narrative and a content."""
    found = [words_of(text) for text in texts]
    words = [f"{scope} {word}" for scope, each in zip("nc", found, strict=True) for word in dict.fromkeys(each)]
    return {"words": words, "said": [f" {' '.join(each)} " for each in found]}


def words_of(text: str) -> list[str]:
    """The words of a text, without their case and their accents."""
    parts = unicodedata.normalize("NFD", text)
    accents = {ord(part): None for part in set(parts) if unicodedata.combining(part)}
    return _WORD.findall((parts.translate(accents) if accents else parts).lower())
