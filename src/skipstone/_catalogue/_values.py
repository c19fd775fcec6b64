"""A record's result, for people: only where that runs no code, unless it is asked for."""

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
    """That is the problem: `unpickle` shows it all the same."""


class _Anything(NamedTuple):
    result_type: object = Any


def value_of(record: Record, store: Store, codec: Codec, *, unpickle: bool) -> Value:
    """Return what a record holds.

    Args:
        record: As it is stored, with its payload.
        store: Where it comes from.
        codec: Decodes it.
        unpickle: Load it even if that runs code.

    Raises:
        UnsafeStoreError: It would be unpickled, and others can write to the store.
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
