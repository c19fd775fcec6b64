"""The run of a generator function: each item is saved as it comes, and the call's record when it is exhausted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

from .. import _log
from .._books._failures import failure_key
from .._books._stats import Counters
from .._books._stream_items import (
    Items,
    Part,
    head_key,
    item_key,
    items_of,
    new_token,
    parts_of_function,
    remove_items,
    token_of,
)
from .._encoding._blame import blame
from .._errors import DamagedRecordWarning, LoadWarning, ReentrantCallError, StoreError
from .._naming import shortened
from .._record import HEAD, ITEM, ITEMS, Key, Record, size_of
from ._call import Attempt, Call
from ._engine import Engine
from ._hits import UNLESS_COPIED


class Do(Enum):
    PAUSE = auto()  # sleep for so many seconds
    WORK = auto()  # call a function of ours that may take long
    STEP = auto()  # resume the generator
    GIVE = auto()  # hand out an item, and return what the consumer sends


class Abandoned(BaseException):
    """The consumer has closed or dropped the iterator.

    This is not `GeneratorExit`, after which a course could not yield the effect that closes the generator.
    """


Effect: TypeAlias = (
    "tuple[Do, Any, object]"  # what to do, and its argument; or a function and the function's argument
)
Course: TypeAlias = Generator[Effect, Any, Any]


class Stored(NamedTuple):
    items: Items
    duration_seconds: float


def usable(engine: Engine, call: Call, record: Record | None, refused: bytes) -> Stored | None:
    """Return what the record of an exhausted generator says, or None if it may not or cannot be used."""
    function = call.function
    if record is None or (not engine.accepts(record.origin, record.created_at_seconds, function, call.id)):
        return None
    damaged = not engine._codec.is_intact(record)
    if damaged or record.origin.encoding != ITEMS:
        reason = "its checksum does not fit" if damaged else "it was saved when this was no generator function"
        engine._warn(
            DamagedRecordWarning if damaged else LoadWarning,
            f"the stored result of {function.name} for id {shortened(call.id)!r} cannot be used ({reason}): "
            f"{UNLESS_COPIED if damaged else ''}the call runs again and its result replaces it",
            once=record.key,
        )
        return None
    items = items_of(record)
    return None if items.token == refused else Stored(items, record.duration_seconds)


class _Steps(Attempt):
    """An attempt that is under way only while the generator computes an item, not while the consumer has one."""

    def __enter__(self) -> Attempt:
        self.is_over = False
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        before = self.duration_seconds
        with suppress(ValueError):  # an event loop that ends closes its generators in another context
            super().__exit__(*error)
        self.duration_seconds += before


class Run:
    """A run of a generator function, without keeping anything."""

    def __init__(
        self,
        counters: Counters,
        call: Call,
        store: Any = None,
        failures_before: int = 0,
        details_of: Callable[[Call], dict[str, Any]] | None = None,
    ) -> None:
        self.counters = counters
        self.call = call
        self.attempt = _Steps(call, store, failures_before, details_of)

    def save(self, value: object) -> None:
        """Keep an item."""

    @contextmanager
    def given(self) -> Generator[None]:
        """Surround the time in which the consumer has an item."""
        yield

    def finish(self, _value: object) -> None:
        """Note that the generator is exhausted, and keep what it returned."""
        self.counters.miss(self.attempt.duration_seconds, self.attempt.notes)
        _log.debug("ran: %s", self.call, event="ran", **self.attempt.log_fields(self.counters.step))

    def fail(self, error: Exception) -> None:
        """Note that the generator raised."""
        self.counters.failure(self.attempt.duration_seconds, self.attempt.notes)
        fields = self.attempt.log_fields(self.counters.step)
        _log.debug("raised %s: %s", type(error).__name__, self.call, event="raised", **fields)

    def drop(self) -> None:
        """Remove what was kept, since the generator was not exhausted."""


class KeptRun(Run):
    """A run of a generator function whose items are kept as they come."""

    def __init__(
        self,
        engine: Engine,
        call: Call,
        before: Record | None,
        failures: int,
        *,
        refused: bytes,
        iterator: list[Any],
        replace: bool,
    ) -> None:
        super().__init__(engine.counters, call, engine._store, failures, engine._details_of)
        self._engine = engine
        self._store = engine._store
        self._before = _intact_items(engine, before)
        self._refused = refused
        self._iterator = iterator
        self._replace = replace
        self._parts = parts_of_function(call.function)
        self._token = new_token()
        self._process = os.getpid()
        self._count = self._size_bytes = 0
        self._is_begun = self._is_lost = self._is_saving = False

    def save(self, value: object) -> None:
        self._add(value, self._parts[0], f"item {self._count}")

    @contextmanager
    def given(self) -> Generator[None]:
        place = id(self._store), self.call.key
        _holders[place] = _asker(self.call), self._iterator[0]
        try:
            yield
        finally:
            _holders.pop(place, None)

    def finish(self, value: object) -> None:
        super().finish(value)
        count = self._count
        if value is not None:
            self._add(value, self._parts[1], "what it returned")
        if self._is_elsewhere():
            return
        try:
            self._begin()
            self._close(Items(self._token, count, self._size_bytes, value is not None, self.attempt.notes))
        except StoreError as error:
            self._lose(value, str(error), error)

    def fail(self, error: Exception) -> None:
        super().fail(error)
        self._engine.note_failure(self.attempt, error)

    def drop(self) -> None:
        if self._is_begun and not self._is_saving and not self._is_elsewhere():
            self._remove()

    def _is_elsewhere(self) -> bool:
        """Tell whether this run is no longer kept, or is a fork's copy of a run in its parent."""
        return self._is_lost or os.getpid() != self._process

    def _add(self, value: object, part: Part, what: str) -> None:
        if self._is_elsewhere():
            return
        engine = self._engine
        try:
            payload, encoding = engine._codec.encode(value, part)
        except Exception as error:  # noqa: BLE001 - a serializer raises what it likes
            self._lose(value, f"{what}: {blame(value, error, engine._codec.serializer)}", error)
            return
        key = item_key(self.call.key, self._token, self._count)
        record = engine._saving.record(self.attempt, key, ITEM + encoding, payload)
        # Still True when a task is cancelled while a thread is in here: `drop` then leaves cleaning up to the next run.
        self._is_saving = True
        try:
            self._begin()
            self._store.put(record)
        except StoreError as error:
            self._is_saving = False
            self._lose(value, str(error), error)
            return
        self._is_saving = False
        self._count += 1
        size_bytes = size_of(payload)
        self._size_bytes += size_bytes
        engine.counters.saved(size_bytes)

    def _begin(self) -> None:
        """Before the first item is kept, remove what a killed run left, and note where the items of this run are."""
        if self._is_begun:
            return
        key = head_key(self.call.key)
        head = self._store.get(key)
        if head is not None and (self._before is None or token_of(head) != self._before.token):
            remove_items(self._store, self.call.key, token_of(head))
        self._store.put(
            self._engine._saving.record(self.attempt, key, HEAD, self._token), replace=head is not None
        )
        self._is_begun = True

    def _close(self, items: Items) -> None:
        engine, call = self._engine, self.call
        record = engine._saving.record(self.attempt, call.key, ITEMS, items.payload())
        if not self._store.put(record, replace=self._replace):
            if usable(engine, call, self._store.get(call.key), self._refused) is not None:
                self._remove()  # somebody else finished first
                return
            self._store.put(record, replace=True)
        engine.code.keep(record.origin, call.function)
        if self._before is not None:
            remove_items(self._store, call.key, self._before.token)
        if self.attempt.failures_before:
            self._store.delete([failure_key(call.key)])

    def _lose(self, value: object, reason: str, error: Exception) -> None:
        if self._is_begun:
            self._remove()
        self._is_lost = True
        self._engine.not_saved(self.call, value, reason, error)

    def _remove(self) -> None:
        with suppress(StoreError):  # then the next run does it
            remove_items(self._store, self.call.key, self._token)
            if self._before is None:
                self._store.delete([head_key(self.call.key)])


