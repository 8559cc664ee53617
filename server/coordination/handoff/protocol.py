"""Protocol: the steps of a transfer, and what each leaves as evidence, as the program's file gives them.

A transfer goes to its end by the content that the program had when it began: Task.instantiatesUri names that version of
the PlanDefinition in the ledger, whatever becomes of the program meanwhile.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from server.coordination.program.plan_definition import parse
from server.coordination.program.program import Part, Program, Rule
from server.coordination.program.programs import Programs
from server.fhir import body, reference
from server.ledger import Resource, View


class Protocol(NamedTuple):
    """A program's rule about transfers, and the one about who opens them."""

    program: Program
    rule: Rule
    opening: Rule | None

    @property
    def steps(self) -> tuple[Part, ...]:
        """In their order; the parts of a step are its evidence."""
        return self.rule.parts

    def step(self, code: str | None) -> Part | None:
        return next((step for step in self.steps if step.code == code), None)

    @property
    def considerations(self) -> list[str]:
        """The codes that can be given as evidence, in the place of a resource."""
        return [code for step in self.steps for item in step.parts for code in item.parameters["code"]]


def of(program: Program) -> Protocol | None:
    """None where the program has no transfers."""
    rule = next(program.of_kind("transfer"), None)
    return Protocol(program, rule, next(program.of_kind("transfer-opening"), None)) if rule else None


async def begun_under(view: View, task: Resource, programs: Programs, now: int) -> Protocol | None:
    """What a transfer goes by. One that was loaded as recorded, and says only which program, goes by today's."""
    link = reference.local(task.get("instantiatesUri", ""))
    if link and link.version and link.version.isdecimal():
        version = await view.vread(link.type, link.id, int(link.version))
        if version and version.body and (program := _parsed(version.body)):
            return of(program)
    url, _, number = task.get("instantiatesCanonical", "").partition("|")
    named = [dated.program for dated in programs.by_url.get(url, ()) if dated.program.version == number]
    if named:
        return of(named[0])
    return of(programs.near(url, now)) if url in programs.by_url else None


@lru_cache(maxsize=64)
def _parsed(content: bytes) -> Program | None:
    return parse(body.parse(content).resource)[0]
