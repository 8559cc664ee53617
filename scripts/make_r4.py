"""Make the table of R4's own facts, server/fhir/r4/*.json, from HL7's published definitions.

https://hl7.org/fhir/R4/downloads.html

    python scripts/make_r4.py            writes the table
    python scripts/make_r4.py --check    exits 1 where the committed table differs from a fresh one

The definitions come from the Maven package ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4, fetched with `mvn`
where the local repository lacks it. Only facts are taken: names, cardinalities, types, targets, codes with their
displays, and search parameters; none of HL7's texts. Each file is JSON with one line per type, so that a change shows
as one line.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import parse

ARTIFACT = "hapi-fhir-validation-resources-r4"
VERSION = "8.12.1"
JAR = Path.home() / f".m2/repository/ca/uhn/hapi/fhir/{ARTIFACT}/{VERSION}/{ARTIFACT}-{VERSION}.jar"
MODEL = "org/hl7/fhir/r4/model"
TABLE = Path(__file__).parents[1] / "server/fhir/r4"

FHIR = "{http://hl7.org/fhir}"
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
PARAMETER = "http://hl7.org/fhir/SearchParameter/"
FHIRPATH_STRING = "http://hl7.org/fhirpath/System.String"
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"

Table = dict[str, Any]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--check", action="store_true", help="compare with the committed table, write nothing")
    check = arguments.parse_args().check
    stale = [path for path, text in files(jar()) if not path.exists() or path.read_text("utf-8") != text]
    if check:
        for path in stale:
            print(f"{path} differs from HL7's definitions: run scripts/make_r4.py", file=sys.stderr)
        return 1 if stale else 0
    TABLE.mkdir(exist_ok=True)
    for path, text in files(jar()):
        path.write_text(text, "utf-8")
    return 0


def jar() -> Path:
    """The package in the local Maven repository, fetched where it is absent."""
    if not JAR.exists():
        artifact = f"-Dartifact=ca.uhn.hapi.fhir:{ARTIFACT}:{VERSION}"
        subprocess.run(["mvn", "-q", "dependency:get", artifact, "-Dtransitive=false"], check=True)
    return JAR


def files(package: Path) -> list[tuple[Path, str]]:
    """Every file of the table with its text."""
    with zipfile.ZipFile(package) as archive:
        resources = [read(archive, f"profile/profiles-{name}.xml") for name in ("types", "resources")]
        terminology = [read(archive, f"valueset/{name}.xml") for name in ("valuesets", "v3-codesystems", "v2-tables")]
        parameters = json.loads(archive.read(f"{MODEL}/sp/search-parameters.json"))
    types = structures(resources)
    tables = {
        "elements": types,
        "codes": codes(types, terminology),
        "search_parameters": search_parameters(types, [entry["resource"] for entry in parameters["entry"]]),
        "compartments": compartments(resources),
        "code_systems": terminology_of(terminology, "CodeSystem", code_system),
        "value_sets": terminology_of(terminology, "ValueSet", value_set),
    }
    return [(TABLE / f"{name}.json", lines(table)) for name, table in tables.items()]


def lines(table: Table) -> str:
    rows = (f"{json.dumps(key)}:{json.dumps(table[key], separators=(',', ':'))}" for key in sorted(table))
    return "{\n" + ",\n".join(rows) + "\n}\n"


# XML


def read(archive: zipfile.ZipFile, name: str) -> Xml:
    return parse(io.BytesIO(archive.read(f"{MODEL}/{name}"))).getroot()


def each(node: Xml, path: str) -> Iterator[Xml]:
    yield from node.findall("/".join(FHIR + step for step in path.split("/")))


def values(node: Xml, path: str) -> list[str]:
    return [found.attrib["value"] for found in each(node, path)]


def value(node: Xml, path: str) -> str:
    return next(iter(values(node, path)), "")


def of_type(bundles: Iterable[Xml], resource_type: str) -> Iterator[Xml]:
    for bundle in bundles:
        yield from each(bundle, f"entry/resource/{resource_type}")


# Elements


def structures(bundles: list[Xml]) -> Table:
    """Type name, or a backbone's path -> {kind, abstract, base, elements}. Inherited elements stand at the base."""
    types: Table = {}
    for definition in of_type(bundles, "StructureDefinition"):
        if value(definition, "derivation") == "constraint" or value(definition, "kind") == "logical":
            continue
        name = value(definition, "type")
        types[name] = {"kind": value(definition, "kind")}
        if value(definition, "abstract") == "true":
            types[name]["abstract"] = True
        if base := value(definition, "baseDefinition"):
            types[name]["base"] = base.removeprefix(STRUCTURE)
        types[name]["elements"] = {}
        if value(definition, "kind") != "primitive-type":
            add_elements(types, list(each(definition, "snapshot/element"))[1:])
    return types


