"""Count failures, note them in the store, and find them there again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .. import _log
from .._books._failures import attempts_of, failure_key, failure_now, failure_of, failure_payload
from .._books._runs import Runs
from .._books._stats import Counters
from .._encoding._codec import Codec
from .._errors import StoreError
from .._naming import shortened
from .._record import FAILURE, Failure, Key, Payload, Record, info_of
from ..stores import Store
from ._call import Attempt, Call


class Failures:
    """Notes failures, and reads them."""

    def __init__(
        self,
        store: Store,
        codec: Codec,
        counters: Counters,
        runs: Runs,
        *,
        fetch: Callable[[Sequence[Key]], dict[Key, Record]],
        record: Callable[[Attempt, Key, str, Payload], Record],
        store_failed: Callable[[StoreError], None],
    ) -> None:
        """Note failures in a store.

        Args:
            store: Holds failures and results alike.
            codec: Seals the records of failures.
            counters: Count failures.
            runs: Has the id of the present run, for a failure that could not be kept.
            fetch: Returns records from the store, as far as it can be read.
            record: Returns the record of an attempt.
            store_failed: Is told of an error of the store.
        """
        self._store = store
        self._codec = codec
        self._counters = counters
        self._runs = runs
        self._fetch = fetch
        self._record = record
        self._store_failed = store_failed

    def failed(self, attempt: Attempt, error: Exception) -> None:
        """Count and note that an attempt, which is over, raised."""
        self._counters.failure(attempt.duration_seconds, attempt.notes)
        self.note(attempt, error)
        _log.debug(
            "raised %s: %s",
            type(error).__name__,
            attempt.call,
            event="raised",
            **attempt.log_fields(self._counters.step),
        )

    def note(self, attempt: Attempt, error: Exception) -> None:
        """Note in the store that an attempt, which is over, raised."""
        payload = failure_payload(error, attempt.failures_before + 1)
        key = failure_key(attempt.call.key)
        record = self._record(attempt, key, self._codec.sealed(FAILURE), payload)
        try:
            self._store.put(record, replace=True)
        except StoreError as store_error:
            self._store_failed(store_error)

    def failure(self, call: Call, error: Exception) -> Failure:
        """Return the failure of a call that has just raised."""
        noted = self.failures_of({call.key: call.id}).get(call.key)
        return noted or failure_now(call.function, call.id, error, self._runs.id)

    def failures_of(self, ids: Mapping[Key, object]) -> dict[Key, Failure]:
        """Return the noted failures of these calls, whose ids are given by key."""
        by_failure_key = {failure_key(key): key for key in ids}
        return {
            key: failure_of(info_of(record._replace(call_id=shortened(ids[key]))), record)
            for record in map(self._codec.opened, self._fetch(list(by_failure_key)).values())
            if record is not None
            for key in (by_failure_key[record.key],)
        }

    def attempts_in(self, record: Record | None) -> int:
        """Return how often a call failed according to the record of its failure; 0 if there is none."""
        opened = None if record is None else self._codec.opened(record)
        return 0 if opened is None else attempts_of(opened)
