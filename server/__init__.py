"""A FHIR R4 server for care coordination: one ledger, one write primitive, rules at the head, programs as files."""
