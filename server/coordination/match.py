"""match: how likely two Patients are one person.

https://hl7.org/fhir/R4/patient-operation-match.html

Each item that both tell of adds points where it agrees and may take some away where it differs; forty points are the
score 1. What the points alone would allow is bounded: nobody is certain whose given name or birth date differs, or who
has another identifier of the same system. The same both ways round, and what agrees never lowers a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import product, starmap
from typing import NamedTuple
from unicodedata import category

from server.fhir.folding import folded
from server.ledger import Resource

AGREES, NEARLY, PARTLY, SLIGHTLY, DIFFERS = "agrees", "nearly", "partly", "slightly", "differs"
POINTS: Mapping[str, Mapping[str, int]] = {
    "identifier": {AGREES: 24, PARTLY: 12, DIFFERS: -12},
    "family": {AGREES: 8, PARTLY: 4, DIFFERS: -6},
    "given": {AGREES: 6, PARTLY: 2, DIFFERS: -10},
    "birthDate": {AGREES: 12, NEARLY: 10, PARTLY: 5, SLIGHTLY: 2, DIFFERS: -10},
    "gender": {AGREES: 1, DIFFERS: -4},
    "address": {AGREES: 10, PARTLY: 6, SLIGHTLY: 2},
    "telecom": {AGREES: 8},
    "multipleBirth": {DIFFERS: -10},
}
FULL = 40
CERTAIN, PROBABLE, POSSIBLE, NOT = "certain", "probable", "possible", "certainly-not"  # CodeSystem/match-grade
VALUES, LENGTH = 20, 128  # names, identifiers and the like that are compared, and characters of each
GRADES = {CERTAIN: 32, PROBABLE: 24, POSSIBLE: 12}

Levels = Mapping[str, str]


class Match(NamedTuple):
    """The score, from 0 to 1, and its grade."""

    score: Decimal
    grade: str


def match(one: Resource, other: Resource) -> Match:
    """Compare two Patients that are valid; what is required of a Patient may be missing."""
    levels = compared(one, other)
    points = sum(POINTS[item][level] for item, level in levels.items())
    if not _may_be_certain(levels) or _contradict(one, other):
        points = min(points, GRADES[CERTAIN] - 1)
    if not _may_be_probable(levels):
        points = min(points, GRADES[PROBABLE] - 1)
    grade = next((grade for grade, least in GRADES.items() if points >= least), NOT)
    return Match(Decimal(min(max(points, 0), FULL)) / FULL, grade)


def doubted(match: Match) -> Match:
    """As likely as what cannot be certain."""
    most = Decimal(GRADES[CERTAIN] - 1) / FULL
    return Match(most, PROBABLE) if match.score > most else match


def compared(one: Resource, other: Resource) -> dict[str, str]:
    """How far each item agrees that both tell of."""
    one, other = _bounded(one), _bounded(other)
    found = {item: compare(one, other) for item, compare in _COMPARISONS.items()}
    return {item: level for item, level in found.items() if level}


def _bounded(patient: Resource) -> Resource:
    return {name: value[:VALUES] if isinstance(value, list) else value for name, value in patient.items()}


def _may_be_certain(levels: Levels) -> bool:
    """A number may be mistyped, and twins share all but the given name: two of the person's own have to agree."""
    own = ("identifier", "given", "birthDate")
    if DIFFERS in map(levels.get, (*own, "multipleBirth")) or levels.get("identifier") == PARTLY:
        return False
    return sum(levels.get(item) == AGREES for item in own) >= 2


def _may_be_probable(levels: Levels) -> bool:
    """Another given name, birth date or place among those born together is outweighed by an identifier alone."""
    differs = DIFFERS in map(levels.get, ("given", "birthDate", "multipleBirth"))
    return not differs or levels.get("identifier") in (AGREES, PARTLY)


