"""Items of generators as records, under keys derived from the calls', so that stores need not know about items.

The key of an item is made from the call's key, a token of the run, and the item's number, so the items of two runs
never mix. The call's own record has the token and the number of items, and is written after all of them. Another
record, the head, has the token of the run that began last, by which the items of a killed run are found.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, get_args

from .._digest import blake2b
from .._encoding._trailer import Notes, with_notes, without_notes
from .._functions._function import KnownFunction
from .._record import ITEMS, Key, Payload, Record, parts_of
from ..stores import Store

_TOKEN_BYTES = 8
_FORMAT = struct.Struct(f"<{_TOKEN_BYTES}sQQ?")
_KEYS_AT_ONCE = 400


class Items(NamedTuple):
    """What the record of an exhausted generator says about its items."""

    token: bytes
    number: int
    """How many items there are."""
    size_bytes: int
    """The size of the payloads of all items."""
    has_value: bool
    """Whether the generator returned a value, which is kept as if it were one more item."""
    notes: Notes
    """Numbers that the call noted."""

    def payload(self) -> Payload:
        """Return this as the payload of the call's record."""
        content = (_FORMAT.pack(*self[:-1]),)
        return with_notes(content, self.notes) if self.notes else content


class Part(NamedTuple):
    """The type of an item or of what the generator returned, for serializers."""

    result_type: object


def new_token() -> bytes:
    """Return the token of a new run."""
    return os.urandom(_TOKEN_BYTES)


def items_of(record: Record) -> Items:
    """Return what the intact record of an exhausted generator says."""
    payload = _payload(record)
    notes = without_notes(payload)[1] if len(payload) > _FORMAT.size else {}
    token, number, size_bytes, has_value = _FORMAT.unpack_from(payload)
    return Items(token, number, size_bytes, has_value, notes)


def token_of(record: Record) -> bytes:
    """Return the token in the record of an exhausted generator, or in a head."""
    return _payload(record)[:_TOKEN_BYTES]


def item_key(key: Key, token: bytes, number: int) -> Key:
    """Return the key of an item."""
    return blake2b(key + token + number.to_bytes(8, "little"), digest_size=len(key), person=b"item").digest()


def head_key(key: Key) -> Key:
    """Return the key under which the token of a call's last run is kept."""
    return blake2b(key, digest_size=len(key), person=b"head").digest()


def parts_of_function(function: KnownFunction) -> tuple[Part, Part]:
    """Return the types of a generator function's items and of what it returns, as annotated."""
    yielded, _, returned = (*get_args(function.result_type), Any, Any, Any)[:3]
    return Part(yielded), Part(returned)


class Deletes(Protocol):
    """A store, as far as removing items needs it."""

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        ...


def remove_items(store: Deletes, key: Key, token: bytes) -> None:
    """Remove the items of one run of a call, however many there are."""
    start = 0
    while store.delete([item_key(key, token, number) for number in range(start, start + _KEYS_AT_ONCE)]):
        start += _KEYS_AT_ONCE


def forget_items(store: Store, keys: Sequence[Key]) -> None:
    """Remove the items of these calls; call it before their own records are removed."""
    calls = {head_key(key): key for key in keys}
    for head, record in store.get_many([*calls]).items():
        key = calls[head]
        exhausted = store.get(key)
        known = (record, exhausted) if exhausted and exhausted.origin.encoding == ITEMS else (record,)
        for token in {token_of(one) for one in known}:
            remove_items(store, key, token)
        store.delete([head])


def _payload(record: Record) -> bytes:
    return b"".join(parts_of(record.payload))
