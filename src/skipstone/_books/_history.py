"""Replaced results, kept as records under keys of their own derived from the calls' keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from .._digest import blake2b
from .._encoding._codec import Codec, DamagedPayloadError, Typed, UnreadableResultError
from .._record import HISTORY, ITEMS, Key, RecordInfo
from ..stores import Store

_KEYS_AT_ONCE = 32


def keep_in_history(store: Store, codec: Codec, key: Key) -> None:
    """Copy the present result of a call into its history, before another result replaces it.

    Raises:
        StoreError: The store does not answer.
    """
    record, info = store.get(key), store.infos([key]).get(key)
    opened = None if record is None else codec.opened(record)
    # A generator has no history, since its items are removed with the record that they belong to.
    if opened is None or info is None or opened.origin.encoding == ITEMS:
        return
    info = codec.shown(info)
    number = sum(1 for _ in _keys(store, key))
    past = opened._replace(
        key=_history_key(key, number),
        origin=opened.origin._replace(encoding=HISTORY + opened.origin.encoding),
        call_id=info.call_id,
        created_at_seconds=info.created_at_seconds,
        details=info.details,
    )
    store.put(codec.seal(past))


def history_in(store: Store, codec: Codec, function: Typed, key: Key) -> Iterator[tuple[RecordInfo, object]]:
    """Yield the readable results that a call has had, the oldest first, and the present one last."""
    for each in [*_keys(store, key), key]:
        record, info = store.get(each), store.infos([each]).get(each)
        if record is not None and info is not None:
            with suppress(DamagedPayloadError, UnreadableResultError):
                value = codec.decode(record, function)
                shown = codec.shown(info)
                yield shown._replace(key=key, encoding=shown.encoding.removeprefix(HISTORY)), value


def forget_history(store: Store, keys: list[Key]) -> None:
    """Remove the history of these calls."""
    firsts = {_history_key(key, 0): key for key in keys}
    for first in store.present(list(firsts)):
        store.delete(list(_keys(store, firsts[first])))


def _keys(store: Store, key: Key) -> Iterator[Key]:
    """Yield the keys of a call's history."""
    for start in count(0, _KEYS_AT_ONCE):
        keys = [_history_key(key, number) for number in range(start, start + _KEYS_AT_ONCE)]
        there = store.present(keys)
        for past in keys:
            if past not in there:
                return
            yield past


def _history_key(key: Key, number: int) -> Key:
    return blake2b(key + number.to_bytes(8, "little"), digest_size=len(key), person=b"history").digest()
