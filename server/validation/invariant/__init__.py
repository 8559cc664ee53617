"""Invariants: what R4 demands of one element as a whole, beyond its parts.

https://hl7.org/fhir/R4/conformance-rules.html#constraints

Those that look across a whole resource (dom-2 to dom-5, ref-1) are in `contained`, and those of a narrative in
`narrative`. Left out are those that nothing can break: ppc-2 to ppc-5 look for the code system "something", and eld-11
asks whether answers exist, not whether they are true.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant import (
    base,
    bundle,
    clinical,
    datatype,
    definition,
    questionnaire,
    statement,
    structure_definition,
    terminology,
    test_script,
)
from server.validation.invariant.condition import Invariant
from server.validation.invariant.datatype import PROFILES

__all__ = ["INVARIANTS", "PROFILES", "Invariant"]

INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    **datatype.INVARIANTS,
    **base.INVARIANTS,
    **clinical.INVARIANTS,
    **bundle.INVARIANTS,
    **questionnaire.INVARIANTS,
    **terminology.INVARIANTS,
    **definition.INVARIANTS,
    **structure_definition.INVARIANTS,
    **statement.INVARIANTS,
    **test_script.INVARIANTS,
}
