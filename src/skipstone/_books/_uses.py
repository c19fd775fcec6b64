"""When results were last used: recorded beside the step if `max_bytes` is set, and otherwise not at all."""

from __future__ import annotations

import struct
import time
from collections.abc import Container

from .._digest import blake2b
from .._errors import StoreError
from .._record import Key, Origin, Record, parts_of
from ..stores import Store

USES = "uses"
"""The encoding of the record with the uses."""

_KEY = blake2b(b"", digest_size=16, person=b"uses").digest()
_ORIGIN = Origin("", "", USES, b"", "", "", 0)
_USE = struct.Struct("<16sd")


class Uses:
    """The keys of the results that this process has returned and has not written down yet."""

    def __init__(self) -> None:
        self._keys: set[Key] = set()

    def note(self, key: Key) -> None:
        """Note that a result was returned."""
        self._keys.add(key)

    def write(self, store: Store, known: Container[Key] | None = None) -> dict[Key, float]:
        """Write down what was used since the last such call, and return the last use of every key.

        Args:
            store: The store of the step's runs.
            known: Keys to remember, forgetting all others; None to forget none.

        Raises:
            StoreError: The store does not work.
        """
        claim = store.claim(_KEY)
        if claim is None:  # somebody else is writing: leave ours for the next time
            return self.read(store)
        with claim:
            keys, self._keys = self._keys, set()
            uses = self.read(store) | dict.fromkeys(keys, time.time())
            if known is not None:
                uses = {key: at for key, at in uses.items() if key in known}
            payload = b"".join([_USE.pack(key, at) for key, at in uses.items()])
            try:
                store.put(Record(_KEY, b"", _ORIGIN, 0.0, payload), replace=True)
            except StoreError:
                self._keys |= keys
                raise
        return uses

    @staticmethod
    def read(store: Store) -> dict[Key, float]:
        """Return the last use of every key, as far as it was written down.

        Raises:
            StoreError: The store does not work.
        """
        record = store.get(_KEY)
        payload = b"" if record is None else b"".join(parts_of(record.payload))
        return dict(_USE.iter_unpack(payload[: len(payload) // _USE.size * _USE.size]))
