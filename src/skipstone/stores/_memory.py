"""Records in a dictionary: for tests and examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._record import Key, Record, RecordInfo, info_of, parts_of
from ._base import BaseStore


class MemoryStore(BaseStore):
    """Keeps records for as long as the process lives."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[Key, Record] = {}

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self._records.get(key)

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        record = record._replace(payload=b"".join(parts_of(record.payload)))
        if replace:
            self._records.pop(record.key, None)  # so that it comes last in the order of saving
        return self._records.setdefault(record.key, record) is record

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        return sum(self._records.pop(key, None) is not None for key in keys)

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`."""
        for record in list(self._records.values()):
            if function in (None, record.origin.function):
                yield info_of(record)
