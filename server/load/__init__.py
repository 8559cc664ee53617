"""load: files of resources into a store, a bounded commit at a time."""