def _contradict(one: Resource, other: Resource) -> bool:
    """True where a record is out of use, or one says alive and the other dead."""
    return _is_out_of_use(one) or _is_out_of_use(other) or {_is_deceased(one), _is_deceased(other)} == {True, False}


def _is_out_of_use(patient: Resource) -> bool:
    """What another record replaces is out of use, and yet tells of the person."""
    is_replaced = any(link.get("type") == "replaced-by" for link in patient.get("link", ()))
    return patient.get("active") is False and not is_replaced


def _is_deceased(patient: Resource) -> bool | None:
    return True if "deceasedDateTime" in patient else patient.get("deceasedBoolean")


# Identifiers

_PASSING = ("old", "temp")  # uses of identifiers beside which another one is no contradiction


def _identifier(one: Resource, other: Resource) -> str | None:
    """By system and value. Of a system that both have, another value differs."""
    agreeing = {system for system, _ in _identities(one, ()) & _identities(other, ())}
    first, second = ({system for system, _ in _identities(patient, _PASSING)} for patient in (one, other))
    if (first & second) - agreeing:
        return PARTLY if agreeing else DIFFERS
    return AGREES if agreeing else None


def _identities(patient: Resource, passing: Sequence[str]) -> set[tuple[str, str]]:
    return {
        (one["system"], one["value"].strip())
        for one in patient.get("identifier", ())
        if one.get("system") and one.get("value") and one.get("use") not in passing
    }


# Names


def _family(one: Resource, other: Resource) -> str | None:
    return _best(starmap(_families_alike, product(_families(one), _families(other))))


def _given(one: Resource, other: Resource) -> str | None:
    return _best(starmap(_givens_alike, product(_givens(one), _givens(other))))


def _families(patient: Resource) -> list[list[str]]:
    return [words for name in patient.get("name", ()) if (words := _words(name.get("family")))]


def _givens(patient: Resource) -> list[list[str]]:
    """Of each HumanName its given names, one word after another."""
    found = [[word for given in name.get("given", ()) for word in _words(given)] for name in patient.get("name", ())]
    return [words[:VALUES] for words in found if words]


def _words(text: str | None) -> list[str]:
    """A name's words without case, accents and marks: "O'Brien-Smith" is ["obrien", "smith"]."""
    plain = folded((text or "")[:LENGTH].replace("-", " "))
    return "".join(character for character in plain if category(character)[0] not in _MARKS).split()


_MARKS = "PS"  # Unicode's categories of punctuation and symbols


def _families_alike(one: Sequence[str], other: Sequence[str]) -> str:
    """Of family names: one of two names that somebody bears, or one slip of the pen, agrees in part."""
    whole = "".join(one), "".join(other)
    if whole[0] == whole[1]:
        return AGREES
    return PARTLY if set(one) & set(other) or _is_one_slip(*whole) else DIFFERS


def _givens_alike(one: Sequence[str], other: Sequence[str]) -> str:
    """First names alike, and no middle names that differ. An initial or one slip of the pen agrees in part."""
    if one[0] == other[0]:
        both = min(len(one), len(other)) > 1
        return PARTLY if both and not any(starmap(_is_initial, product(one[1:], other[1:]))) else AGREES
    if "".join(one) == "".join(other):
        return AGREES
    alike = _is_initial(one[0], other[0]) or _is_one_slip(one[0], other[0])
    return PARTLY if alike or one[0] in other or other[0] in one else DIFFERS


def _is_initial(one: str, other: str) -> bool:
    """True of equal words, and of a word and its first letter."""
    return one == other or (min(len(one), len(other)) == 1 and one[0] == other[0])


