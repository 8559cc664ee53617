"""The MongoDB engine: many processes, on many machines, share one ledger."""

from server.store.mongodb.engine import MongodbStore

__all__ = ["MongodbStore"]
