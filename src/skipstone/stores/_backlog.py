"""Note in the near store what the far store has yet to get, so that no crash forgets it, and copy it there.

Each such record has a mark: a record without a payload, under a key derived from the record's key, and saved before it.
A thread works the marks off while the far store answers. Saving waits for the thread only if it is too far behind.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from typing import NamedTuple

from .._errors import StoreError
from .._record import MARK, Key, Origin, Record, RecordInfo, size_of
from ._base import Claim, Store
from ._forks import begin_in_children
from ._sleep import Sleep

SAVE, REPLACE, DELETE = "save", "replace", "delete"

_AT_ONCE = 64
_LONGEST_QUEUE = 1000
_FULL_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_YOUNG_SECONDS = 60.0  # the record of so young a mark may be about to be saved
_FUNCTION = "skipstone"  # no real function has this name, since its module comes first
_MASK = 0x5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A


class Mark(NamedTuple):
    """A record that the far store is to get, or to delete."""

    key: Key
    action: str
    call_id: str
    created_at_seconds: float
    details: bytes = b""

    def as_record(self) -> Record:
        """Return the mark as a record for the near store."""
        origin = Origin(_FUNCTION, "", f"{MARK}{self.action}", b"", "", "", 0)
        return Record(
            _marked(self.key), b"", origin, 0.0, b"", self.call_id, self.created_at_seconds, self.details
        )


class UntilCopied:
    """A claim of the far store that is given back once the far store has the record."""

    def __init__(self, key: Key, claim: Claim, backlog: Backlog) -> None:
        self._key = key
        self._claim = claim
        self._backlog = backlog

    def __enter__(self) -> None:
        """Do nothing: the claim is in use already."""

    def __exit__(self, *_: object) -> None:
        """Give the claim back, or let whoever copies the record do so."""
        self._backlog.when_copied(self._key, self._claim)


class Backlog:
    """Copies records to the far store that it does not have yet."""

    def __init__(self, near: Store, far: Store, far_failed: Callable[[StoreError], None]) -> None:
        self._near = near
        self._far = far
        self._far_failed = far_failed
        self.deleted: set[Key] = set()
        """Keys whose records the far store has yet to delete."""
        begin_in_children(self)

    def begin(self) -> None:
        """Start without a thread and with an empty queue: after a fork, what was queued is the parent's business."""
        self._lock, self._copying, self._noting = threading.RLock(), threading.RLock(), threading.RLock()
        self._has_looked = False
        # This queue and `Sleep` are reentrant, unlike `Queue` and `Event`: garbage collection may end a generator at any
        # time, in any thread, and that may save something.
        self._queue: queue.SimpleQueue[Mark] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sleep = Sleep()
        self.is_behind = False
        """Whether there are marks that are not in the queue."""
        self._is_closing = False
        self._noted_amid: list[Mark] | None = None
        """What a finalizer noted inside `_noting_last`; None outside of it."""
        self._uncopied: set[Key] = set()
        """Keys of records that this process has saved and the far store is about to get."""
        self._claims: dict[Key, Claim] = {}
        """Claims of the far store that are given back then."""

    def look(self) -> None:
        """Find out, once in each process, what earlier processes left to do."""
        if self._has_looked:
            return
        with self._lock:
            if self._has_looked:
                return
            with suppress(StoreError):  # the next use of the near store will report it
                for mark in self._marks():
                    self.is_behind = True
                    if mark.action == DELETE:
                        self.deleted.add(mark.key)
            self._has_looked = True
            if self.is_behind:
                self._begin_work()

    def _marks(self) -> Iterator[Mark]:
        for info in self._near.scan(function=_FUNCTION):
            yield _mark_of(info)

    def save(self, records: Sequence[Record], *, replace: bool) -> set[Key]:
        """Put records into the near store alone and queue them to be copied; wait if too many are queued already.

        Returns:
            The keys whose record is now the given one.

        Raises:
            StoreError: The near store does not answer.
        """
        marks = [
            Mark(
                record.key,
                REPLACE if replace or record.key in self.deleted else SAVE,
                record.call_id,
                record.created_at_seconds,
                record.details,
            )
            for record in records
        ]
        with self._noting:
            self._note(marks)
            if self._noted_amid is not None:
                self._noted_amid += marks
            self._uncopied.update(mark.key for mark in marks if not self.is_behind)
            self.deleted.difference_update(mark.key for mark in marks)
            kept = self._near.put_many(records, replace=replace)
        for mark in marks:
            self._begin_work()
            while not self.is_behind and self._queue.qsize() >= _LONGEST_QUEUE and not self._is_thread():
                time.sleep(_FULL_SECONDS)
            if not self.is_behind:
                self._queue.put(mark)
        return kept

    def _note(self, marks: Sequence[Mark]) -> None:
        for action in (SAVE, REPLACE):
            some = {mark.key: mark.as_record() for mark in marks if mark.action == action}
            if some:
                # Create-only for SAVE: if a replacement is still to be copied, its mark must stay, since a plain save
                # after it is not kept.
                self._near.put_many([*some.values()], replace=action == REPLACE)

    @contextmanager
    def _noting_last(self) -> Generator[None]:
        """Keep other threads from noting marks; at the end, note again what a finalizer in this thread noted."""
        with self._noting:
            noted = self._noted_amid = []
            try:
                yield
            finally:
                self._noted_amid = None
            self._note(noted)

    def when_copied(self, key: Key, claim: Claim) -> None:
        """Give a claim back once the far store has the record; now, if none is on its way or the store is away."""
        with self._lock:
            if key in self._uncopied and not self.is_behind:
                self._claims[key] = claim
                return
        claim.__exit__(None, None, None)

    def taken_back(self, key: Key) -> Claim | None:
        """Return a claim that waits to be given back, for another caller in this process that wants it now."""
        with self._lock:
            return self._claims.pop(key, None)

    def _give_back(self, keys: Collection[Key]) -> None:
        with self._lock:
            self._uncopied.difference_update(keys)
            claims = [self._claims.pop(key) for key in keys if key in self._claims]
        for claim in claims:
            with suppress(StoreError):  # then it lapses
                claim.__exit__(None, None, None)

    def resting(self) -> AbstractContextManager[object]:
        """Return a context in which nothing is copied by this process."""
        return self._copying

    def note_deletions(self, keys: Sequence[Key]) -> None:
        """Note what the far store, which does not answer, is to delete later.

        Raises:
            StoreError: The near store does not answer either.
        """
        self._near.put_many([Mark(key, DELETE, "", 0.0).as_record() for key in keys], replace=True)
        self.deleted.update(keys)
        self.fall_behind()

    def fall_behind(self) -> None:
        """Stop copying for now, since the far store does not answer; marks stay where they are."""
        self.is_behind = True
        self._give_back(list(self._uncopied))
        self._begin_work()

    def far_answers(self) -> None:
        """Resume copying at once if something is left to do."""
        if self.is_behind:
            self._sleep.end()

    def _is_thread(self) -> bool:
        """Tell whether this is the copying thread, which must not wait for itself."""
        return self._thread is threading.current_thread()

    def _begin_work(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._is_closing = False
                self._thread = threading.Thread(target=self._go_on, name="skipstone-backlog", daemon=True)
                self._thread.start()

    def _go_on(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._is_closing:
            try:
                if self.is_behind:
                    self._sleep.sleep(pause_seconds)
                    if not self._is_closing:
                        self.catch_up()
                else:
                    self._work_off_queued()
                pause_seconds = _FIRST_PAUSE_SECONDS
            except StoreError as error:
                self._far_failed(error)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _work_off_queued(self) -> None:
        with suppress(queue.Empty):
            marks = [self._queue.get(timeout=0.2)]
            while len(marks) < _AT_ONCE and not self._queue.empty():
                marks.append(self._queue.get_nowait())
            self._work_off(marks)

    def catch_up(self) -> int:
        """Work all marks off, and return how many there were.

        Raises:
            StoreUnavailableError: The far store does not answer.
        """
        count = 0
        uncopied = list(self._uncopied)
        while not self._queue.empty():  # queued marks are in the near store, too
            with suppress(queue.Empty):
                self._queue.get_nowait()
        self.is_behind = False
        try:
            marks = self._marks()
            while some := list(islice(marks, _AT_ONCE)):
                self._work_off(some)
                count += len(some)
        except StoreError:
            self.is_behind = True
            raise
        finally:
            self._give_back(uncopied)
        return count

    def close(self) -> None:
        """End the thread."""
        self._is_closing = True
        self._sleep.end()
        thread = self._thread
        # `_thread` is unset only after it has ended: otherwise, if the far store failed meanwhile, another would start.
        if thread is not None and not self._is_thread():
            thread.join()
        with self._lock:
            if self._thread is thread:
                self._thread = None
        self._has_looked = False

    def _work_off(self, marks: Sequence[Mark]) -> None:
        last: dict[Key, Mark] = {}
        for mark in marks:
            if mark.action != SAVE or mark.key not in last:  # else it was not kept: a record was there already
                last[mark.key] = mark
        with self._copying:
            deleted = [mark.key for mark in last.values() if mark.action == DELETE]
            self._far.delete(deleted)
            self.deleted.difference_update(deleted)
            sent, first = self._sent([mark for mark in last.values() if mark.action != DELETE])
            with self._noting_last():
                now = self._near.get_many(list(sent))
                # Records that were replaced while they were being copied keep their marks for the next time.
                changed = {key for key, record in sent.items() if _differ(now.get(key), record)}
                self._near.put_many([each for each in first if each.key not in changed], replace=True)
                before = time.time() - _YOUNG_SECONDS
                waits = {key for key, mark in last.items() if key not in sent and mark.created_at_seconds > before}
                self._near.delete([_marked(key) for key in last.keys() - changed - waits])
        self._give_back(last.keys())

    def _sent(self, marks: Sequence[Mark]) -> tuple[dict[Key, Record], list[Record]]:
        """Put those of these records that the near store has into the far store.

        Returns:
            These records by key, and the different records that the far store already had for some of the keys. The
            latter came first, so they are the ones to keep.
        """
        found = self._near.get_many([mark.key for mark in marks])
        others: set[Key] = set()
        for action in (SAVE, REPLACE):
            records = [
                found[mark.key]._replace(
                    call_id=mark.call_id, created_at_seconds=mark.created_at_seconds, details=mark.details
                )
                for mark in marks
                if mark.action == action and mark.key in found
            ]
            kept = self._far.put_many(records, replace=action == REPLACE)
            others.update(record.key for record in records if record.key not in kept)
        first = self._far.get_many(list(others))
        marked = {mark.key: mark for mark in marks}
        return found, [
            named_like(marked[key], record) for key, record in first.items() if _differ(record, found[key])
        ]


def named_like(one: Mark | Record, record: Record) -> Record:
    """Return a record completed with what a look-up may have left out, from another record or mark of the same call."""
    return record._replace(
        call_id=record.call_id or one.call_id,
        created_at_seconds=record.created_at_seconds or one.created_at_seconds,
    )


def _differ(one: Record | None, other: Record) -> bool:
    return one is None or (one.checksum, size_of(one.payload)) != (other.checksum, size_of(other.payload))


def is_mark(info: RecordInfo) -> bool:
    """Tell whether a record is a mark."""
    return info.encoding.startswith(MARK)


def _mark_of(info: RecordInfo) -> Mark:
    return Mark(
        _marked(info.key), info.encoding.removeprefix(MARK), info.call_id, info.created_at_seconds, info.details
    )


def _marked(key: Key) -> Key:
    """Return the key of the mark for a record's key, and the other way round."""
    return (int.from_bytes(key) ^ _MASK).to_bytes(len(key))
