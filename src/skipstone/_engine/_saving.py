"""Make records of results and keep them in the store, or say why they cannot be kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .._books._failures import failure_key
from .._books._history import keep_in_history
from .._books._origins import Origins
from .._books._stats import Counters
from .._encoding._blame import blame
from .._encoding._codec import Codec, RefusedResultError
from .._errors import SaveError, SaveWarning, StoreError
from .._functions._function import KnownFunction
from .._naming import shortened
from .._record import ITEM, Buffer, Key, Payload, Record, size_of
from .._settings._config import CheckpointConfig
from ..stores import Store
from ._call import Attempt, Call
from ._code_changes import CodeChanges
from ._hits import MISS

LARGE_BYTES = 64 << 10
"""A result of this size takes longer to load or save than a thread takes to start."""

CALL_ID_CHARACTERS = 200
"""How much of an id a record has."""


class Saving:
    """Keeps results."""

    def __init__(
        self,
        store: Store,
        codec: Codec,
        config: CheckpointConfig,
        counters: Counters,
        *,
        code: CodeChanges,
        origins: Origins,
        hit: Callable[[Record, KnownFunction, object], object],
        warn: Callable[..., None],
        store_failed: Callable[[StoreError], None],
    ) -> None:
        """Keep results in a store.

        Args:
            store: Keeps the records.
            codec: Encodes results, and seals their records.
            config: Says what happens to a result that cannot be kept, and to one that is replaced.
            counters: Count bytes that were saved, and results that could not be kept.
            code: Keeps the code that made the results.
            origins: The origins of the records of this run.
            hit: Returns the result in a record that somebody else stored first.
            warn: Warns about each thing once.
            store_failed: Is told of an error of the store.
        """
        self._store = store
        self._codec = codec
        self._config = config
        self._counters = counters
        self._code = code
        self._origins = origins
        self._hit = hit
        self._warn = warn
        self._store_failed = store_failed
        self.is_quick_for: KnownFunction | None = None
        """The function whose last result was saved faster than a thread could be started for it."""

    def record_of(self, attempt: Attempt, value: object) -> Record | None:
        """Return the record of a result; if it cannot be serialized, warn and return None.

        Raises:
            SaveError: It cannot be serialized, and `on_save_error` is "raise".
        """
        call = attempt.call
        try:
            payload, encoding = self._codec.encode(value, call.function, attempt.notes)
        except Exception as error:  # noqa: BLE001 - a serializer raises what it likes
            reason = blame(value, error, self._codec.serializer)
            self.not_saved(call, value, f"{reason}; return plain data to have it kept", error)
            return None
        return self.record(attempt, call.key, encoding, payload)

    def keep_new(self, finished: Sequence[tuple[Attempt, object, Record]]) -> set[Key]:
        """Store results of one function with one request; return the keys of those that are stored now.

        The others were stored before or could not be stored. The caller gives each of them to `keep`, which warns.
        """
        try:
            stored = self._store.put_many([record for _, _, record in finished])
        except Exception:  # noqa: BLE001 - `keep` meets the same error and handles it
            return set()
        if stored:
            attempt, _, record = finished[0]
            self._code.keep(record.origin, attempt.call.function)
            self._counters.saved(
                sum([size_of(record.payload) for _, _, record in finished if record.key in stored])
            )
            self._remove_failures(
                [each for each, _, _ in finished if each.failures_before and each.call.key in stored]
            )
        return stored

    def keep(self, attempt: Attempt, value: object, record: Record, *, replace: bool = False) -> object:
        """Store a result; return it, or else the one that somebody stored first."""
        call = attempt.call
        try:
            if replace:
                self._keep_history(call.key)
            if not self._store.put(record, replace=replace):
                theirs = self._store.get(call.key)
                result = MISS if theirs is None else self._hit(theirs, call.function, call.id)
                if result is not MISS:
                    return result
                if theirs is not None and (refusal := self._codec.refusal(theirs)):
                    reason = (
                        f"there is one that may not be loaded, {refusal}; clear it or rerun the call to replace it"
                    )
                    self.not_saved(call, value, reason, RefusedResultError(refusal))
                    return value
                self._keep_history(call.key)
                # Theirs is damaged, too old, or made by code whose calls are to be rerun.
                self._store.put(record, replace=True)
        except StoreError as error:
            self.not_saved(call, value, str(error), error)
        else:
            if attempt.failures_before:
                self._remove_failures([attempt])
            self._code.keep(record.origin, call.function)
            size_bytes = size_of(record.payload)
            self._counters.saved(size_bytes)
            is_quick = size_bytes < LARGE_BYTES and self._config.durability == "process"
            self.is_quick_for = call.function if is_quick else None
        return value

    def _remove_failures(self, attempts: Sequence[Attempt]) -> None:
        """Remove the failures of calls whose results are stored now. An error here does not concern the results."""
        if attempts:
            try:
                self._store.delete([failure_key(attempt.call.key) for attempt in attempts])
            except StoreError as error:
                self._store_failed(error)

    def _keep_history(self, key: Key) -> None:
        if self._config.keep_history:
            keep_in_history(self._store, self._codec, key)

    def not_saved(self, call: Call, value: object, reason: str, error: Exception) -> None:
        """Count a result that cannot be kept, and warn about it.

        Raises:
            SaveError: `on_save_error` is "raise".
        """
        self._counters.not_saved()
        message = f"cannot keep the result of {call}: {reason}"
        if self._config.on_save_error == "raise":
            save_error = SaveError(f"{message}. The result is in this error's `result`")
            save_error.result = value
            raise save_error from error
        self._warn(SaveWarning, f"{message}. The result was returned", once=call.function.name)

    def record(self, attempt: Attempt, key: Key, encoding: str, payload: Buffer | Payload) -> Record:
        """Return a record for an attempt: of its result, or of one item of it."""
        function = attempt.call.function
        origin = self._origins.of(function, encoding)
        details = b"" if encoding.startswith(ITEM) else attempt.packed_details
        call_id = shortened(attempt.call.id, CALL_ID_CHARACTERS)
        facts = (key, b"", origin, attempt.duration_seconds, payload, call_id, time.time(), details)
        return self._codec.seal(tuple.__new__(Record, facts))  # takes half the time of Record(...)
