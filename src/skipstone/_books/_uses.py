"""When results were last used: kept beside the step where `max_bytes` is set, and else by nobody."""

from __future__ import annotations

import struct
import time
from collections.abc import Container

from .._digest import blake2b
from .._errors import StoreError
from .._record import Key, Origin, Record, parts_of
from ..stores import Store

USES = "uses"
"""The encoding of the record that tells it."""

_KEY = blake2b(b"", digest_size=16, person=b"uses").digest()
_ORIGIN = Origin("", "", USES, b"", "", "", 0)
_USE = struct.Struct("<16sd")


class Uses:
    """The keys of the results that this process has returned, until they are told."""

    def __init__(self) -> None:
        self._keys: set[Key] = set()

    def note(self, key: Key) -> None:
        """A result was returned."""
        self._keys.add(key)

    def tell(self, store: Store, known: Container[Key] | None = None) -> dict[Key, float]:
        """Write down what was used since this was told last, and return of all keys when they were used last.

        Args:
            store: That of the step's runs.
            known: Others are forgotten; None: none is.

        Raises:
            StoreError: The store does not work.
        """
        claim = store.claim(_KEY)
        if claim is None:  # somebody else writes just now: it is told the next time
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
        """Return of all keys when they were used last, as far as that was told.

        Raises:
            StoreError: The store does not work.
        """
        record = store.get(_KEY)
        payload = b"" if record is None else b"".join(parts_of(record.payload))
        return dict(_USE.iter_unpack(payload[: len(payload) // _USE.size * _USE.size]))
