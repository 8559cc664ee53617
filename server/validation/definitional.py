"""Invariants of what defines, exchanges, asks and tests: StructureDefinition, ValueSet, Questionnaire, Bundle …

https://hl7.org/fhir/R4/conformance-rules.html#constraints

Left out are those that nothing can break: ppc-2 to ppc-5 look for the code system "something", and eld-11 asks whether
answers exist, not whether they are true. tst-6, tst-8, tst-9, tst-11 and tst-13 say of elements that refer to others
what tst-5, tst-7, tst-10 and tst-12 say of those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from server.validation.condition import (
    Holds,
    Invariant,
    Json,
    distinct,
    either,
    excludes,
    has,
    has_any,
    lacks,
    one_of,
    precede,
    requires,
    where,
)

HL7 = "http://hl7.org/fhir/StructureDefinition"


def _each(value: Json, *path: str) -> Iterator[Json]:
    """What a path of arrays or objects leads to."""
    found = [value]
    for name in path:
        inner = (one.get(name, ()) for one in found)
        found = [part for one in inner for part in (one if type(one) is list else [one]) if type(part) is dict]
    yield from found


def _below(value: Json, name: str) -> Iterator[Json]:
    """Every item of a name, and those in it of the same name."""
    for one in value.get(name, ()):
        yield one
        yield from _below(one, name)


def _codes(value: Json, name: str) -> set[str | None]:
    return {coding.get("code") for coding in value.get(name, {}).get("coding", ())}


# Bundle

_REQUESTED = frozenset({"batch", "transaction", "history"})
_RESPONDED = frozenset({"batch-response", "transaction-response", "history"})


def _together(name: str, types: frozenset[str]) -> Holds:
    return lambda it: all((name in entry) == (it.get("type") in types) for entry in it.get("entry", ()))


def _only_in(name: str, *types: str) -> Holds:
    return lambda it: not has(it, name) or it.get("type") in types


def _urls(it: Json) -> bool:
    if it.get("type") == "history":
        return True
    entries = [entry for entry in it.get("entry", ()) if "fullUrl" in entry]
    versions = (entry.get("resource", {}).get("meta", {}).get("versionId", "") for entry in entries)
    return distinct(zip((entry["fullUrl"] for entry in entries), versions, strict=True))


def _begins(type: str, resource: str) -> Holds:
    def begins(it: Json) -> bool:
        first: Json = next(iter(it.get("entry", ())), {})
        return it.get("type") != type or first.get("resource", {}).get("resourceType") == resource

    return begins


_BUNDLE = (
    Invariant("bdl-1", _only_in("total", "searchset", "history"), "a total stands in a searchset or a history"),
    Invariant(
        "bdl-2",
        lambda it: it.get("type") == "searchset" or not any("search" in entry for entry in it.get("entry", ())),
        "entry.search stands in a searchset",
    ),
    Invariant("bdl-3", _together("request", _REQUESTED), "entries of a batch, transaction or history have a request"),
    Invariant("bdl-4", _together("response", _RESPONDED), "entries of responses and of a history have a response"),
    Invariant("bdl-7", _urls, "a fullUrl stands once, but for versions"),
    Invariant(
        "bdl-9",
        where("type", ["document"], lambda it: {"system", "value"} <= it.get("identifier", {}).keys()),
        "a document has an identifier with system and value",
    ),
    Invariant("bdl-10", where("type", ["document"], one_of("timestamp")), "a document has a timestamp"),
    Invariant("bdl-11", _begins("document", "Composition"), "a document begins with its Composition"),
    Invariant("bdl-12", _begins("message", "MessageHeader"), "a message begins with its MessageHeader"),
)

# Questionnaire

_LENGTHS = frozenset({"boolean", "decimal", "integer", "string", "text", "url", "open-choice"})
_OPTIONS = frozenset({"choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity"})


def _grouped(it: Json) -> bool:
    return {"group": "item" in it, "display": "item" not in it}.get(it.get("type", ""), True)


_ITEM = (
    Invariant("que-1", _grouped, "a group has items, and a display has none"),
    Invariant("que-3", where("type", ["display"], lacks("code")), "a display has no code"),
    Invariant("que-4", excludes("answerOption", "answerValueSet"), "answers are listed or of a value set, not both"),
    Invariant(
        "que-5",
        lambda it: it.get("type") in _OPTIONS or lacks("answerOption", "answerValueSet")(it),
        "only an item that is chosen from, a number, a date, a time, a string or a quantity has possible answers",
    ),
    Invariant(
        "que-6", where("type", ["display"], lacks("required", "repeats")), "a display is neither asked nor repeated"
    ),
    Invariant(
        "que-8", where("type", ["group", "display"], lacks("initial")), "a group and a display have no initial value"
    ),
    Invariant("que-9", where("type", ["display"], lacks("readOnly")), "a display is not marked as read-only"),
    Invariant(
        "que-10", lambda it: it.get("type") in _LENGTHS or not has(it, "maxLength"), "maxLength is of a simple answer"
    ),
    Invariant("que-11", excludes("answerOption", "initial"), "initial answers are marked in answerOption, where it is"),
    Invariant(
        "que-12",
        lambda it: len(it.get("enableWhen", ())) <= 2 or has(it, "enableBehavior"),
        "several enableWhen need an enableBehavior",
    ),
    Invariant(
        "que-13",
        lambda it: it.get("repeats") is True or len(it.get("initial", ())) <= 1,
        "only an item that repeats has several initial values",
    ),
)

# ElementDefinition

_PART = re.compile(r"[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}(?:\[x\])?(?::[^\s.]+)?").fullmatch
_SLICE = re.compile(r"[a-zA-Z0-9/\-_\[\]@]+").fullmatch
_REFERRING = frozenset({"Reference", "canonical"})
_VALUES = ("defaultValue", "fixed", "pattern", "example", "minValue", "maxValue", "maxLength", "binding")


def _is_times(text: str) -> bool:
    return text == "*" or (text.isdecimal() and text.isascii())


def _least_and_most(it: Json) -> bool:
    most = it.get("max", "*")
    return most == "*" or not _is_times(most) or it.get("min", 0) <= int(most)


def _of_one_type(prefix: str) -> Holds:
    return lambda it: len(it.get("type", ())) <= 1 or not has_any(it, prefix)


def _path(it: Json) -> bool:
    return all(map(_PART, it.get("path", "a").split(".")))


_ELEMENT = (
    Invariant("eld-2", _least_and_most, "min is not above max"),
    Invariant("eld-3", lambda it: _is_times(it.get("max", "*")), "max is a number or *"),
    Invariant(
        "eld-5",
        lambda it: not has(it, "contentReference") or not any(has_any(it, name) for name in ("type", *_VALUES)),
        "beside contentReference stand no type, value, bound or binding",
    ),
    Invariant("eld-6", _of_one_type("fixed"), "a fixed value is of one type"),
    Invariant("eld-7", _of_one_type("pattern"), "a pattern is of one type"),
    Invariant(
        "eld-8", lambda it: not (has_any(it, "pattern") and has_any(it, "fixed")), "a value is fixed or a pattern"
    ),
    Invariant("eld-13", lambda it: distinct(one.get("code") for one in it.get("type", ())), "a type stands once"),
    Invariant("eld-14", lambda it: distinct(one.get("key") for one in it.get("constraint", ())), "a key stands once"),
    Invariant(
        "eld-15",
        lambda it: not (has_any(it, "defaultValue") and has(it, "meaningWhenMissing")),
        "a default and the meaning of what is missing do not stand together",
    ),
    Invariant(
        "eld-16", lambda it: bool(_SLICE(it.get("sliceName", "a"))), "a slice's name has A-Z a-z 0-9 / - _ [ ] @"
    ),
    Invariant(
        "eld-18",
        lambda it: it.get("isModifier") is not True or has(it, "isModifierReason"),
        "what modifies needs isModifierReason",
    ),
    Invariant("eld-19", _path, "a path has names, parted by full stops"),
    Invariant("eld-22", requires("sliceIsConstraining", "sliceName"), "sliceIsConstraining needs a sliceName"),
)
_BOUND = re.compile(r"https?:|urn:|https").match


def _of_type(name: str) -> Holds:
    return lambda it: not has(it, name) or it.get("code") in _REFERRING


# StructureDefinition


def _paths(it: Json, name: str) -> list[str]:
    return [element.get("path", "") for element in _each(it, name, "element")]


def _ids(*names: str) -> Holds:
    return lambda it: all("id" in element for name in names for element in _each(it, name, "element"))


def _distinct_ids(name: str) -> Holds:
    return lambda it: distinct(element.get("id", "") for element in _each(it, name, "element"))


def _is_root(element: Json) -> bool:
    return "." not in element.get("path", "")


def _roots(it: Json, *names: str) -> Iterator[Json]:
    return (element for name in names for element in _each(it, name, "element") if _is_root(element))


def _is_logical(it: Json) -> bool:
    return it.get("kind") == "logical"


def _of_the_type(it: Json) -> bool:
    paths, type = _paths(it, "snapshot"), it.get("type", "")
    return not paths or (
        (_is_logical(it) or paths[0] == type) and all(path.startswith(f"{paths[0]}.") for path in paths[1:])
    )


def _differential_of_the_type(it: Json) -> bool:
    paths, type = _paths(it, "differential"), it.get("type", "")
    root = paths[0].partition(".")[0] if paths else ""
    return not paths or (
        (_is_logical(it) or paths[0].startswith(type)) and all(path.startswith(f"{root}.") for path in paths[1:])
    )


def _untyped_root(name: str) -> Holds:
    def untyped(it: Json) -> bool:
        first = next(_each(it, name, "element"), {"path": "."})
        return _is_logical(it) or (name == "differential" and not _is_root(first)) or "type" not in first

    return untyped


def _defaults(it: Json, *names: str) -> bool:
    return any(has_any(element, "defaultValue") for name in names for element in _each(it, name, "element"))


_TYPE_CODE = re.compile(r"[a-zA-Z0-9.]+|http://hl7\.org/fhirpath/System\.[A-Z][A-Za-z]+").fullmatch


def _plain_types(it: Json) -> bool:
    codes = (
        one.get("code", "a") for name in ("differential", "snapshot") for one in _each(it, name, "element", "type")
    )
    return not it.get("url", "").startswith(HL7) or all(map(_TYPE_CODE, codes))


_STRUCTURE = (
    Invariant(
        "sdf-1",
        lambda it: it.get("derivation") == "constraint" or distinct(_paths(it, "snapshot")),
        "a path stands once, but for constraints",
    ),
    Invariant(
        "sdf-4", lambda it: it.get("abstract") is True or has(it, "baseDefinition"), "what is not abstract has a base"
    ),
    Invariant(
        "sdf-5",
        lambda it: it.get("type") != "Extension" or it.get("derivation") == "specialization" or "context" in it,
        "an extension says where it may stand (context)",
    ),
    Invariant("sdf-6", one_of("snapshot", "differential"), "there is a snapshot or a differential"),
    Invariant("sdf-8", _of_the_type, "a snapshot begins with its type, and all else is below"),
    Invariant("sdf-8a", _differential_of_the_type, "a differential's elements are of the type"),
    Invariant(
        "sdf-9",
        lambda it: (
            not any({"label", "code", "requirements"} & one.keys() for one in _roots(it, "snapshot", "differential"))
        ),
        "the first element has no label, code and requirements",
    ),
    Invariant("sdf-14", _ids("snapshot", "differential"), "every element has an id"),
    Invariant("sdf-15", _untyped_root("snapshot"), "a snapshot's first element has no type"),
    Invariant("sdf-15a", _untyped_root("differential"), "a differential's first element has no type"),
    Invariant("sdf-16", _distinct_ids("snapshot"), "an element's id stands once in a snapshot"),
    Invariant("sdf-17", _distinct_ids("differential"), "an element's id stands once in a differential"),
    Invariant(
        "sdf-18",
        lambda it: not has(it, "contextInvariant") or it.get("type") == "Extension",
        "contextInvariant is of an extension",
    ),
    Invariant("sdf-19", _plain_types, "HL7's own definitions are of HL7's types"),
    Invariant(
        "sdf-21",
        lambda it: it.get("derivation") == "specialization" or not _defaults(it, "differential"),
        "only a specialization has default values",
    ),
    Invariant(
        "sdf-22",
        lambda it: not it.get("url", "").startswith(HL7) or not _defaults(it, "snapshot", "differential"),
        "HL7's own definitions have no default values",
    ),
    Invariant(
        "sdf-23",
        lambda it: not any(has(one, "sliceName") for one in _roots(it, "snapshot", "differential")),
        "the first element is no slice",
    ),
)

# CapabilityStatement, TerminologyCapabilities


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


# TestScript

_TARGETS = ("targetId", "url", "params")
_CALLS = {"capabilities", "search", "transaction", "history"}
_ASSERTED = """
    contentType expression headerField minimumId navigationLinks path requestMethod resource responseCode response
    validateProfileId
