"""The public face: what stands between a call and its stored result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from . import _log
from ._books._stats import Stats
from ._engine._call import Call, check_takes_id
from ._engine._engine import Engine
from ._engine._hits import MISS
from ._engine._streams import stream
from ._functions._function import KnownFunction, known
from ._functions._unstable import check_id
from ._holdings import Holdings
from ._html import facts
from ._maps._items import MapSettings, Plan, batching_of, plan_of, source_of
from ._settings._config import CheckpointConfig, ConfigLike, resolve
from .stores import MemoryStore, Store

if TYPE_CHECKING:
    from ._maps._map import MapResults
    from ._maps._map_async import AsyncMapResults  # they import much, and many never map
    from ._workers._crew import Retry
    from ._workers._workers import ExecutorLike

P = ParamSpec("P")
R = TypeVar("R")


class Checkpoint(Holdings):
    """Runs calls whose result is not stored, and returns the stored results of the others.

    May be used from any number of threads and tasks, pickled, and used after `fork`.
    """

    name: str
    """The name of the step."""
    config: CheckpointConfig
    """The settings as read from `config`, the environment and the project's file."""
    place: str
    """Where the records are, for people: a folder, or a URL without its password."""

    def __init__(self, store: Store, config: ConfigLike = None, name: str = "") -> None:
        """Keep results in a store of your own.

        Args:
            store: See `skipstone.stores.Store`. It is closed with the checkpoint.
            config: See `CheckpointConfig`. Settings of where results are kept do not apply: the store decides that.
            name: The name of the step, for messages.

        Raises:
            ConfigError: A setting has the wrong type or value.
            MissingExtraError: A setting needs a library that is not installed.
        """
        self.name = name
        self.place = type(store).__name__
        self.config: CheckpointConfig = resolve(config)
        self._arguments: tuple[object, ...] = (store, self.config, name)
        self._engine = _engine_for(store, self.config)
        self._engine.runs.keep(name)
        self._told: Stats | None = None

    def __reduce__(self) -> tuple[Callable[..., Checkpoint], tuple[object, ...]]:
        """Pickle the settings, not the connections."""
        return type(self), self._arguments

    def __repr__(self) -> str:
        """Name the step, where its records are, and what was done so far."""
        return f"<{type(self).__name__} {self.name!r} in {self.place}: {self.stats()}>"

    def _repr_html_(self) -> str:
        return facts(f"{type(self).__name__} {self.name!r}", [("in", self.place), *self.stats().rows()])

    def __enter__(self) -> Checkpoint:
        """Return itself; it is closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def load_or_run(self, method: Callable[P, R], id: object, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stored result of a call, or run it and store its result.

        Args:
            method: A function, method, class or `functools.partial`; decorated or not.
            id: What identifies this call among those of `method`: plain data, or any value with a canonical form.
            *args: For `method`.
            **kwargs: For `method`.

        Returns:
            What `method` returns; on a hit, a fresh copy. For a generator function, an iterator.

        Raises:
            Exception: What `method` raises, unchanged.
            UnstableIdError: The id has no canonical form, or `method` has no name of its own.
            ReentrantCallError: The call asked for its own result.
            ClaimTimeoutError: Somebody else computed it for longer than `wait_timeout`.
            SaveError: The result could not be kept, and `on_save_error` is "raise".
        """
        function, call = known(method)
        check_takes_id(function)
        if function.is_generator:
            return cast("R", self._stream(function, call, id, args, kwargs))
        return cast("R", self._load_or_run(function, call, id, args, kwargs))

    async def load_or_run_async(
        self, method: Callable[P, Awaitable[R]], id: object, /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return the stored result of a call of a coroutine function, or run it; see `load_or_run`.

        Args:
            method: A coroutine function, or a method or `functools.partial` of one; decorated or not.
            id: See `load_or_run`.
            *args: For `method`.
            **kwargs: For `method`.

        Returns:
            What awaiting `method(...)` returns; on a hit, a fresh copy.

        Raises:
            Exception: See `load_or_run`.
            TypeError: `method` is not a coroutine function.
        """
        function, call = known(method)
        check_takes_id(function)
        if function.is_generator:
            message = f"{function.name} is a generator function: call load_or_run(...), which returns its iterator"
            raise TypeError(message)
        return cast("R", await self._load_or_run_async(function, call, id, args, kwargs))

    def _load_or_run(
        self, function: KnownFunction, method: Callable[..., Any], id: object, args: Any, kwargs: Any
    ) -> object:
        key = function.key(id)
        value = self._engine.load(function, key, id)
        if value is not MISS:
            return value
        if function.is_async:
            message = f"{function.name} is a coroutine function: await load_or_run_async(...) instead"
            raise TypeError(message)
        check_id(function, id, (*args, *kwargs.values()))
        return self._engine.run(Call(function, key, id, method, args, kwargs))

    async def _load_or_run_async(
        self, function: KnownFunction, method: Callable[..., Any], id: object, args: Any, kwargs: Any
    ) -> object:
        key = function.key(id)
        value = await self._engine.load_async(function, key, id)
        if value is not MISS:
            return value
        if not function.is_async:
            message = f"{function.name} is no coroutine function: call load_or_run(...) instead"
            raise TypeError(message)
        check_id(function, id, (*args, *kwargs.values()))
        return await self._engine.run_async(Call(function, key, id, method, args, kwargs))

    def map(
        self,
        method: Callable[..., R],
        /,
        *iterables: Iterable[Any],
        id: str | Callable[..., object] | None = None,
        workers: int | None = None,
        executor: ExecutorLike = "threads",
        ordered: bool = True,
        on_error: Literal["raise", "return"] = "raise",
        retry: Retry | None = None,
        window: int | None = None,
        progress: bool | None = None,
        skip_failed_after: int | None = None,
        batch_size: int | None = None,
        on_batch_error: Literal["raise", "split"] = "raise",
        grace_seconds: float = 30.0,
    ) -> MapResults[R]:
        """Call a function for each item; calls that are done are not run again.

        Results come while work goes on. Input is read as it is needed, so it may be endless. `.drain()` of the returned
        iterator makes sure that all calls are done, without loading a result.

        Args:
            method: A function, method or `functools.partial`, decorated or not. It must not be a coroutine function.
            *iterables: As for the built-in `map`: one for each positional parameter.
            id: As for `cache_with_checkpoint`; None: the decorator's, or the content of all arguments.
            workers: How many calls run at a time; by default as many as suit the executor.
            executor: "threads"; "processes", "ray", "dask" or "slurm", for which `method` and its arguments must be
                picklable, and each worker saves its results itself; any `concurrent.futures.Executor`, which stays
                open; an executor of submitit; or `ray.remote(...)` with what a worker needs.
            ordered: True: results come in the order of the input. False: they come as they become ready.
            on_error: "raise": begin no further calls, let those in flight finish, and raise the first error, with
                a note of the id. "return": put a `Failure` in the result's place.
            retry: A policy that is called with the function and its arguments, like those of tenacity
                (`Retrying(...)`) and stamina (`RetryingCaller(...).on(...)`).
            window: How many items are held at a time: read, in flight, or waiting to be asked for.
            progress: Show a bar. None: on a terminal and in a notebook; otherwise a line in the log now and then.
            skip_failed_after: A call that has failed this often is not tried again: its `Failure` takes the
                result's place.
            batch_size: `method` takes a list of up to this many items (one list per iterable), and returns a list
                of their results. Ids, records and failures are still those of single items, and only missing items
                are put together. An id expression may use a name of its own for the item: `id="doc.id"`. None:
                single items, or 32 if the function was decorated with `each`.
            on_batch_error: "split": if a batch raises, try its halves, to find the item that raises.
            grace_seconds: How long calls in flight may take when the map is stopped: by Ctrl-C, SIGTERM, an
                error, or because its results are no longer asked for.

        Returns:
            An iterator over the results, which is also a context manager.

        Raises:
            IdExpressionError: The id does not fit the function.
            TypeError: `method` is a coroutine function, or cannot be sent to another process.
            ValueError: A setting has a wrong value.
            MissingExtraError: The executor needs a library that is not installed.
        """
        from ._maps._map import mapped

        batching = batching_of(known(method)[0], batch_size, on_batch_error)
        settings = MapSettings(
            ordered, on_error, retry, window, progress, skip_failed_after, batching, grace_seconds
        )
        return mapped(self, method, iterables, id, settings=settings, executor=executor, workers=workers)

    def map_async(
        self,
        method: Callable[..., Awaitable[R]],
        /,
        *iterables: Iterable[Any],
        id: str | Callable[..., object] | None = None,
        concurrency: int = 100,
        ordered: bool = True,
        on_error: Literal["raise", "return"] = "raise",
        retry: Retry | None = None,
        window: int | None = None,
        progress: bool | None = None,
        skip_failed_after: int | None = None,
        batch_size: int | None = None,
        on_batch_error: Literal["raise", "split"] = "raise",
        grace_seconds: float = 30.0,
    ) -> AsyncMapResults[R]:
        """Call a coroutine function for each item; calls that are done are not run again. See `map`.

        Args:
            method: A coroutine function, or a method or `functools.partial` of one, decorated or not.
            *iterables: See `map`.
            id: See `map`.
            concurrency: How many calls, or batches, are in flight at a time.
            ordered: See `map`.
            on_error: See `map`.
            retry: See `map`; from tenacity an `AsyncRetrying`, from stamina an `AsyncRetryingCaller`.
            window: See `map`.
            progress: See `map`.
            skip_failed_after: See `map`.
            batch_size: See `map`.
            on_batch_error: See `map`.
            grace_seconds: See `map`; afterwards, calls in flight are cancelled.

        Returns:
            An asynchronous iterator over the results, which is also an asynchronous context manager.

        Raises:
            IdExpressionError: The id does not fit the function.
            TypeError: `method` is not a coroutine function.
            ValueError: A setting has a wrong value.
        """
        from ._maps._map_async import mapped_async

        batching = batching_of(known(method)[0], batch_size, on_batch_error)
        settings = MapSettings(
            ordered, on_error, retry, window, progress, skip_failed_after, batching, grace_seconds
        )
        return mapped_async(self, method, iterables, id, settings=settings, concurrency=concurrency)

    def wrap(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Return the function, or generator function, so that this checkpoint is current wherever it runs.

        For engines that call it in other processes: Ray Data, Dask collections, Spark. Decorated functions that it calls
        are looked up here. The returned function can be pickled if `function` can.
        """
        from ._workers._elsewhere import wrapped

        return cast("Callable[P, R]", wrapped(self, function))

    def plan(
        self,
        method: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        id: str | Callable[..., object] | None = None,
    ) -> Plan:
        """Return what `map` would do with these arguments, without running anything. The input is read to its end.

        Args:
            method: See `map`; coroutine functions as well.
            *iterables: See `map`.
            id: See `map`.

        Returns:
            How many calls are done, how many are missing, and how long the missing ones would take, going by those that
            are stored.

        Raises:
            IdExpressionError: The id does not fit the function.
        """
        return plan_of(self._engine, known(method)[0], source_of(method, iterables, id))

    @staticmethod
    def _in_memory(name: str, config: CheckpointConfig) -> Checkpoint:
        return Checkpoint(MemoryStore(), config, name)

    def _stream(
        self, function: KnownFunction, method: Callable[..., Any], id: object, args: Any, kwargs: Any
    ) -> object:
        key = function.key(id)
        check_id(function, id, (*args, *kwargs.values()))
        return stream(self._engine, Call(function, key, id, method, args, kwargs))

    def stats(self) -> Stats:
        """Return counts of what this process did since it opened the checkpoint."""
        return self._engine.counters.stats()

    def close(self) -> None:
        """Close files and connections, and log what was done. A later use opens them again."""
        self._engine.close()
        stats = self.stats()
        if stats not in (self._told, Stats()):
            self._told = stats
            _log.info("step %s: %s", self.name, stats, event="closed", step=self.name, stats=stats.as_dict())


def _engine_for(store: Store, config: CheckpointConfig) -> Engine:
    if not config.check_calls and not config.audit:
        return Engine(store, config)
    from ._engine._checked_engine import CheckedEngine

    return CheckedEngine(store, config)
