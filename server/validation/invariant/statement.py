"""Invariants of CapabilityStatement and TerminologyCapabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.validation.invariant.condition import Invariant, distinct, has, lacks, one_of, where


def _statement(prefix: str, numbers: Iterable[str]) -> tuple[Invariant, ...]:
    """What both kinds of statement ask."""
    described, instance, capability, requirement = numbers
    return (
        Invariant(
            f"{prefix}-{described}",
            one_of("description", "software", "implementation"),
            "there is a description, a software or an implementation",
        ),
        Invariant(
            f"{prefix}-{instance}",
            where("kind", ["instance"], one_of("implementation")),
            "an instance has its implementation",
        ),
        Invariant(
            f"{prefix}-{capability}",
            where("kind", ["capability"], lambda it: has(it, "software") and not has(it, "implementation")),
            "a capability has its software and no implementation",
        ),
        Invariant(
            f"{prefix}-{requirement}",
            where("kind", ["requirements"], lacks("software", "implementation")),
            "requirements have neither software nor implementation",
        ),
    )


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "CapabilityStatement": (
        Invariant("cpb-1", one_of("rest", "messaging", "document"), "there is rest, messaging or document"),
        *_statement("cpb", ("2", "14", "15", "16")),
        Invariant(
            "cpb-3",
            lambda it: it.get("kind") == "instance" or not any("endpoint" in one for one in it.get("messaging", ())),
            "an endpoint of messages is an instance's",
        ),
        Invariant(
            "cpb-7",
            lambda it: distinct((one.get("profile"), one.get("mode")) for one in it.get("document", ())),
            "a document's profile and mode stand once",
        ),
    ),
    "CapabilityStatement.rest": (
        Invariant(
            "cpb-9", lambda it: distinct(one.get("type") for one in it.get("resource", ())), "a type stands once"
        ),
    ),
    "CapabilityStatement.rest.resource": (
        Invariant(
            "cpb-12",
            lambda it: distinct(one.get("name") for one in it.get("searchParam", ())),
            "a parameter stands once",
        ),
    ),
    "TerminologyCapabilities": _statement("tcp", ("2", "3", "4", "5")),
    "TerminologyCapabilities.codeSystem": (
        Invariant(
            "tcp-1",
            lambda it: len(it.get("version", ())) <= 1 or all(has(one, "code") for one in it["version"]),
            "one of several versions has its code",
        ),
    ),
}