"""


def _operated(it: Json) -> bool:
    named = sum(has(it, name) for name in _TARGETS) == 1
    return has(it, "sourceId") or named or it.get("type", {}).get("code") in _CALLS


def _asserted(it: Json) -> bool:
    return "extension" in it or sum(has(it, name) for name in _ASSERTED.split()) <= 1


def _compared(it: Json) -> bool:
    expressed = has(it, "compareToSourceExpression") or has(it, "compareToSourcePath")
    return has(it, "compareToSourceId") == expressed


def _directed(it: Json) -> bool:
    return it.get("direction") != "request" or not (has(it, "response") or has(it, "responseCode"))


def _asserts(key: str) -> tuple[Invariant, ...]:
    return (Invariant(key, either("operation", "assert"), "an action is an operation or an assert"),)


_ASSERT = (
    Invariant("tst-5", _asserted, "an assert asserts one thing"),
    Invariant("tst-10", _compared, "compareToSourceId stands with an expression or a path"),
    Invariant("tst-12", _directed, "what is asserted of a response is not of a request"),
)
_OPERATION = Invariant("tst-7", _operated, "an operation has a sourceId, or one of targetId, url and params")

# Others


def _error(it: Json) -> bool:
    return "entered-in-error" in _codes(it, "verificationStatus")


def _parameter(it: Json) -> bool:
    valued = has_any(it, "value")
    return not (valued or "resource" in it) if "part" in it else valued != ("resource" in it)


def _stratified(it: Json) -> bool:
    named = ("code", "description", "criteria")
    return all(one_of(*named)(one) != ("component" in one) for one in _each(it, "group", "stratifier"))


def _sequence(it: Json) -> bool:
    named = ("genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString")
    return sum(has(it, name) for name in named) == 1


def _groupings(it: Json) -> bool:
    known = {one.get("id") for one in it.get("grouping", ())}
    return all(one.get("groupingId", None) in {None, *known} for one in it.get("resource", ()))


def _fhir_versions(it: Json) -> bool:
    known = set(it.get("fhirVersion", ()))
    return all(known.issuperset(one.get("fhirVersion", ())) for one in _each(it, "definition", "resource"))


def _deleted(name: str, mode: str) -> Holds:
    return lambda it: it.get("mode") == mode or not any(has(entry, name) for entry in it.get("entry", ()))


def _is_boolean(it: Json) -> bool:
    return has(it, "answerBoolean")


def _preferred(it: Json) -> bool:
    return distinct(one.get("type") for one in it.get("uniqueId", ()) if one.get("preferred") is True)


DEFINITIONAL: Mapping[str, tuple[Invariant, ...]] = {
    "AllergyIntolerance": (
        Invariant(
            "ait-1", lambda it: _error(it) or "clinicalStatus" in it, "there is a clinicalStatus, but for errors"
        ),
        Invariant("ait-2", lambda it: not _error(it) or "clinicalStatus" not in it, "an error has no clinicalStatus"),
    ),
    "Appointment": (
        Invariant("app-2", lambda it: has(it, "start") == has(it, "end"), "start and end stand together"),
        Invariant(
            "app-3",
            lambda it: (
                (has(it, "start") and has(it, "end")) or it.get("status") in {"proposed", "cancelled", "waitlist"}
            ),
            "only what is proposed, cancelled or waits has no start and end",
        ),
        Invariant(
            "app-4",
            lambda it: not has(it, "cancelationReason") or it.get("status") in {"no-show", "cancelled"},
            "a reason of cancelation is of what was cancelled",
        ),
    ),
    "Appointment.participant": (Invariant("app-1", one_of("type", "actor"), "a participant has a type or an actor"),),
    "AppointmentResponse": (
        Invariant("apr-1", one_of("participantType", "actor"), "there is a participantType or an actor"),
    ),
    "Bundle": _BUNDLE,
    "Bundle.entry": (
        Invariant(
            "bdl-5", one_of("resource", "request", "response"), "an entry has a resource, a request or a response"
        ),
        Invariant("bdl-8", lambda it: "/_history/" not in it.get("fullUrl", ""), "a fullUrl is of no single version"),
    ),
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
    "CodeSystem": (
        Invariant("csd-1", lambda it: distinct(one.get("code") for one in _below(it, "concept")), "a code stands once"),
    ),
    "Composition.section": (
        Invariant("cmp-1", one_of("text", "entry", "section"), "a section has a text, entries or sections"),
        Invariant("cmp-2", excludes("emptyReason", "entry"), "what has entries is not empty"),
    ),
    "ConceptMap.group.element.target": (
        Invariant(
            "cmd-1",
            where("equivalence", ["narrower", "inexact"], one_of("comment")),
            "narrower and inexact need a comment",
        ),
    ),
    "ConceptMap.group.unmapped": (
        Invariant("cmd-2", where("mode", ["fixed"], one_of("code")), "the mode fixed needs a code"),
        Invariant("cmd-3", where("mode", ["other-map"], one_of("url")), "the mode other-map needs a url"),
    ),
    "Consent": (Invariant("ppc-1", one_of("policy", "policyRule"), "there is a policy or a policyRule"),),
    "CoverageEligibilityResponse.insurance.item": (
        Invariant("ces-1", either("category", "productOrService"), "there is a category or a productOrService"),
    ),
    "ElementDefinition": _ELEMENT,
    "ElementDefinition.binding": (
        Invariant("eld-12", lambda it: bool(_BOUND(it.get("valueSet", "urn:"))), "a value set is named by http or urn"),
    ),
    "ElementDefinition.slicing": (
        Invariant(
            "eld-1", one_of("discriminator", "description"), "slices are told by a discriminator or a description"
        ),
    ),
    "ElementDefinition.type": (
        Invariant("eld-4", _of_type("aggregation"), "aggregation is of a Reference or a canonical"),
        Invariant("eld-17", _of_type("targetProfile"), "targetProfile is of a Reference or a canonical"),
    ),
    "FamilyMemberHistory": (
        Invariant(
            "fhs-1", lambda it: not (has_any(it, "age") and has_any(it, "born")), "there is an age or a birth, not both"
        ),
        Invariant("fhs-2", lambda it: not has(it, "estimatedAge") or has_any(it, "age"), "estimatedAge needs an age"),
    ),
    "Group": (
        Invariant("grp-1", lambda it: "member" not in it or it.get("actual") is True, "members are of an actual group"),
    ),
    "Immunization.education": (
        Invariant("imm-1", one_of("documentType", "reference"), "there is a documentType or a reference"),
    ),
    "ImmunizationRecommendation.recommendation": (
        Invariant("imr-1", one_of("vaccineCode", "targetDisease"), "there is a vaccineCode or a targetDisease"),
    ),
    "ImplementationGuide": (Invariant("ig-2", _fhir_versions, "a resource's fhirVersion is one of the guide's"),),
    "ImplementationGuide.definition": (Invariant("ig-1", _groupings, "a groupingId is one of the groupings'"),),
    "InsurancePlan": (Invariant("ipn-1", one_of("identifier", "name"), "there is an identifier or a name"),),
    "Linkage": (Invariant("lnk-1", lambda it: len(it.get("item", ())) > 1, "there is more than one item to link"),),
    "List": (
        Invariant("lst-1", excludes("emptyReason", "entry"), "what has entries is not empty"),
        Invariant("lst-2", _deleted("deleted", "changes"), "deleted entries are of a list of changes"),
        Invariant("lst-3", _deleted("date", "working"), "dated entries are of a working list"),
    ),
    "Measure": (Invariant("mea-1", _stratified, "a stratifier is described, or has components"),),
    "MedicationAdministration.dosage": (
        Invariant("mad-1", lambda it: has(it, "dose") or has_any(it, "rate"), "there is a dose or a rate"),
    ),
    "MedicationDispense": (
        Invariant(
            "mdd-1",
            lambda it: precede(it, "whenPrepared", "whenHandedOver"),
            "whenHandedOver is not before whenPrepared",
        ),
    ),
    "MessageDefinition.focus": (
        Invariant(
            "md-1", lambda it: _is_times(it.get("max", "*")) and it.get("max") != "0", "max is a number above 0, or *"
        ),
    ),
    "MolecularSequence": (
        Invariant("msq-3", lambda it: it.get("coordinateSystem", 0) in (0, 1), "coordinateSystem is 0 or 1"),
    ),
    "MolecularSequence.referenceSeq": (
        Invariant(
            "msq-5",
            lambda it: has(it, "chromosome") == has(it, "genomeBuild"),
            "chromosome and genomeBuild stand together",
        ),
        Invariant("msq-6", _sequence, "one of genomeBuild, referenceSeqId, referenceSeqPointer, referenceSeqString"),
    ),
    "NamingSystem": (
        Invariant(
            "nsd-1",
            lambda it: it.get("kind") != "root" or all(one.get("type") != "uuid" for one in it.get("uniqueId", ())),
            "a root is named by no uuid",
        ),
        Invariant("nsd-2", _preferred, "one id of a type is preferred"),
    ),
    "OperationDefinition.parameter": (
        Invariant("opd-1", one_of("type", "part"), "a parameter has a type or parts"),
        Invariant(
            "opd-2", lambda it: not has(it, "searchType") or it.get("type") == "string", "searchType is of a string"
        ),
        Invariant(
            "opd-3",
            lambda it: "targetProfile" not in it or it.get("type") in _REFERRING,
            "targetProfile is of a Reference or a canonical",
        ),
    ),
    "Parameters.parameter": (Invariant("inv-1", _parameter, "a parameter has one of a value, a resource and parts"),),
    "Questionnaire": (
        Invariant(
            "que-2", lambda it: distinct(one.get("linkId") for one in _below(it, "item")), "a linkId stands once"
        ),
    ),
    "Questionnaire.item": _ITEM,
    "Questionnaire.item.enableWhen": (
        Invariant("que-7", where("operator", ["exists"], _is_boolean), "the operator exists compares with a boolean"),
    ),
    "RequestGroup.action": (Invariant("rqg-1", either("resource", "action"), "an action has a resource or actions"),),
    "SearchParameter": (
        Invariant("spd-1", requires("xpath", "xpathUsage"), "xpath needs its xpathUsage"),
        Invariant("spd-2", lambda it: "chain" not in it or it.get("type") == "reference", "a chain is of a reference"),
    ),
    "StructureDefinition": _STRUCTURE,
    "StructureDefinition.differential": (
        Invariant(
            "sdf-20",
            lambda it: not any(_is_root(one) and "slicing" in one for one in it.get("element", ())),
            "the first element is not sliced",
        ),
    ),
    "StructureDefinition.mapping": (Invariant("sdf-2", one_of("name", "uri"), "a mapping has a name or a uri"),),
    "StructureDefinition.snapshot": (
        Invariant(
            "sdf-3",
            lambda it: all(has(one, name) for one in it.get("element", ()) for name in ("definition", "min", "max")),
            "a snapshot's elements have a definition, min and max",
        ),
        Invariant(
            "sdf-8b",
            lambda it: all("base" in one for one in it.get("element", ())),
            "a snapshot's elements have a base",
        ),
        Invariant(
            "sdf-10",
            lambda it: all(one_of("valueSet", "description")(one) for one in _each(it, "element", "binding")),
            "a binding has a value set or a description",
        ),
    ),
    "StructureMap.group.rule.target": (
        Invariant("smp-1", requires("element", "context"), "an element needs a context"),
        Invariant("smp-2", requires("context", "contextType"), "a context needs its type"),
    ),
    "TerminologyCapabilities": _statement("tcp", ("2", "3", "4", "5")),
    "TerminologyCapabilities.codeSystem": (
        Invariant(
            "tcp-1",
            lambda it: len(it.get("version", ())) <= 1 or all(has(one, "code") for one in it["version"]),
            "one of several versions has its code",
        ),
    ),
    "TestReport.setup.action": _asserts("inv-1"),
    "TestReport.test.action": _asserts("inv-2"),
    "TestScript.metadata": (
        Invariant(
            "tst-4",
            lambda it: any(has(one, name) for one in it.get("capability", ()) for name in ("required", "validated")),
            "a capability is required or validated",
        ),
    ),
    "TestScript.setup.action": _asserts("tst-1"),
    "TestScript.setup.action.assert": _ASSERT,
    "TestScript.setup.action.operation": (_OPERATION,),
    "TestScript.test.action": _asserts("tst-2"),
    "TestScript.variable": (
        Invariant(
            "tst-3",
            lambda it: not all(has(it, name) for name in ("expression", "headerField", "path")),
            "a variable has one of expression, headerField and path",
        ),
    ),
    "ValueSet.compose.include": (
        Invariant("vsd-1", one_of("valueSet", "system"), "there is a system or a value set"),
        Invariant(
            "vsd-2",
            lambda it: has(it, "system") or lacks("concept", "filter")(it),
            "concepts and filters need a system",
        ),
        Invariant("vsd-3", excludes("concept", "filter"), "there are concepts or filters, not both"),
    ),
    "ValueSet.expansion.contains": (
        Invariant("vsd-6", one_of("code", "display"), "there is a code or a display"),
        Invariant("vsd-9", lambda it: has(it, "code") or it.get("abstract") is True, "what has no code is abstract"),
        Invariant("vsd-10", requires("code", "system"), "a code needs its system"),
    ),
}
