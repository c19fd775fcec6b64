"""Show the result in a record: only if loading it runs no code, unless that is asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._encoding._codec import Codec, DamagedPayloadError, UnreadableResultError
from .._record import ITEMS, Record
from ..stores import Store
from ..stores._local._looking import LookedAtStore

_RUN_NO_CODE = ("msgpack", "json")


class Value(NamedTuple):
    """A result, or why it is not shown."""

    is_shown: bool
    value: Any
    problem: str
    can_run_code: bool = False
    """Whether the problem is that loading can run code; `unpickle` then shows the result nevertheless."""


class _Anything(NamedTuple):
    result_type: object = Any


def value_of(record: Record, store: Store, codec: Codec, *, unpickle: bool) -> Value:
    """Return the result in a record.

    Args:
        record: The record as it is stored, with its payload.
        store: The store that it comes from.
        codec: Decodes it.
        unpickle: Load it even if that runs code.

    Raises:
        UnsafeStoreError: The result would be unpickled, and others can write to the store.
    """
    name = record.origin.encoding.partition("+")[0]
    if name == ITEMS:
        return Value(is_shown=False, value=None, problem="it is kept item by item: call the function to replay it")
    if name not in _RUN_NO_CODE:
        if not unpickle:
            problem = f"loading {name!r} can run code"
            return Value(is_shown=False, value=None, problem=problem, can_run_code=True)
        if isinstance(store, LookedAtStore):
            store.check_owner()
    try:
        return Value(is_shown=True, value=codec.decode(record, _Anything()), problem="")
    except (DamagedPayloadError, UnreadableResultError) as error:
        return Value(is_shown=False, value=None, problem=str(error))
