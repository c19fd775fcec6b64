"""A window over the calls of a map, which are read, looked up, handed to workers, and given out.

Done calls are found many at a time, and make no trip through the workers. At most `window` items are held, however many
there are. The driver, `_map` or `_map_async`, asks for the next items, and waits in its own way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice, repeat, starmap
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from .. import _log
from .._books._runs import RunningMap
from .._engine._batch import alone
from .._engine._call import Call
from .._engine._outcomes import Outcome, Raised
from .._functions._function import KnownFunction
from .._functions._unstable import check_ids
from .._naming import shortened
from .._workers._crew import Crew
from ._items import MapSettings, Source
from ._pieces import Found, Item, Piece, runs_of
from ._progress import Progress

_FIRST_BLOCK, _LARGEST_BLOCK = 16, 500
_LONGEST_READ_SECONDS = 0.05
_ENOUGH_CALLS = 64
_WINDOW_ITEMS, _WINDOW_ITEMS_PER_WORKER = 1000, 16
_QUICK_CALL_SECONDS = 20e-6
MOMENT_SECONDS = 1.0
"""How often a map records its progress while it waits."""


Ended: TypeAlias = tuple[Future[list[Outcome]], list[Item]]
"""A chunk that has ended: its future, and its items."""


class Window:
    """The items that a map holds, from being read to being given out."""

    def __init__(
        self,
        engine: Any,
        function: KnownFunction,
        method: Callable[..., Any],
        source: Source,
        crew: Crew,
        *,
        settings: MapSettings,
        progress: Progress,
    ) -> None:
        self.engine = engine
        self.function = function
        self._method = method
        self._source = source
        self._crew = crew
        self._settings = settings
        self.progress = progress
        self._items: deque[Found | Item] = deque()  # to be given out; if not ordered, only those with an outcome
        self._held = 0
        self._ready: deque[Item] = deque()
        self._in_flight: dict[Future[list[Outcome]], tuple[list[Item], float]] = {}
        self.ended: SimpleQueue[Ended] = SimpleQueue()
        self._lock = threading.RLock()
        self.is_over: bool = False
        self._is_begun = self._is_started = self._is_exhausted = self._is_stopping = False
        self._drops_results = False
        self.on_end: Callable[[], object] = lambda: None
        """Called when a chunk has ended, perhaps in another thread."""
        self._window = self._window_items()
        self._block = min(_FIRST_BLOCK, self._window)
        self._seconds_per_call = 0.0
        self._before = engine.counters.stats()
        self._started_at_seconds = time.time()

    def _window_items(self) -> int:
        """Return how many items are held at most."""
        workers, batch_size = self._crew.workers, self._settings.batch_size or 1
        most = max(_WINDOW_ITEMS, _WINDOW_ITEMS_PER_WORKER * workers, 4 * workers * batch_size)
        return self._settings.window or most

    def drop_results(self) -> None:
        """Hold no items that are done, since nobody wants results; without effect once results were asked for."""
        self._drops_results = not self._is_begun

    def poll(self, most: int) -> Piece | Literal["wait", "end"]:
        """Do what can be done now, and return the next items with an outcome, or what the caller should do.

        Returns:
            Up to `most` items, or an empty list if the caller should ask again at once.

        Raises:
            Exception: What a call raised, if that ends the map.
        """
        if self._can_read():
            self._read()
        self._hand_out()
        while not self.ended.empty():
            self.take(self.ended.get())
        piece = self._next(most)
        self._held -= len(piece)
        if piece or self._can_read():
            return piece
        return "wait" if self._held else "end"

    def _next(self, most: int) -> Piece:
        items = self._items
        if items and isinstance(items[0], Found):
            found = items[0]
            items.popleft()
            if len(found) > most:
                items.appendleft(found[most:])
            return found[:most]
        ready: list[Item] = []
        while items and len(ready) < most and isinstance(item := items[0], Item) and item.outcome is not None:
            ready.append(item)
            items.popleft()
        return ready

    def _can_read(self) -> bool:
        has_room = self._crew.takes_all or self._held + self._block <= self._window
        return has_room and not self._is_exhausted

    def _read(self) -> None:
        """Read a block of input, and find out which of its calls are done."""
        if not self._is_begun:
            self._is_begun = True
            self.engine.runs.begin(self.running)
        args, ids, is_last = self._read_block()
        check_ids(self.function, ids, args)
        keys = list(map(self.function.key, ids))
        stored = self.engine.done(self.function, keys)
        held = list(runs_of(args, ids, keys, stored))
        missing = [each for each in held if isinstance(each, Item)]
        self.progress.found(len(keys) - len(missing))
        left_alone = list(self._left_alone(missing))
        for item, outcome in left_alone:
            item.outcome = outcome
        if left_alone:
            self.progress.ran(0, failed=len(left_alone))
            self.engine.counters.left_alone(len(left_alone))
        to_run = [item for item in missing if item.outcome is None]
        if not self._drops_results:
            waits = self._settings.ordered
            self._items.extend(
                each for each in held if waits or isinstance(each, Found) or each.outcome is not None
            )
        # In one step: otherwise a chunk that ends in between could take an incomplete batch for the last one.
        with self._lock:
            self._is_exhausted = is_last
            self._held += len(to_run if self._drops_results else keys)
            self._block = min(2 * self._block, _LARGEST_BLOCK, self._window)
            self._ready.extend(to_run)

    def _read_block(self) -> tuple[list[tuple[Any, ...]], list[object], bool]:
        """Read some input; return arguments and ids, and whether the input has ended."""
        block: list[tuple[Any, ...]] = []
        ids: list[object] = []
        until, at_once = time.monotonic() + _LONGEST_READ_SECONDS, 1
        while len(block) < self._block and time.monotonic() < until:
            at_once = min(2 * at_once, self._block - len(block))
            some = list(islice(self._source.args, at_once))
            ids.extend(starmap(self._source.id_of, some))
            block.extend(some)
            if len(some) < at_once:
                return block, ids, True
        return block, ids, False

    def _left_alone(self, items: list[Item]) -> Iterator[tuple[Item, Raised]]:
        """Yield the items that have failed too often to be tried again, with their failures."""
        most = self._settings.skip_failed_after
        if most is None or not items:
            return
        failures = self.engine.failures_of({item.key: item.id for item in items})
        for item in items:
            failure = failures.get(item.key)
            if failure is not None and failure.attempts >= most:
                yield item, Raised(failure, RuntimeError(failure.error))

    def _hand_out(self) -> None:
        """Give missing calls to the workers, as many as they can take. Also called when a chunk has ended."""
        with self._lock:
            if not self._is_started and self._has_chunk() and not self._is_stopping:
                self._crew.start()
                self._is_started = True
                self._window = self._window_items()
            while self._has_chunk() and not self._is_stopping and len(self._in_flight) < self._most_in_flight():
                if not threading.main_thread().is_alive():
                    return  # the interpreter is about to exit, and only waits for calls in flight
                chunk = [self._ready.popleft() for _ in range(min(self._chunk_size(), len(self._ready)))]
                try:
                    future = self._crew.submit([(item.id, item.key, item.args) for item in chunk])
                except Exception as error:  # noqa: BLE001 - the executor was shut down, or is broken
                    future = Future()
                    future.set_exception(error)
                self._in_flight[future] = (chunk, time.monotonic())
                future.add_done_callback(self._on_end)
            self._crew.begin()

    def _on_end(self, future: Future[list[Outcome]]) -> None:
        with self._lock:
            chunk, began = self._in_flight.pop(future)
            # An upper bound, since the chunk may have waited for a worker; it falls as chunks grow.
            self._seconds_per_call = (time.monotonic() - began) / len(chunk)
        self.ended.put((future, chunk))
        self._hand_out()
        self.on_end()

    def _has_chunk(self) -> bool:
        """Tell whether there is something to hand out; an incomplete batch waits for more input."""
        if self._crew.takes_all and not self._is_exhausted:
            return False
        return len(self._ready) >= ((self._settings.batch_size or 1) if self._can_read() else 1)

    def _most_in_flight(self) -> int:
        most = self._crew.workers * self._crew.chunks_per_worker
        if not self._are_calls_quick():
            return most
        # Saving takes longer than running, so more workers would only get in each other's way: one is enough, and one
        # more for each chunk that seems to be stuck.
        until = time.monotonic() - MOMENT_SECONDS
        return min(most, 1 + sum(began < until for _, began in self._in_flight.values()))

    def _are_calls_quick(self) -> bool:
        now = self.engine.counters.stats()
        runs = now.misses - self._before.misses
        seconds_run: float = now.seconds_run - self._before.seconds_run
        return bool(runs >= _ENOUGH_CALLS and seconds_run / runs < _QUICK_CALL_SECONDS)

    def _chunk_size(self) -> int:
        if self._settings.batch_size is not None:
            return self._settings.batch_size
        if not self._seconds_per_call:
            return 1
        most = max(1, len(self._ready) // min(self._crew.workers, self._most_in_flight()))
        return min(self._crew.largest_chunk, most, int(self._crew.chunk_seconds / self._seconds_per_call) + 1)

    def take(self, ended: Ended) -> None:
        """Note the outcomes of a chunk that has ended."""
        future, chunk = ended
        outcomes = future.result()
        failed = sum(map(isinstance, outcomes, repeat(Raised)))
        self.progress.ran(len(outcomes) - failed, failed=failed)
        for item, outcome in zip(chunk, outcomes, strict=False):
            item.outcome = outcome
            if self._drops_results:
                self._held -= 1
            elif not self._settings.ordered:
                self._items.append(item)
            if failed and isinstance(outcome, Raised) and self._settings.raises and not self._is_stopping:
                raise self._noted(outcome.error, item)

    def _noted(self, error: Exception, item: Item) -> Exception:
        error.add_note(f"raised by {self.function.name} for id {shortened(item.id)!r}")
        return error

    def call_of(self, item: Item) -> Call:
        """Return the call of an item, to be run by whoever wants its result."""
        call = Call(self.function, item.key, item.id, self._method, item.args, {})
        return call if self._settings.batch_size is None else alone(call)

    def failed(self, item: Item, error: Exception) -> object:
        """Return the failure of a call that has just raised, or raise its error, depending on `on_error`."""
        if self._settings.raises:
            raise self._noted(error, item) from None
        return self.engine.failure(self.call_of(item), error)

    def wait(self) -> None:
        """Wait for a chunk to end, or for a moment."""
        try:
            self.take(self.ended.get(timeout=MOMENT_SECONDS))
        except Empty:
            self.engine.runs.tick()

    def running(self) -> RunningMap:
        """Return how far the map is."""
        progress = self.progress
        return RunningMap(
            self.function.name,
            progress.total,
            progress.before,
            progress.now,
            progress.failed,
            self._crew.workers,
            self._started_at_seconds,
        )

    def stop(self) -> list[Future[list[Outcome]]]:
        """Hand out nothing more; return what is in flight."""
        with self._lock:
            self._is_stopping = True
            self._ready.clear()
            futures = list(self._in_flight)
        self._crew.cancel(futures)
        return futures

    def take_what_ended(self) -> None:
        """Note the outcomes of chunks that ended after the map was stopped."""
        while not self.ended.empty():
            future, chunk = self.ended.get()
            # Do not raise errors again: many futures may share one, whose traceback would grow with each.
            if not future.cancelled() and future.exception() is None:
                with suppress(BaseException):
                    self.take((future, chunk))

    def close(self, *, is_over: bool, is_late: bool = False) -> None:
        """Let the workers go, and log how far the map came."""
        self._crew.end(at_once=is_late)
        self.progress.close()
        self.engine.runs.end(self.running)
        self.is_over = True
        if is_over or self._is_all_done():
            _log.info("%s: %s", self.function.name, self.progress)
        else:
            _log.warning("%s: stopped, %s. Run it again to go on.", self.function.name, self.progress)

    def _is_all_done(self) -> bool:
        """Tell whether nothing is left to do, even if the end was not asked for, as in `zip(items, results)`."""
        progress = self.progress
        if progress.failed and self._settings.raises:
            return False
        return progress.before + progress.now + progress.failed == progress.total or (
            self._is_exhausted and not self._held
        )