def add_elements(types: Table, snapshot: list[Xml]) -> None:
    parents = {value(node, "path").rpartition(".")[0] for node in snapshot}
    for node in snapshot:
        path = value(node, "path")
        parent, _, name = path.rpartition(".")
        if path in parents:
            types[path] = {"base": value(node, "type/code"), "elements": {}}
        if value(node, "base/path") == path:
            types[parent]["elements"][name] = element(node, path if path in parents else "")


def element(node: Xml, backbone: str) -> Table:
    """One ElementDefinition; what is absent is the default: min 0, max "1", not in the summary, no required binding."""
    content = value(node, "contentReference").removeprefix("#")
    row: Table = {"types": [backbone or content] if backbone or content else [notation(t) for t in each(node, "type")]}
    if value(node, "path") == "Resource.id":  # R4 prints "string" here, and the format of an id in its text
        row["types"] = ["id"]
    if (minimum := int(value(node, "min"))) > 0:
        row["min"] = minimum
    if (maximum := value(node, "max")) != "1":
        row["max"] = maximum
    if value(node, "binding/strength") == "required":
        row["binding"] = value(node, "binding/valueSet").partition("|")[0]
    if value(node, "isSummary") == "true":
        row["summary"] = True
    return row


def notation(node: Xml) -> str:
    """A type as the specification's own tables write it: "Quantity", "SimpleQuantity", "Reference(Patient|Group)"."""
    code = value(node, "code")
    if code == FHIRPATH_STRING:
        return next(url for extension in each(node, "extension") for url in values(extension, "valueUrl"))
    if profiles := values(node, "profile"):
        return profiles[0].removeprefix(STRUCTURE)
    targets = sorted(target.removeprefix(STRUCTURE) for target in values(node, "targetProfile"))
    return f"{code}({'|'.join(targets)})" if targets else code


# Codes of required bindings


def codes(types: Table, bundles: list[Xml]) -> Table:
    """Value set -> code system -> codes, for each required binding that can be enumerated."""
    systems = {value(node, "url"): node for node in of_type(bundles, "CodeSystem")}
    sets = {value(node, "url"): node for node in of_type(bundles, "ValueSet")}
    bound = {row["binding"] for entry in types.values() for row in entry["elements"].values() if "binding" in row}
    expanded = ((url, expand(url, sets, systems)) for url in bound)
    return {url: expansion for url, expansion in expanded if expansion}


def expand(url: str, sets: dict[str, Xml], systems: dict[str, Xml]) -> Table | None:
    """None where the set rests on a code system that the definitions do not hold (BCP 13, ISO 4217, UCUM, LOINC)."""
    if url not in sets:
        return None
    expansion: Table = {}
    for include in each(sets[url], "compose/include"):
        system = value(include, "system")
        members = values(include, "concept/code") or whole(systems.get(system), include)
        if not members:
            return None
        expansion[system] = sorted({*expansion.get(system, ()), *members})
    return dict(sorted(expansion.items()))


def whole(system: Xml | None, include: Xml) -> list[str]:
    """The codes of a code system, or those below the root that the include's one filter names."""
    if system is None or value(system, "content") != "complete":
        return []
    if not value(include, "filter/op"):
        return list(concept_codes(system))
    if values(include, "filter/op") != ["is-a"]:
        raise ValueError(f"an unknown filter on {value(system, 'url')}")
    return list(descendants(system, value(include, "filter/value")))


def concept_codes(node: Xml) -> Iterator[str]:
    for concept in each(node, "concept"):
        yield value(concept, "code")
        yield from concept_codes(concept)


def descendants(node: Xml, root: str) -> Iterator[str]:
    """Without the root, which is abstract wherever a required binding filters."""
    for concept in each(node, "concept"):
        if value(concept, "code") == root:
            yield from concept_codes(concept)
        else:
            yield from descendants(concept, root)


# Code systems and value sets, as FHIR's JSON with what their codes rest on


def terminology_of(bundles: list[Xml], resource_type: str, made: Callable[[Xml], Table]) -> Table:
    """Canonical URL -> the resource. Where two files have one, the first counts: valuesets.xml is R4's own."""
    found: Table = {}
    for node in of_type(bundles, resource_type):
        found.setdefault(value(node, "url"), made(node))
    return found


def code_system(node: Xml) -> Table:
    row = {"resourceType": "CodeSystem", **simple(node, "url", "version", "name", "status", "content")}
    row |= {name: True for name in ("caseSensitive",) if value(node, name) == "true"}
    row |= simple(node, "hierarchyMeaning", "supplements")
    properties = [simple(part, "code", "uri", "type") for part in each(node, "property")]
    concepts = [concept(part) for part in each(node, "concept")]
    return row | present(property=properties, concept=concepts)


def concept(node: Xml) -> Table:
    properties = [concept_property(part) for part in each(node, "property")]
    return simple(node, "code", "display") | present(
        property=properties, concept=[concept(part) for part in each(node, "concept")]
    )


