"""Many calls of one function: what is done is found a window at a time, what is missing is run by workers.

The consumer's thread reads the input, looks items up and hands results out; workers run calls and save their results.
An item that is done costs no trip through the workers, and its result is loaded when it is its turn. At most `window`
items are held, whatever their number.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from . import _log
from ._call import Call, check_id
from ._engine import MISS
from ._function import KnownFunction
from ._items import MapSummary
from ._naming import shortened
from ._progress import Progress
from ._record import Key
from ._workers import Crew, Outcome, Raised, Returned, Stored

R = TypeVar("R")

_FIRST_BLOCK, _LARGEST_BLOCK = 16, 500
_LONGEST_READ_SECONDS = 0.05
_LARGEST_CHUNK = 64
_CHUNKS_PER_WORKER = 2


class Item:
    """One call of a map. Its outcome is None until it ran; where it need not run, it is `Stored` at once."""

    __slots__ = ("args", "id", "key", "outcome")

    def __init__(self, args: tuple[Any, ...], call_id: object, key: Key) -> None:
        self.args = args
        self.id = call_id
        self.key = key
        self.outcome: Outcome | None = None


class Options(NamedTuple):
    """How a map is done."""

    ordered: bool
    raises: bool
    window: int
    workers: int
    grace_seconds: float
    skip_failed_after: int | None


class MapResults(Iterator[R]):
    """The results of `Checkpoint.map`, as they become ready. Work goes on between two of them.

    To be used in a `for` loop, or as a context manager around one: at its end, calls in flight finish and are saved,
    and no further ones begin.
    """

    def __init__(self, run: Run) -> None:
        self._run = run  # that knows nothing of this one: so it ends when this one is not used any more
        self._results = run.results()
        self._process = os.getpid()
        _under_way.add(self)

    def __iter__(self) -> MapResults[R]:
        """Return itself."""
        return self

    def __next__(self) -> R:
        """Return the next result; with `on_error="return"`, or of a call that is left alone, a `Failure`."""
        result: R = next(self._results)
        return result

    def __enter__(self) -> MapResults[R]:
        """Return itself; it is closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Begin no further calls, and let those in flight finish and be saved."""
        self._results.close()

    def drain(self) -> MapSummary:
        """Run all missing calls, without loading or returning any result.

        Raises:
            Exception: What a call raises, unless `on_error` is "return".
        """
        self._run.gives_values = False
        for _ in self._results:
            pass
        return self.summary()

    def summary(self) -> MapSummary:
        """Return what was done so far."""
        progress = self._run.progress
        return MapSummary(progress.before, progress.now, progress.failed)


_under_way: WeakSet[MapResults[Any]] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop what an exception outside of a map has left behind."""
    for results in list(_under_way):
        if results._process == os.getpid() and not results._run.is_over:
            results.close()


