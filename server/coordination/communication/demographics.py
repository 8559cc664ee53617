"""HumanName, Address, ContactPoint: the one in force, as a person reads it.

https://hl7.org/fhir/R4/datatypes.html#HumanName, #Address, #ContactPoint

Each takes a repeating element, an instant (microseconds since the epoch) and the time zone that dates are read in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from server.coordination import period
from server.ledger import Resource

NAME_USES = ("official", "usual", "", "temp")  # those left out are not what a person is called by a plan
ADDRESS_USES = ("home", "", "temp", "work", "billing")
ADDRESS_TYPES = ("postal", "both", "", "physical")
DIALED_AFTER = "http://hl7.org/fhir/StructureDefinition/contactpoint-extension"
SYSTEMS = ("phone", "email", "sms")  # by which a person reaches a person
TELECOM_USES = ("work", "", "mobile", "temp")
PRIVATE_USES = ("home", *TELECOM_USES)


def name(names: Sequence[Resource] | None, at: int, zone: str) -> str:
    """What to call a person; "" where no name is in force."""
    found = [one for one in _in_force(names, at, zone) if one.get("use", "") in NAME_USES]
    ranked = sorted(found, key=lambda one: NAME_USES.index(one.get("use", "")))
    return next((text for one in ranked if (text := name_text(one))), "")


def name_text(human_name: Resource) -> str:
    """One HumanName: its text, else its parts in the order that they are read: "Ms. Ann Lee, LMSW"."""
    parts = [*human_name.get("prefix", ()), *human_name.get("given", ()), human_name.get("family")]
    name = " ".join(filter(None, parts))
    return _plain(human_name.get("text") or ", ".join(filter(None, [name, *human_name.get("suffix", ())])))


def address(addresses: Sequence[Resource] | None, at: int, zone: str) -> tuple[str, ...]:
    """Where a letter goes, line by line, without the name; empty where no address is in force."""
    found = [one for one in _in_force(addresses, at, zone) if one.get("use", "") in ADDRESS_USES]
    ranked = sorted(
        found, key=lambda one: (ADDRESS_TYPES.index(one.get("type", "")), ADDRESS_USES.index(one.get("use", "")))
    )
    return next((lines for one in ranked if (lines := tuple(filter(None, _lines(one))))), ())


def _lines(address: Resource) -> Iterator[str]:
    if not address.get("line") and address.get("text"):
        yield from map(_plain, address["text"].splitlines())
        return
    yield from map(_plain, filter(None, address.get("line", ())))
    region = " ".join(filter(None, [address.get("state"), address.get("postalCode")]))
    yield _plain(", ".join(filter(None, [address.get("city"), region])))
    if address.get("country", "US").upper() not in {"US", "USA"}:
        yield _plain(address["country"])


def telecom(
    points: Sequence[Resource] | None, at: int, zone: str, uses: Collection[str] = TELECOM_USES
) -> tuple[str, ...]:
    """Every way to reach somebody, at work or by these uses, the preferred first: phone numbers, e-mail addresses."""
    found = [
        one
        for one in _in_force(points, at, zone)
        if one.get("system") in SYSTEMS and one.get("use", "") in uses and _plain(one.get("value"))
    ]
    ranked = sorted(found, key=lambda one: (one.get("rank", period.NEVER), SYSTEMS.index(one["system"])))
    return tuple(dict.fromkeys(_point(one) for one in ranked))


def _point(one: Resource) -> str:
    """A number with what is to be dialed after it, where the directory says so: 1-833-555-0100 (press 1, then 6)."""
    after = [_plain(each.get("valueString")) for each in one.get("extension", ()) if each["url"] == DIALED_AFTER]
    return " ".join([_plain(one["value"]), *(f"({each})" for each in after if each)])


def _in_force(elements: Sequence[Resource] | None, at: int, zone: str) -> Iterator[Resource]:
    for one in elements or ():
        when = one.get("period", {})
        if period.holds([period.between(when.get("start"), when.get("end"), zone)], at):
            yield one


def _plain(text: str | None) -> str:
    """One line."""
    return " ".join((text or "").split())
