"""Profile: what a StructureDefinition asks of a resource, beyond what its type does."""
