"""What a far store has not got yet: noted in the near store, beside the records, so that no crash forgets it.

A mark is a record of its own, without a payload, under a key made from that of its record, and put before it. A thread
works the marks off as long as the far store answers. Whoever saves waits for it only where it is too far behind.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import NamedTuple

from .._errors import StoreError
from .._record import MARK, Key, Origin, Record, RecordInfo, size_of
from ._base import Claim, Store
from ._forks import begin_in_children

SAVE, REPLACE, DELETE = "save", "replace", "delete"

_AT_ONCE = 64
_LONGEST_QUEUE = 1000
_FULL_SECONDS = 0.01
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_YOUNG_SECONDS = 60.0  # the record of such a mark may be about to come
_FUNCTION = "skipstone"  # no function has this name: a module comes before each
_MASK = 0x5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A


class Mark(NamedTuple):
    """Something that a far store is to get."""

    key: Key
    action: str
    call_id: str
    created_at_seconds: float
    details: bytes = b""

    def as_record(self) -> Record:
        """Return the record that tells of it."""
        origin = Origin(_FUNCTION, "", f"{MARK}{self.action}", b"", "", "", 0)
        return Record(
            _marked(self.key), b"", origin, 0.0, b"", self.call_id, self.created_at_seconds, self.details
        )


class UntilCopied:
    """A claim of the far store, which is given back when that has got the record."""

    def __init__(self, key: Key, claim: Claim, backlog: Backlog) -> None:
        self._key = key
        self._claim = claim
        self._backlog = backlog

    def __enter__(self) -> None:
        """Nothing to do: it is in use already."""

    def __exit__(self, *_: object) -> None:
        """Give the claim back, or leave that to who copies the record."""
        self._backlog.when_copied(self._key, self._claim)


class Backlog:
    """Copies to the far store what it has not got yet."""

    def __init__(self, near: Store, far: Store, far_failed: Callable[[StoreError], None]) -> None:
        self._near = near
        self._far = far
        self._far_failed = far_failed
        self.deleted: set[Key] = set()
        """Keys whose records the far store is still to delete."""
        begin_in_children(self)

    def begin(self) -> None:
        """In a process that was forked, there is no thread; what is queued is the other process's business."""
        self._lock, self._copying, self._noting = threading.RLock(), threading.RLock(), threading.RLock()
        self._has_looked = False
        # Reentrant, unlike `Queue` and `Event`: garbage is collected at any time, and what ends then may save something.
        self._queue: queue.SimpleQueue[Mark] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sleep = threading.Lock()
        """Held, until the thread is to wake up."""
        self._sleep.acquire()
        self.is_behind = False
        """Whether there are marks that are not in the queue."""
        self._is_closing = False
        self._uncopied: set[Key] = set()
        """Keys whose records this process has saved, and the far store is about to get."""
        self._claims: dict[Key, Claim] = {}
        """Claims of the far store that end then."""

    def look(self) -> None:
        """Find out, once in each process, what was left to do by those before."""
        if self._has_looked:
            return
        with self._lock:
            if self._has_looked:
                return
            with suppress(StoreError):  # who uses the near store will hear of it
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
        """Put records into the near store alone, and have them copied; waits where too many are queued already.

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
            for action in (SAVE, REPLACE):
                some = [mark.as_record() for mark in marks if mark.action == action]
                if some:
                    # What is put behind a replacement that waits, and is not kept, must not take the place of its mark.
                    self._near.put_many(some, replace=action == REPLACE)
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

    def when_copied(self, key: Key, claim: Claim) -> None:
        """Give a claim back as soon as the far store has the record; at once where there is none, or it is away."""
        with self._lock:
            if key in self._uncopied and not self.is_behind:
                self._claims[key] = claim
                return
        claim.__exit__(None, None, None)

    def taken_back(self, key: Key) -> Claim | None:
        """Return the claim that is about to be given back, for somebody on this machine who wants it meanwhile."""
        with self._lock:
            return self._claims.pop(key, None)

    def _give_back(self, keys: Collection[Key]) -> None:
        with self._lock:
            self._uncopied.difference_update(keys)
            claims = [self._claims.pop(key) for key in keys if key in self._claims]
        for claim in claims:
            with suppress(StoreError):  # it lapses
                claim.__exit__(None, None, None)

    def resting(self) -> AbstractContextManager[object]:
        """Return a context in which nothing is copied by this process."""
        return self._copying

    def note_deletions(self, keys: Sequence[Key]) -> None:
        """The far store does not answer: it is to delete these later.

        Raises:
            StoreError: The near store does not answer either.
        """
        self._near.put_many([Mark(key, DELETE, "", 0.0).as_record() for key in keys], replace=True)
        self.deleted.update(keys)
        self.fall_behind()

    def fall_behind(self) -> None:
        """The far store does not answer: marks stay where they are for now."""
        self.is_behind = True
        self._give_back(list(self._uncopied))
        self._begin_work()

    def far_answers(self) -> None:
        """Go on at once if there is something left to do."""
        if self.is_behind:
            self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it is woken already
            self._sleep.release()

    def _is_thread(self) -> bool:
        """Tell whether this is the thread that copies, which waits neither for itself nor for its end."""
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
                    self._sleep.acquire(timeout=pause_seconds)
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
        while not self._queue.empty():  # they are among the marks, too
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
        """Let the thread end."""
        self._is_closing = True
        self._wake()
        thread = self._thread
        # It stays known until it has ended: if the far store fails meanwhile, no other one begins.
        if thread is not None and not self._is_thread():
            thread.join()
        with self._lock:
            if self._thread is thread:
                self._thread = None
        self._has_looked = False

    def _work_off(self, marks: Sequence[Mark]) -> None:
        last: dict[Key, Mark] = {}
        for mark in marks:
            if mark.action != SAVE or mark.key not in last:  # else it was not kept: there was another record
                last[mark.key] = mark
        with self._copying:
            deleted = [mark.key for mark in last.values() if mark.action == DELETE]
            self._far.delete(deleted)
            self.deleted.difference_update(deleted)
            sent, first = self._sent([mark for mark in last.values() if mark.action != DELETE])
            with self._noting:
                now = self._near.get_many(list(sent))
                # What was replaced while it was copied is left for the next time.
                changed = {key for key, record in sent.items() if _differ(now.get(key), record)}
                self._near.put_many([each for each in first if each.key not in changed], replace=True)
                before = time.time() - _YOUNG_SECONDS
                waits = {key for key, mark in last.items() if key not in sent and mark.created_at_seconds > before}
                self._near.delete([_marked(key) for key in last.keys() - changed - waits])
        self._give_back(last.keys())

    def _sent(self, marks: Sequence[Mark]) -> tuple[dict[Key, Record], list[Record]]:
        """Put what the near store has of these into the far one.

        Returns:
            What that is; and those records that the far store had before: they are the ones to keep.
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
    """Return a record of the same call as another one, with what a look-up may have left out."""
    return record._replace(
        call_id=record.call_id or one.call_id,
        created_at_seconds=record.created_at_seconds or one.created_at_seconds,
    )


def _differ(one: Record | None, other: Record) -> bool:
    return one is None or (one.checksum, size_of(one.payload)) != (other.checksum, size_of(other.payload))


def is_mark(info: RecordInfo) -> bool:
    """Tell whether a record is one of ours."""
    return info.encoding.startswith(MARK)


def _mark_of(info: RecordInfo) -> Mark:
    return Mark(
        _marked(info.key), info.encoding.removeprefix(MARK), info.call_id, info.created_at_seconds, info.details
    )


def _marked(key: Key) -> Key:
    """Return the key of a record's mark; of a mark's key, that of its record."""
    return (int.from_bytes(key) ^ _MASK).to_bytes(len(key))