def _is_one_slip(one: str, other: str) -> bool:
    """True where one letter is put in, left out or another, or two neighbours have changed places."""
    short, long = sorted((one, other), key=len)
    if len(short) < 4 or len(long) - len(short) > 1:
        return False
    at = next((index for index, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    return short[at + 1 :] == long[at + 1 :] or _are_exchanged(short[at:], long[at:])


def _are_exchanged(one: str, other: str) -> bool:
    """True where the first two characters have changed places and the rest is equal."""
    return len(one) > 1 and one[1] + one[0] + one[2:] == other


# Birth


def _birth_date(one: Resource, other: Resource) -> str | None:
    first, second = sorted((one.get("birthDate", ""), other.get("birthDate", "")), key=len)
    if not first:
        return None
    if first == second:
        return {10: AGREES, 7: PARTLY, 4: SLIGHTLY}[len(first)]
    if len(first) < len(second):
        return {7: PARTLY, 4: SLIGHTLY}[len(first)] if second.startswith(first) else DIFFERS
    if second in exchanged(first):
        return NEARLY
    return PARTLY if _is_one_slip(first, second) else DIFFERS


def exchanged(birth_date: str) -> list[str]:
    """The date whose month and day have changed places with those of this one, where there is one."""
    year, _, rest = birth_date.partition("-")
    month, _, day = rest.partition("-")
    try:
        date(int(year), int(day), int(month))
    except ValueError:
        return []
    return [f"{year}-{day}-{month}"] if month != day else []


def _gender(one: Resource, other: Resource) -> str | None:
    """Other and unknown say nothing."""
    first, second = one.get("gender"), other.get("gender")
    if not {first, second} <= {"male", "female"}:
        return None
    return AGREES if first == second else DIFFERS


def _multiple_birth(one: Resource, other: Resource) -> str | None:
    """The order among those who were born together; that there were several is no difference."""
    first, second = one.get("multipleBirthInteger"), other.get("multipleBirthInteger")
    return DIFFERS if None not in (first, second) and first != second else None


# Where they are


def _address(one: Resource, other: Resource) -> str | None:
    return _best(starmap(_places_alike, product(one.get("address", ()), other.get("address", ()))))


def _places_alike(one: Resource, other: Resource) -> str | None:
    """Somebody may live elsewhere by now: what differs says nothing."""
    same = {name for name in ("city", "state") if "" != _part(one, name) == _part(other, name)}
    lines, codes = ([reader(each) for each in (one, other)] for reader in (_line, _postal_code))
    has_code = codes[0] == codes[1] != ""
    if lines[0] == lines[1] != "" and (has_code or "city" in same):
        return AGREES
    if has_code:
        return PARTLY
    return SLIGHTLY if same == {"city", "state"} else None


def _part(address: Resource, name: str) -> str:
    return folded(address.get(name, "")[:LENGTH])


def _line(address: Resource) -> str:
    return " ".join(word for line in address.get("line", ())[:VALUES] for word in _words(line))


def _postal_code(address: Resource) -> str:
    """Without the four digits that the United States' may have after them."""
    return _part(address, "postalCode").partition("-")[0]


def _telecom(one: Resource, other: Resource) -> str | None:
    return AGREES if reached(one) & reached(other) else None


def reached(patient: Resource) -> set[str]:
    """Phone numbers, by their last ten digits, and e-mail addresses; 000-000-0000 is nobody's."""
    values = [point["value"][:LENGTH] for point in patient.get("telecom", ()) if point.get("value")]
    mail = {folded(value) for value in values if "@" in value}
    digits = ("".join(filter(str.isdecimal, value)) for value in values if "@" not in value)
    return mail | {number[-10:] for number in digits if len(number) >= 7 and len(set(number)) > 1}


_COMPARISONS: Mapping[str, Callable[[Resource, Resource], str | None]] = {
    "identifier": _identifier,
    "family": _family,
    "given": _given,
    "birthDate": _birth_date,
    "gender": _gender,
    "address": _address,
    "telecom": _telecom,
    "multipleBirth": _multiple_birth,
}
_ORDER = (AGREES, NEARLY, PARTLY, SLIGHTLY, DIFFERS)


def _best(levels: Iterator[str | None]) -> str | None:
    """Of several values that each has, the pair that agrees best."""
    return min(filter(None, levels), key=_ORDER.index, default=None)
