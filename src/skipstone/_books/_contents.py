"""List and remove what a store holds: results and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._encoding._codec import Codec
from .._functions._function import KnownFunction
from .._record import Failure, Key, Record, RecordInfo, is_failure, is_result
from ..stores import Store
from ._failures import failure_key, failure_of
from ._history import forget_history, history_in
from ._stream_items import forget_items

_KEYS_AT_ONCE = 10_000


class Contents:
    """The results and failures of one step."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self._store = store
        self._codec = codec

    def records(self, function: str | None) -> Iterator[RecordInfo]:
        """Yield a description of each result, or of each one of a function."""
        shown = self._codec.shown
        return (shown(info) for info in self._store.scan(function=function) if is_result(info.encoding))

    def failures(self, function: str | None) -> Iterator[Failure]:
        """Yield the failures of calls that have not succeeded since."""
        for info in self._store.scan(function=function):
            record = self._store.get(info.key) if is_failure(info.encoding) else None
            opened = None if record is None else self._codec.opened(record)
            if opened is not None:
                yield failure_of(self._codec.shown(info), opened)

    def keep(self, records: Sequence[Record]) -> None:
        """Store records that were made elsewhere; a success removes the failure that was noted before."""
        failures = [record for record in records if is_failure(record.origin.encoding)]
        self._store.put_many([record for record in records if not is_failure(record.origin.encoding)])
        self._store.put_many(failures, replace=True)
        failed = {record.key for record in failures}
        self._store.delete({failure_key(record.key) for record in records} - failed)

    def all_records(self) -> list[Record]:
        """Return all records themselves, for a store that is small."""
        return [record for record in map(self._store.get, [info.key for info in self._store.scan()]) if record]

    def forget(self, keys: list[Key]) -> int:
        """Remove the results and failures of these calls; return how many results there were."""
        forget_items(self._store, keys)
        forget_history(self._store, keys)
        removed = self._store.delete(keys)
        self._store.delete([failure_key(key) for key in keys])
        return removed

    def forget_failures(self, keys: list[Key]) -> None:
        """Remove failures, given their own keys, so that the calls are tried again."""
        self._store.delete(keys)

    def history(self, function: KnownFunction, key: Key) -> Iterator[tuple[RecordInfo, object]]:
        """Yield the results that a call has had, the oldest first."""
        return history_in(self._store, self._codec, function, key)

    def clear(self, function: str | None) -> int:
        """Remove all results and failures, or those of one function; return how many results there were."""
        removed = 0
        results: list[Key] = []
        others: list[Key] = []
        for info in self._store.scan(function=function):
            (results if is_result(info.encoding) else others).append(info.key)
            if len(results) >= _KEYS_AT_ONCE:
                removed += self._store.delete(results)
                results = []
            if len(others) >= _KEYS_AT_ONCE:
                self._store.delete(others)
                others = []
        self._store.delete(others)
        return removed + self._store.delete(results)
