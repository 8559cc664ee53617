#!/usr/bin/env python3
"""Make Synthea's transaction bundles for Iowa and post them to a FHIR server, hospitals and practitioners first.

    synthea.py --folder /tmp/synthea http://127.0.0.1:8000/fhir

https://github.com/synthetichealth/synthea

Synthea is the Maven artifact org.mitre.synthea:synthea; mvn and a Java of 11 or newer are needed to make the bundles.
A folder that has bundles already is posted as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

import httpx

from benchmarks.machine import machine

CACHE = Path(__file__).parent.parent / ".cache" / "synthea"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>careplan</groupId><artifactId>synthea</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.mitre.synthea</groupId><artifactId>synthea</artifactId><version>3.3.0</version></dependency>
  </dependencies>
</project>
"""
FIRST = ("hospitalInformation", "practitionerInformation")  # what the members' bundles refer to by condition


def generate(folder: Path, seed: int, patients: int) -> None:
    """Write the bundles into folder/fhir."""
    CACHE.mkdir(parents=True, exist_ok=True)
    pom, classpath = CACHE / "pom.xml", CACHE / "classpath"
    pom.write_text(POM)
    build = ["mvn", "-q", "-B", "-f", str(pom), "dependency:build-classpath", f"-Dmdep.outputFile={classpath}"]
    subprocess.run(build, check=True)
    options = ["--exporter.fhir.transaction_bundle=true", f"--exporter.baseDirectory={folder}", "Iowa"]
    run = ["java", "-cp", classpath.read_text(), "App", "-s", str(seed), "-p", str(patients), *options]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def in_order(folder: Path) -> list[Path]:
    bundles = (folder / "fhir").glob("*.json")
    return sorted(bundles, key=lambda path: (not path.name.startswith(FIRST), path.name))


def post(client: httpx.Client, base: str, bundle: Path) -> int:
    """How many entries were taken; what was refused is printed with its outcome."""
    body = bundle.read_bytes()
    entries = body.count(b'"request"')
    started = time.perf_counter()
    answer = client.post(base, content=body)
    seconds = time.perf_counter() - started
    taken = answer.is_success
    print(
        f"{bundle.name[:48]:48} {len(body) / 2**20:6.1f} MB {entries:6} entries {seconds:6.1f} s {answer.status_code}"
    )
    if not taken:
        print("   " + answer.text[:500])
    return entries if taken else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("--folder", type=Path, default=CACHE / "output")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--patients", type=int, default=20)
    asked = parser.parse_args()
    if not in_order(asked.folder):
        generate(asked.folder, asked.seed, asked.patients)
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
    with httpx.Client(headers=headers, timeout=600) as client:
        started = time.perf_counter()
        taken = sum(post(client, asked.base, bundle) for bundle in in_order(asked.folder))
        seconds = time.perf_counter() - started
    print(f"{taken:,} entries in {seconds:.1f} s: {taken / seconds:,.0f} resources/s\n{machine()}")


if __name__ == "__main__":
    main()