class Run:
    """The work of one map."""

    def __init__(
        self,
        *,
        engine: Any,
        function: KnownFunction,
        method: Callable[..., Any],
        source: Iterator[tuple[object, tuple[Any, ...]]],
        crew: Crew,
        options: Options,
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._function = function
        self._method = method
        self._source = source
        self._crew = crew
        self._options = options
        self.progress = progress
        self._items: deque[Item] = deque()  # in the order of input, or else only those with an outcome
        self._held = 0
        self._ready: deque[Item] = deque()
        self._in_flight: dict[Future[list[Outcome]], tuple[list[Item], float]] = {}
        self._chunks: dict[Future[list[Outcome]], list[Item]] = {}
        self._ended: SimpleQueue[Future[list[Outcome]]] = SimpleQueue()
        self._lock = threading.RLock()
        self.is_over = self._is_exhausted = self._is_stopping = self._is_late = False
        self._block = min(_FIRST_BLOCK, options.window)
        self._seconds_per_call = 0.0
        self.gives_values = True

    def results(self) -> Generator[Any]:
        """Yield results; when it ends or is closed, so does the work."""
        try:
            with _terminable():
                while (item := self._next_item()) is not None:
                    result = self._result(item)
                    if self.gives_values:
                        yield result
            self.is_over = True
        finally:
            if not self.is_over:
                self._stop()
            self._crew.end(at_once=self._is_late)
            self.progress.close()
            if self.is_over:
                _log.info("%s: %s", self._function.name, self.progress)
            else:
                self.is_over = True
                _log.warning("%s: stopped, %s. Run it again to go on.", self._function.name, self.progress)

    def _next_item(self) -> Item | None:
        """Return the next item with an outcome, or None where there is none any more."""
        while True:
            self._fill()
            self._hand_out()
            while not self._ended.empty():
                self._take(self._ended.get())
            if not self._held:
                return None
            if self._items and self._items[0].outcome is not None:
                self._held -= 1
                return self._items.popleft()
            self._take(self._ended.get())

    def _fill(self) -> None:
        """Read input where there is room for it, and find out what of it is done."""
        while not self._is_exhausted and self._held + self._block <= self._options.window:
            block = self._read_block()
            stored = self._engine.done(self._function, [item.key for item in block])
            missing = [item for item in block if item.key not in stored]
            self.progress.found(len(block) - len(missing))
            left_alone = self._left_alone(missing)
            for item in block:
                if item.key in stored:
                    item.outcome = Stored()
                elif item.key in left_alone:
                    item.outcome = left_alone[item.key]
                    self.progress.ran(failed=True)
            self._held += len(block)
            self._items.extend(item for item in block if self._options.ordered or item.outcome is not None)
            with self._lock:
                self._ready.extend(item for item in block if item.outcome is None)
            self._block = min(2 * self._block, _LARGEST_BLOCK, self._options.window)
            if self._items and self._items[0].outcome is not None:
                return  # there is a result to give: the rest of the input can wait

    def _read_block(self) -> list[Item]:
        block: list[Item] = []
        until = time.monotonic() + _LONGEST_READ_SECONDS
        for call_id, args in self._source:
            check_id(self._function, call_id)
            block.append(Item(args, call_id, self._function.key(call_id)))
            if len(block) >= self._block or time.monotonic() > until:
                return block
        self._is_exhausted = True
        return block

    def _left_alone(self, items: list[Item]) -> dict[Key, Raised]:
        """Return the failures of those items that have failed too often to be tried again."""
        most = self._options.skip_failed_after
        if most is None or not items:
            return {}
        failures = self._engine.failures_of({item.key: item.id for item in items})
        return {
            key: Raised(failure, RuntimeError(failure.error))
            for key, failure in failures.items()
            if failure.attempts >= most
        }

    def _hand_out(self) -> None:
        """Give the workers what is missing, as far as they can take it. Also called when a chunk has ended."""
        with self._lock:
            while self._ready and not self._is_stopping and len(self._in_flight) < self._most_in_flight():
                if not threading.main_thread().is_alive():
                    return  # the interpreter is about to exit, and waits for calls in flight
                chunk = [self._ready.popleft() for _ in range(min(self._chunk_size(), len(self._ready)))]
                try:
                    future = self._crew.submit([(item.id, item.key, item.args) for item in chunk])
                except Exception as error:  # noqa: BLE001 - an executor that was shut down, or is broken
                    future = Future()
                    future.set_exception(error)
                self._in_flight[future] = (chunk, time.monotonic())
                future.add_done_callback(self._on_end)

    def _on_end(self, future: Future[list[Outcome]]) -> None:
        with self._lock:
            chunk, began = self._in_flight.pop(future)
            # It may have waited for a worker: an upper bound, that falls as chunks grow.
            self._seconds_per_call = (time.monotonic() - began) / len(chunk)
            self._chunks[future] = chunk
        self._ended.put(future)
        self._hand_out()

    def _most_in_flight(self) -> int:
        return self._options.workers * _CHUNKS_PER_WORKER

    def _chunk_size(self) -> int:
        if not self._seconds_per_call:
            return 1
        most = max(1, len(self._ready) // self._options.workers)
        return min(_LARGEST_CHUNK, most, int(self._crew.chunk_seconds / self._seconds_per_call) + 1)

    def _take(self, future: Future[list[Outcome]]) -> None:
        """Note the outcomes of a chunk that has ended."""
        with self._lock:
            chunk = self._chunks.pop(future)
        for item, outcome in zip(chunk, future.result(), strict=False):
            item.outcome = outcome
            self.progress.ran(failed=isinstance(outcome, Raised))
            if not self._options.ordered:
                self._items.append(item)
            if isinstance(outcome, Raised) and self._options.raises and not self._is_stopping:
                raise self._noted(outcome.error, item)

    def _noted(self, error: Exception, item: Item) -> Exception:
        error.add_note(f"raised by {self._function.name} for id {shortened(item.id)!r}")
        return error

    def _result(self, item: Item) -> Any:
        outcome = item.outcome
        if isinstance(outcome, Returned):
            return outcome.value
        if isinstance(outcome, Raised):
            return outcome.failure
        if not self.gives_values:
            return None
        value = self._engine.load(self._function, item.key, item.id)
        if value is not MISS:
            return value
        # It was damaged or deleted since it was looked up, or was made by code that is to be run again.
        call = Call(self._function, item.key, item.id, self._method, item.args, {})
        try:
            return self._engine.run(call)
        except Exception as error:  # noqa: BLE001 - the function raises what it likes
            if self._options.raises:
                raise self._noted(error, item) from None
            return self._engine.failure(call, error)

    def _stop(self) -> None:
        """Begin no further calls, and wait for those in flight, so that they are saved."""
        with self._lock:
            self._is_stopping = True
            self._ready.clear()
            futures = list(self._in_flight)
        self._crew.cancel(futures)
        self._is_late = bool(wait(futures, timeout=self._options.grace_seconds).not_done)
        while not self._ended.empty():
            with suppress(BaseException):
                self._take(self._ended.get())


@contextmanager
def _terminable() -> Generator[None]:
    """Turn SIGTERM, which ends a process at once unless somebody handles it, into SystemExit."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
