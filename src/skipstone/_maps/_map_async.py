"""`Checkpoint.map_async`: the calls of a coroutine function, many in flight, in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._engine._beside import in_thread
from .._engine._hits import MISS
from .._errors import check_count
from .._functions._function import known
from .._workers._crew import Crew, Job, Task, run_tasks
from .._workers._workers import is_unhandled
from ._items import MapSettings, MapSummary, count_of, source_of
from ._loading import Loader
from ._pieces import Item, Piece
from ._progress import Progress
from ._window import MOMENT_SECONDS, Window

if TYPE_CHECKING:
    from .._checkpoint import Checkpoint

R = TypeVar("R")

_LARGEST_PIECE = 100


class TaskCrew(Crew):
    """Tasks of the running event loop, one for each call or batch."""

    largest_chunk = 1
    chunks_per_worker = 1

    def __init__(self, job: Job, concurrency: int) -> None:
        self._job = job
        self.workers = concurrency
        self._function, self._call = job.call()
        self._context = contextvars.copy_context()

    def submit(self, tasks: Sequence[Task]) -> Any:
        running = run_tasks(self._job, self._function, self._call, tasks)
        return asyncio.get_running_loop().create_task(running, context=self._context.copy())

    def cancel(self, futures: Sequence[Any]) -> None:
        """Do nothing: every task has begun."""


class AsyncMapResults(AsyncIterator[R]):
    """The results of `Checkpoint.map_async`, as they become ready. Work goes on between two of them.

    Use it in an `async for` loop, or as an asynchronous context manager around one: at its end, calls in flight
    finish and are saved, and no further ones begin.
    """

    __module__ = "skipstone"

    def __init__(self, window: Window, grace_seconds: float) -> None:
        self._window = window
        self._pieces = _pieces(window, grace_seconds)
        self._results = _results(window, self._pieces)

    def __aiter__(self) -> AsyncMapResults[R]:
        """Return itself."""
        return self

    async def __anext__(self) -> R:
        """Return the next result; with `on_error="return"`, or of a call that is left alone, a `Failure`."""
        return cast("R", await anext(self._results))

    async def __aenter__(self) -> AsyncMapResults[R]:
        """Return itself; it is closed at the end of the `async with` block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Begin no further calls, and let those in flight finish and be saved."""
        await self._results.aclose()
        await self._pieces.aclose()

    async def drain(self) -> MapSummary:
        """Run all missing calls, without loading or returning any result.

        Raises:
            Exception: What a call raises, unless `on_error` is "return".
        """
        self._window.drop_results()
        async for _ in self._pieces:
            pass
        return self.summary()

    def __repr__(self) -> str:
        """Name the function, and say how far it is."""
        return f"<{type(self).__name__} of {self._window.function.name}: {self._window.progress}>"

    def summary(self) -> MapSummary:
        """Return what was done so far."""
        return self._window.progress.summary()


def mapped_async(
    checkpoint: Checkpoint,
    method: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    id: str | Callable[..., object] | None,
    *,
    settings: MapSettings,
    concurrency: int,
) -> AsyncMapResults[Any]:
    """See `Checkpoint.map_async`."""
    function, _ = known(method)
    if not function.is_async:
        message = f"{function.name} is no coroutine function: use map(...) instead"
        raise TypeError(message)
    check_count("concurrency", concurrency)
    source = source_of(method, iterables, id, is_batch=settings.batching is not None)
    settings.check()
    job = Job(checkpoint, method, settings.retry, settings.raises, settings.batching)
    bar = Progress(function.name, count_of(iterables), shown=settings.progress)
    window = Window(
        checkpoint._engine, *job.call(), source, TaskCrew(job, concurrency), settings=settings, progress=bar
    )
    return AsyncMapResults(window, settings.grace_seconds)


async def _pieces(window: Window, grace_seconds: float) -> AsyncGenerator[Piece]:
    """Yield items with an outcome; when this ends or is closed, so does the work."""
    is_over = is_late = False
    something_ended = asyncio.Event()
    window.on_end = something_ended.set
    try:
        with _terminable(), _woken(something_ended.set):
            while (items := window.poll(_LARGEST_PIECE)) != "end":
                if items == "wait":
                    await something_ended.wait()
                    something_ended.clear()
                    window.engine.runs.tick()
                elif items:
                    yield items
        is_over = True
    finally:
        in_flight: list[Any] = [] if is_over else window.stop()
        if in_flight:
            late = (await asyncio.wait(in_flight, timeout=grace_seconds))[1]
            is_late = bool(late)
            for task in late:
                task.cancel()
            await asyncio.sleep(0)  # so that the others are noted
            window.take_what_ended()
        window.close(is_over=is_over, is_late=is_late)


async def _results(window: Window, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Any]:
    loader = Loader(window.engine, window.function)
    try:
        async for piece in pieces:
            parts, reads = loader.load(piece), loader.reads(piece)
            while loaded := cast("Any", await in_thread(next, parts, None) if reads else next(parts, None)):
                part, results = loaded
                for number, result in enumerate(results):
                    yield result if result is not MISS else await _run_again(window, part[number])
    finally:
        await pieces.aclose()


async def _run_again(window: Window, item: Item) -> Any:
    """Run a call whose result was damaged or deleted since it was looked up, or made by code that is to be run again."""
    try:
        return await window.engine.run_async(window.call_of(item))
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        return window.failed(item, error)


@contextmanager
def _woken(wake: Callable[[], object]) -> Generator[None]:
    """Call a function every moment, so that how far a map is can be told although nothing ends."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        wake()
        timer = loop.call_later(MOMENT_SECONDS, again)

    timer = loop.call_later(MOMENT_SECONDS, again)
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM, which ends a process at once unless somebody handles it, cancel the task that maps."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None or not is_unhandled(signal.SIGTERM):
        yield
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel, "SIGTERM")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
