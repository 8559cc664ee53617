"""Plan: one plan of care for a member, though several organizations plan."""
