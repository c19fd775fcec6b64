"""Claim, look up and save calls of one function together, with a record or a failure for each.

Saving many results together takes a fraction of the time of saving them one by one. But finished results wait to be
saved, and others may wait for calls that are claimed and have not begun. So a group ends early if one of its calls is
slow or has to wait itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeAlias

from .._record import Key, Record, parts_of, size_of
from ..stores import Claim
from ._call import Attempt, Call
from ._hits import MISS
from ._outcomes import Outcome, Raised, Returned

_MOMENT_SECONDS = 0.01  # the time between two looks of the watcher; a group that it sees twice has taken too long
_IDLE_LOOKS = 100  # the watcher's patience: a map has one group after another, and should not start it for each
_LARGE_BYTES = 64 << 10  # so large a result gains nothing from being saved together with others
_MOST_BYTES = 1 << 20


_Finished: TypeAlias = tuple[Attempt, object, Record]
"""An attempt that returned, its result, and its record."""


class Group:
    """The claims of some calls, and those of their results that are not saved yet."""

    def __init__(self, engine: Any, *, replace: bool = False) -> None:
        """Begin without calls.

        Args:
            engine: Keeps the results.
            replace: Run calls even if they have stored results, and replace those.
        """
        self.outcomes: dict[Key, Outcome] = {}
        """The outcomes of calls that are over; for a call that returned, once its result is saved."""
        self.has_failed = False
        """Whether a call has raised."""
        self.busy: list[Call] = []
        """The calls that somebody else is computing."""
        self._engine = engine
        self._replace = replace
        self._claims: dict[Key, Claim] = {}
        self._running: Key | None = None
        self._finished: list[_Finished] = []
        self._size_bytes = 0
        self._written: list[tuple[list[_Finished], set[Key]]] = []
        """Batches that were written, each with the keys of those records that are stored now."""
        self.is_dissolved = False
        # Reentrant: garbage collection may end a generator while this thread holds the lock, which may lead here.
        self._lock = threading.RLock()

    def claim(self, calls: Sequence[Call]) -> list[Attempt]:
        """Claim calls with different keys; return attempts for those that others neither compute nor have stored."""
        claims = self._claims
        self._engine.claim(calls, claims)
        if len(claims) < len(calls):
            self.busy = [call for call in calls if call.key not in claims]
            calls = [call for call in calls if call.key in claims]
        missing: list[Attempt] = []
        for record, attempt in self._engine.look_again(*calls):
            call = attempt.call
            try:
                is_new = record is None or self._replace
                value = MISS if is_new else self._engine.hit(record, call.function, call.id)
            except Exception as error:  # noqa: BLE001 - the result is that of another function of this name
                self._failed(call, error)
                continue
            if value is MISS:
                missing.append(attempt)
            else:
                self.outcomes[call.key] = Returned(value)
        return missing

    def begin(self, attempt: Attempt) -> bool:
        """Mark a call as running; return False if the group was dissolved, and the call's claim is gone."""
        with self._lock:
            if self.is_dissolved:
                return False
            self._running = attempt.call.key
        attempt.group = self
        return True

    def finish(self, attempt: Attempt, value: object) -> None:
        """Take the result of a call that returned, to be saved."""
        call = attempt.call
        try:
            self._engine.ran(attempt, value)
            record = self._engine.record_of(attempt, value)
        except Exception as error:  # noqa: BLE001 - with on_save_error="raise"
            self._failed(call, error)
            return
        if record is None:
            self.outcomes[call.key] = Returned(value)
            return
        size_bytes = size_of(record.payload)
        if type(record.payload) is not bytes and size_bytes < _LARGE_BYTES:
            # The parts may share memory with the result, which the caller may change before it is saved.
            record = record._replace(payload=b"".join(parts_of(record.payload)))
        with self._lock:
            self._finished.append((attempt, value, record))
            self._size_bytes += size_bytes
        if size_bytes >= _LARGE_BYTES or self._size_bytes >= _MOST_BYTES:
            self.save()

    def fail(self, attempt: Attempt, error: Exception) -> None:
        """Take the error of a call that raised."""
        self._engine.failed(attempt, error)
        self._failed(attempt.call, error)

    def _failed(self, call: Call, error: Exception) -> None:
        self.has_failed = True
        self.outcomes[call.key] = Raised(self._engine.failure(call, error), error)

    def save(self) -> None:
        """Save the results of finished calls, and give their claims back.

        May be called by any thread at any time.
        """
        with self._lock:
            waiting = [*chain.from_iterable(finished for finished, _ in self._written), *self._finished]
            if not waiting:
                return
            with self._engine.traced("save", waiting[0][0].call, len(waiting)):
                self._write()
                written, self._written = self._written, []
                for finished, stored in written:
                    for attempt, value, record in finished:
                        if record.key in stored:
                            self.outcomes[record.key] = Returned(value)
                        else:
                            self._keep(attempt, value, record)
            self._give_back([record.key for _, _, record in waiting])

    def _keep(self, attempt: Attempt, value: object, record: Record) -> None:
        try:
            value = self._engine.keep(attempt, value, record, replace=self._replace)
        except Exception as error:  # noqa: BLE001 - with on_save_error="raise"
            self._failed(attempt.call, error)
        else:
            self.outcomes[record.key] = Returned(value)

    def end(self) -> None:
        """Save the results of finished calls, and give all claims back."""
        try:
            self.save()
        finally:
            self._give_back(list(self._claims))

    def dissolve(self) -> None:
        """Save the results of finished calls, keep no claim except the running call's, and let no other call begin.

        May be called by any thread at any time.
        """
        with self._lock:
            if not self.is_dissolved:
                self.is_dissolved = True
                self._write()
                self._give_back([key for key in self._claims if key != self._running])

    def _write(self) -> None:
        """Write the results of finished calls to the store; `save` turns them into outcomes later."""
        finished, self._finished, self._size_bytes = self._finished, [], 0
        stored: set[Key] = set()
        try:
            if finished and not self._replace:  # replacements are saved one by one
                stored = self._engine.keep_new(finished)
        finally:
            self._written.append((finished, stored))

    def _give_back(self, keys: list[Key]) -> None:
        with self._lock:
            for key in keys:
                claim = self._claims.pop(key, None)
                if claim is not None:
                    claim.__exit__(None, None, None)

    def after_fork(self) -> None:
        """Leave claims and unsaved results to the parent, in a child after a fork."""
        self._lock = threading.RLock()  # the old one may be held by a thread that the child lacks
        self.outcomes |= {record.key: Returned(value) for _, value, record in self._finished}
        self._finished, self._written, self._claims = [], [], {}
        self.is_dissolved = True


