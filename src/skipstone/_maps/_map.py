"""Many calls of one function: what is done is found a window at a time, what is missing is run by workers.

The consumer's thread reads the input, looks items up and hands results out; workers run calls and save their results.
An item that is done costs no trip through the workers, and its result is loaded when it is its turn. At most `window`
items are held, whatever their number.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from .._engine._hits import MISS
from .._functions._function import known
from .._workers._crew import Job
from .._workers._workers import ExecutorLike, crew_for, is_unhandled
from ._items import MapSettings, MapSummary, count_of, source_of
from ._loading import Loader
from ._pieces import Item, Piece
from ._progress import Progress
from ._window import Window

if TYPE_CHECKING:
    from types import GeneratorType

    from .._checkpoint import Checkpoint

R = TypeVar("R")

_MOMENT_SECONDS = 0.005
_LARGEST_PIECE = 250


class MapResults(Iterator[R]):
    """The results of `Checkpoint.map`, as they become ready. Work goes on between two of them.

    Use it in a `for` loop, or as a context manager around one: at its end, calls in flight finish and are saved,
    and no further ones begin.
    """

    __module__ = "skipstone"

    def __init__(self, window: Window, grace_seconds: float) -> None:
        self._window = window  # that knows nothing of this one: so it ends when this one is not used any more
        self._pieces = _pieces(window, grace_seconds)
        self._results = _results(window, self._pieces)
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
        self._pieces.close()

    def drain(self) -> MapSummary:
        """Run all missing calls, without loading or returning any result.

        Raises:
            Exception: What a call raises, unless `on_error` is "return".
        """
        self._window.drop_results()
        for _ in self._pieces:
            pass
        return self.summary()

    def __repr__(self) -> str:
        """Name the function, and say how far it is."""
        return f"<{type(self).__name__} of {self._window.function.name}: {self._window.progress}>"

    def summary(self) -> MapSummary:
        """Return what was done so far."""
        return self._window.progress.summary()


def mapped(
    checkpoint: Checkpoint,
    method: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    id: str | Callable[..., object] | None,
    *,
    settings: MapSettings,
    executor: ExecutorLike,
    workers: int | None,
) -> MapResults[Any]:
    """See `Checkpoint.map`."""
    function, _ = known(method)
    if function.is_async:
        message = f"{function.name} is a coroutine function: use map_async(...) instead"
        raise TypeError(message)
    if function.is_generator:
        message = f"{function.name} is a generator function: call it for each item, and loop over what it yields"
        raise TypeError(message)
    source = source_of(method, iterables, id, is_batch=settings.batching is not None)
    settings.check()
    job = Job(checkpoint, method, settings.retry, settings.raises, settings.batching)
    crew = crew_for(executor, workers, job)
    bar = Progress(function.name, count_of(iterables), shown=settings.progress)
    window = Window(checkpoint._engine, *job.call(), source, crew, settings=settings, progress=bar)
    return MapResults(window, settings.grace_seconds)


_under_way: WeakSet[MapResults[Any]] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop what an exception outside of a map has left behind, but for what a thread is in that ends with the process."""
    for results in list(_under_way):
        is_in_use = cast("GeneratorType[Any, None, None]", results._results).gi_running
        if results._process == os.getpid() and not (results._window.is_over or is_in_use):
            results.close()


def _pieces(window: Window, grace_seconds: float) -> Generator[Piece]:
    """Yield items with an outcome, as many as their consumer takes in a moment; when this ends or is closed, so does the work."""
    is_over = is_late = False
    most, process = 1, os.getpid()
    try:
        with _terminable():
            while (items := window.poll(most)) != "end":
                if items == "wait":
                    window.wait()
                elif items:
                    began = time.monotonic()
                    yield items
                    is_quick = time.monotonic() - began < _MOMENT_SECONDS
                    most = min(2 * most, _LARGEST_PIECE) if is_quick else max(1, most // 2)
        is_over = True
    finally:
        if process == os.getpid():  # else it was forked meanwhile, and the work is its parent's
            try:
                if not is_over:
                    is_late = True
                    is_late = _wait_for_the_rest(window, grace_seconds)
            finally:
                window.close(is_over=is_over, is_late=is_late)


def _wait_for_the_rest(window: Window, grace_seconds: float) -> bool:
    """Wait for what is in flight, until Ctrl-C is pressed once more; tell whether some of it is left."""
    stopped_by = sys.exception()
    try:
        is_late = bool(wait(window.stop(), timeout=grace_seconds).not_done)
    except KeyboardInterrupt:
        if not isinstance(stopped_by, KeyboardInterrupt):
            raise
        is_late = True  # the first one is raised, and says it all
    window.take_what_ended()
    return is_late


def _results(window: Window, pieces: Generator[Piece]) -> Generator[Any]:
    loader = Loader(window.engine, window.function)
    try:
        for piece in pieces:
            for part, results in loader.load(piece):
                for number, result in enumerate(results):
                    yield result if result is not MISS else _run_again(window, part[number])
    finally:
        pieces.close()


def _run_again(window: Window, item: Item) -> Any:
    """Run a call whose result was damaged or deleted since it was looked up, or made by code that is to be run again."""
    try:
        return window.engine.run(window.call_of(item))
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        return window.failed(item, error)


@contextmanager
def _terminable() -> Generator[None]:
    """Turn SIGTERM, which ends a process at once unless somebody handles it, into SystemExit."""
    if not is_unhandled(signal.SIGTERM):
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
