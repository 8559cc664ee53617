"""seq: a cursor as one integer, in the ledger's order: position << 20 | ordinal."""

from __future__ import annotations

from server.ledger import Position

ORDINAL_BITS = 20
MAX_CHANGES = 1 << ORDINAL_BITS  # of one commit
MASK = MAX_CHANGES - 1


def seq_of(position: Position, ordinal: int = 0) -> int:
    return (position << ORDINAL_BITS) + ordinal  # an ordinal of -1 is before all of the position