# ---- groups that take too long ----

_watched: set[Group] = set()
_watcher: threading.Thread | None = None
"""The thread that was started last; any other ends at its next look."""


@contextmanager
def watched(group: Group) -> Generator[None]:
    """Dissolve a group if the `with` block takes longer than a moment or two."""
    global _watcher  # noqa: PLW0603 - one for all groups
    try:
        _watched.add(group)
        # Without a lock: garbage is collected at any time, even in a thread that is starting, and a finalizer may use
        # groups, too. At worst, two watchers are started, of which one ends at its next look.
        watcher = _watcher
        if watcher is None or not watcher.is_alive():
            _watcher = watcher = threading.Thread(target=_watch, name="skipstone-groups", daemon=True)
            try:
                watcher.start()
            except RuntimeError:  # the interpreter is about to exit, or does not allow daemon threads
                group.dissolve()
        yield
    finally:
        _watched.discard(group)


def _watch() -> None:
    global _watcher  # noqa: PLW0603
    watcher = threading.current_thread()
    seen: set[Group] = set()
    idle_looks = 0
    while _watcher is watcher:
        time.sleep(_MOMENT_SECONDS)
        now = {group for group in _watched.copy() if not group.is_dissolved}
        idle_looks = 0 if now else idle_looks + 1
        if idle_looks == _IDLE_LOOKS:
            _watcher = None  # from here on, a new group starts another watcher; any earlier one is seen just below
            if _watched:
                _watcher, idle_looks = watcher, 0
        for group in now & seen:
            group.dissolve()
        seen = now


def _after_fork() -> None:
    """Reset the groups in a child, which may have been forked by a call in a group."""
    for group in _watched:
        group.after_fork()
    _watched.clear()


os.register_at_fork(after_in_child=_after_fork)
