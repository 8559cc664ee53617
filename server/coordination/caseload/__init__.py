"""Caseload: how many members each case manager has, may have, and had."""