def concept_property(node: Xml) -> Table:
    row: Table = simple(node, "code")
    for child in node:
        name = child.tag.removeprefix(FHIR)
        if name.startswith("value"):
            text = child.attrib.get("value", "")
            row[name] = text == "true" if name == "valueBoolean" else text
            if name == "valueCoding":
                row[name] = simple(child, "system", "code")
    return row


def value_set(node: Xml) -> Table:
    row = {"resourceType": "ValueSet", **simple(node, "url", "version", "name", "status")}
    parts = {name: [clause(part) for part in each(node, f"compose/{name}")] for name in ("include", "exclude")}
    return row | present(compose=present(**parts))


def clause(node: Xml) -> Table:
    return simple(node, "system", "version") | present(
        concept=[simple(part, "code", "display") for part in each(node, "concept")],
        filter=[simple(part, "property", "op", "value") for part in each(node, "filter")],
        valueSet=values(node, "valueSet"),
    )


def simple(node: Xml, *names: str) -> Table:
    return {name: found for name in names if (found := value(node, name))}


def present(**members: Any) -> Table:
    return {name: found for name, found in members.items() if found}


# Search parameters


def search_parameters(types: Table, definitions: list[Table]) -> Table:
    """Base type -> code -> {url, type, expression, target, component}, each with what concerns that base only."""
    table: Table = {}
    for definition in definitions:
        if definition["code"] == "_query":  # names a search of the server's own; there is nothing to index
            continue
        for base in definition["base"]:
            table.setdefault(base, {})[definition["code"]] = search_parameter(types, definition, base)
    return {base: dict(sorted(rows.items())) for base, rows in table.items()}


def search_parameter(types: Table, definition: Table, base: str) -> Table:
    expression = " | ".join(of_base(definition.get("expression", ""), base))
    row: Table = {"url": definition["url"].removeprefix(PARAMETER), "type": definition["type"]}
    if expression:
        row["expression"] = expression
    if definition["type"] == "reference":
        row["target"] = targets(types, expression) or every_type(definition.get("target", []))
    if components := definition.get("component"):
        row["component"] = [component(part) for part in components]
    return row


def component(part: Table) -> Table:
    # R4 writes one type's name wrongly: "value.as(DateTime)" in Observation's code-value-date
    expression = part["expression"].replace("as(DateTime)", "as(dateTime)")
    return {"definition": part["definition"].removeprefix(PARAMETER), "expression": expression}


def every_type(target: list[str]) -> list[str]:
    """HL7's lists of all the resource types become their common base."""
    return sorted(target) if 0 < len(target) < 100 else ["Resource"]


def of_base(expression: str, base: str) -> list[str]:
    """The union's parts that begin at this base: "A.x | B.x" is "B.x" for B. InsurancePlan's name leaves it out."""
    parts = [part.strip() for part in re.split(r"\|(?![^()]*\))", expression) if part]
    return [part for part in parts if re.match(rf"\(*{base}\b", part)] or [f"{base}.{part}" for part in parts]


def targets(types: Table, expression: str) -> list[str]:
    """The types that the expression itself can lead to, which is fewer than what a union's parts have together."""
    found: set[str] = set()
    for part in expression.split(" | "):
        narrowed = re.fullmatch(r"[\w.]+\.where\(resolve\(\) is (\w+)\)", part)
        if narrowed:
            found.add(narrowed[1])
        elif path := re.fullmatch(r"\(?([\w.]+?)(?: as Reference\))?", part):
            found.update(element_targets(types, path[1].split(".")))
        else:
            return []
    return ["Resource"] if "Resource" in found else sorted(found)


def element_targets(types: Table, path: list[str]) -> list[str]:
    name = path[0]
    for step in path[1:]:
        rows = types[name]["elements"]
        row = rows.get(step) or rows.get(f"{step}[x]") or {"types": ["Resource"]}
        reference = [t for t in row["types"] if t.startswith(("Reference(", "canonical("))]
        if reference:
            return [target for t in reference for target in t.partition("(")[2].rstrip(")").split("|")]
        name = row["types"][0]
        if name not in types:
            break
    return ["Resource"]


# Compartments


def compartments(bundles: list[Xml]) -> Table:
    """Compartment -> resource type -> the search parameters that place a resource of that type in it."""
    table: Table = {}
    for definition in of_type(bundles, "CompartmentDefinition"):
        rows = {value(row, "code"): values(row, "param") for row in each(definition, "resource")}
        # "{def}" says that the compartment's own resource is in it, which holds for each
        own = {name: [code for code in codes if code != "{def}"] for name, codes in rows.items()}
        table[value(definition, "code")] = {name: codes for name, codes in own.items() if codes}
    return table


if __name__ == "__main__":
    sys.exit(main())
