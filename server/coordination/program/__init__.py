"""Program: what a PlanDefinition says, read once, and which one is in force."""
