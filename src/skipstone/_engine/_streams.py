"""What happens to a call of a generator function: it is saved item by item, and a hit replays it.

Sync and async generators share one course of events, a generator of effects; two drivers act on them and hand the
items out. They differ in who sleeps and who awaits, and in nothing else.

- Nothing is looked up before the first item is asked for. From then on the claim is held until the generator is
  exhausted, raises, or is closed or dropped; the others wait.
- An item is saved before it is handed out; the call is done when the generator is exhausted, and so is its record.
- One that raises or is left early stores nothing: the next run starts anew.
- A hit reads item after item, without the claim, and counts when it begins. `send` and `throw` reach a generator
  that runs; a replay ignores what is sent, and ends with what is thrown.
- Where an item cannot be read, and no other store has a copy, the generator function runs, and the items that were
  handed out already are skipped.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from typing import Any
from weakref import ref

from .. import _log
from .._books._stream_items import Items, item_key, parts_of_function
from .._encoding._codec import DamagedPayloadError, RefusedResultError, UnreadableResultError
from .._errors import DamagedRecordWarning, LoadWarning, StoreError
from .._record import Record, size_of
from ..stores._base import renewed
from ._beside import in_thread
from ._call import Call, Turn
from ._engine import Engine
from ._hits import MISS, UNLESS_COPIED
from ._null_engine import NullEngine
from ._saving import LARGE_BYTES
from ._stream_runs import Course, Do, KeptRun, Left, Run, exhaust, refuse_to_wait_for_oneself, usable


def stream(engine: Engine | NullEngine, call: Call, *, replace: bool = False) -> Any:
    """Return the generator, or async generator, that replays a call or runs it."""
    handed_out: list[Any] = []  # a weak reference to what is returned: the course asks whether it was dropped
    if isinstance(engine, NullEngine):
        course = exhaust(Run(engine.counters, call), 0)
    else:
        course = _replay_or_run(engine, call, handed_out, replace=replace)
    iterator = _driven_async(course) if call.function.is_async_generator else _driven(course)
    handed_out.append(ref(iterator))
    return iterator


def _driven(course: Course) -> Generator[Any, Any, Any]:
    answer: object = None
    error: BaseException | None = None
    try:
        while True:
            try:
                do, what, argument = course.send(answer) if error is None else course.throw(error)
            except StopIteration as end:
                return end.value
            answer, error = None, None
            try:
                if do is Do.GIVE:
                    answer = yield what
                elif do is Do.PAUSE:
                    time.sleep(what)
                else:
                    answer = what(argument)
            except GeneratorExit:
                error = Left()
            except BaseException as raised:  # noqa: BLE001 - the course decides
                error = raised
    except Left:
        raise GeneratorExit from None
    finally:
        error = None  # its traceback has this frame


async def _driven_async(course: Course) -> AsyncGenerator[Any, Any]:
    from asyncio import sleep

    answer: object = None
    error: BaseException | None = None
    try:
        while True:
            try:
                do, what, argument = course.send(answer) if error is None else course.throw(error)
            except StopIteration:
                return
            answer, error = None, None
            try:
                if do is Do.GIVE:
                    answer = yield what
                elif do is Do.PAUSE:
                    await sleep(what)
                elif do is Do.WORK:
                    answer = await in_thread(what, argument)
                else:
                    answer = await what(argument)
            except GeneratorExit:
                error = Left()
            except BaseException as raised:  # noqa: BLE001 - the course decides
                error = raised
    except Left:
        raise GeneratorExit from None
    finally:
        error = None


def _replay_or_run(engine: Engine, call: Call, handed_out: list[Any], *, replace: bool) -> Course:
    stored = None if replace else usable(engine, call, engine._get(call.function, call.key), b"")
    given, refused = 0, b""
    while True:
        with engine.turn(call) as turn:
            if stored is None:
                stored = yield from _wait(engine, call, turn, refused, replace=replace)
            if stored is None:
                [(before, attempt)] = engine.look_again(call)
                failures = attempt.failures_before
                stored = None if replace else usable(engine, call, before, refused)
                if stored is None:
                    run = KeptRun(
                        engine, call, before, failures, refused=refused, iterator=handed_out, replace=replace
                    )
                    return (yield from exhaust(run, given))
        if given == 0:
            engine.replays(call, stored.items, stored.duration_seconds)
            _log.debug("hit: %s", call, event="hit", **call.told(engine.counters.step))
        reader = _Reader(engine, call, stored.items)
        while given < stored.items.number:
            value = yield from reader.read(given)
            if value is MISS:
                break
            given += 1
            yield Do.GIVE, value, None
        else:
            value = yield from reader.returned()
            if value is not MISS:
                return value
        if reader.is_refused:  # what is stored is not to be replaced
            return (yield from exhaust(Run(engine.counters, call), given))
        refused, stored = stored.items.token, None


def _wait(engine: Engine, call: Call, turn: Turn, refused: bytes, *, replace: bool) -> Course:
    """Wait for the claim; return a stored result if there is one while somebody else has it."""
    for seconds in turn.pauses():
        if seconds == 0:
            refuse_to_wait_for_oneself(engine, call)
            engine._just_missed = None
            record = None if replace else engine._get(call.function, call.key)
            stored = usable(engine, call, record, refused)
            if stored is not None:
                return stored
        yield Do.PAUSE, seconds, None
    return None


class _Reader:
    """Reads items one by one. A store that reads ahead does so within its own bounds."""

    def __init__(self, engine: Engine, call: Call, items: Items) -> None:
        self._engine = engine
        self._call = call
        self._items = items
        self._parts = parts_of_function(call.function)
        self.is_refused = False

    def read(self, number: int) -> Course:
        """Return one item, or MISS."""
        engine = self._engine
        try:
            record = engine._store.get(item_key(self._call.key, self._items.token, number))
        except StoreError as error:
            engine._store_failed(error)
            return MISS
        if record is None:
            self._warn(number, LoadWarning, "is missing")
            return MISS
        if size_of(record.payload) < LARGE_BYTES:
            return self._decode((number, record))
        return (yield Do.WORK, self._decode, (number, record))

    def returned(self) -> Course:
        """Return what the generator returned, or MISS."""
        return (yield from self.read(self._items.number)) if self._items.has_value else None

    def _decode(self, found: tuple[int, Record]) -> object:
        number, record = found
        try:
            return self._engine._codec.decode(record, self._parts[number == self._items.number])
        except DamagedPayloadError as error:
            self._warn(number, DamagedRecordWarning, f"is damaged ({error})", UNLESS_COPIED)
            copy = self._copy_of(record)
            return MISS if copy is None or copy == record else self._decode((number, copy))
        except UnreadableResultError as error:
            self.is_refused = isinstance(error, RefusedResultError)
            self._warn(number, LoadWarning, f"cannot be loaded ({error})")
        return MISS

    def _copy_of(self, record: Record) -> Record | None:
        """Return what another store has of an item. It takes no claim: under its key there is never anything else."""
        try:
            return renewed(self._engine._store, [record.key]).get(record.key)
        except StoreError as error:
            self._engine._store_failed(error)
            return None

    def _warn(self, number: int, category: type[LoadWarning], what: str, unless: str = "") -> None:
        self._engine._warn(
            category,
            f"item {number} of the stored result of {self._call} {what}: {unless}the call runs again, and the items "
            f"that were handed out already are skipped",
            once=(self._call.key, self._items.token),
        )