def exhaust(run: Run, skipped: int) -> Course:
    """Run a generator function to its end, without handing out the first `skipped` items."""
    call = run.call
    is_async = call.function.is_async_generator
    ended: type[Exception] = StopAsyncIteration if is_async else StopIteration
    generator: Any = None
    is_suspended = False
    number = 0
    argument: object = None
    try:
        step = None
        while True:
            is_suspended = False
            try:
                with run.attempt:
                    if generator is None:
                        generator = call.method(*call.args, **call.kwargs)
                    step = step or (generator.asend if is_async else generator.send)
                    value = yield Do.STEP, step, argument
            except ended as end:
                value = getattr(end, "value", None)
                break
            except Exception as error:  # not Ctrl-C, cancellation or exit, which say nothing about the call
                run.fail(error)
                raise
            is_suspended, step, argument = True, None, None
            yield Do.WORK, run.save, value
            number += 1
            if number <= skipped:
                continue
            with run.given():
                try:
                    argument = yield Do.GIVE, value, None
                except (Abandoned, GeneratorExit):
                    raise
                except BaseException as error:  # noqa: BLE001 - the consumer throws this into the generator
                    step, argument = generator.athrow if is_async else generator.throw, error
        yield Do.WORK, run.finish, value
    except BaseException as error:
        try:
            # On GeneratorExit this course itself is being closed, and nobody would act on an effect that it yields.
            if is_suspended and not isinstance(error, GeneratorExit):
                yield Do.STEP, _closing(generator, is_async=is_async), None
        finally:
            run.drop()
        raise
    return value


def _closing(generator: Any, *, is_async: bool) -> Callable[[object], Any]:
    close = generator.aclose if is_async else generator.close
    return lambda _: close()


_Asker: TypeAlias = tuple[int, object]
"""A process, and a task or thread in it."""
# Who has an item of a call under way, and so would wait for itself if it asked for that call. Also a reference to the
# iterator that handed the item out: if it was dropped, the event loop may close it only a little later.
_holders: dict[tuple[int, Key], tuple[_Asker, Callable[[], object]]] = {}


def _asker(call: Call) -> _Asker:
    """Return who is asking: a task, for an async generator, or else a thread; a child after a fork is somebody else."""
    task = None
    if call.function.is_async_generator:
        from asyncio import current_task

        with suppress(RuntimeError):  # the event loop is not asyncio's
            task = current_task()
    return os.getpid(), ref(task or threading.current_thread())


def _is_held(iterator: Callable[[], object]) -> bool:
    """Tell whether anybody still has an iterator. One in a garbage cycle is collected first, which closes it."""
    if iterator() is not None:
        import gc

        gc.collect()
    return iterator() is not None


def refuse_to_wait_for_oneself(engine: Engine, call: Call) -> None:
    asker, iterator = _holders.get((id(engine._store), call.key), (None, None))
    if asker == _asker(call) and iterator is not None and _is_held(iterator):
        message = (
            f"the call of {call} is under way in a loop around this one, which would wait for itself: exhaust or close "
            f"that iterator first"
        )
        raise ReentrantCallError(message)


def _intact_items(engine: Engine, record: Record | None) -> Items | None:
    """Return the items that a record names, if it is intact, so that they can be removed when it is replaced."""
    if record is None or record.origin.encoding != ITEMS or not engine._codec.is_intact(record):
        return None
    return items_of(record)
