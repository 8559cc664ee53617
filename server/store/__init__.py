"""The store: one append-only ledger and its projections, on an engine (SQLite now) behind one contract."""
