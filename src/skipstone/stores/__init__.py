"""Where records live. Implement `Store`, or derive from `BaseStore`, to keep them somewhere else."""

from .._record import FAILURE, Buffer, Key, Origin, Payload, Record, RecordInfo, info_of, parts_of, size_of
from ._base import BaseStore, Claim, Store
from ._leftovers import HasLeftovers, Leftovers
from ._local._sqlite import SqliteStore
from ._memory import MemoryStore

__all__ = [
    "FAILURE",
    "BaseStore",
    "Buffer",
    "Claim",
    "HasLeftovers",
    "Key",
    "Leftovers",
    "MemoryStore",
    "Origin",
    "Payload",
    "Record",
    "RecordInfo",
    "SqliteStore",
    "Store",
    "info_of",
    "parts_of",
    "size_of",
]
