"""Member file: all that a member's new case manager needs, and who may read it."""
