"""What a store holds: results and failures, to be listed and removed."""

from __future__ import annotations

from collections.abc import Iterator

from ._codec import Codec
from ._failures import failure_key, failure_of
from ._history import forget_history
from ._record import FAILURE, Failure, Key, RecordInfo, is_result
from ._stream_items import forget_items
from .stores import Store

_KEYS_AT_ONCE = 10_000


def results_in(store: Store, function: str | None) -> Iterator[RecordInfo]:
    """Yield what is known of all results, or those of one function."""
    return (info for info in store.scan(function=function) if is_result(info.encoding))


def failures_in(store: Store, codec: Codec, function: str | None) -> Iterator[Failure]:
    """Yield the failures of calls that have not succeeded since."""
    for info in store.scan(function=function):
        record = store.get(info.key) if info.encoding == FAILURE else None
        if record is not None and codec.is_intact(record):
            yield failure_of(info, record)


def forget(store: Store, keys: list[Key]) -> int:
    """Remove the results and failures of these calls; return how many results there were."""
    forget_items(store, keys)
    forget_history(store, keys)
    removed = store.delete(keys)
    store.delete([failure_key(key) for key in keys])
    return removed


def clear(store: Store, function: str | None) -> int:
    """Remove all results and failures, or those of one function; return how many results there were."""
    removed = 0
    results: list[Key] = []
    others: list[Key] = []
    for info in store.scan(function=function):
        (results if is_result(info.encoding) else others).append(info.key)
        if len(results) >= _KEYS_AT_ONCE:
            removed += store.delete(results)
            results = []
        if len(others) >= _KEYS_AT_ONCE:
            store.delete(others)
            others = []
    store.delete(others)
    return removed + store.delete(results)
