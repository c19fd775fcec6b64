"""The crew of a map: its workers, as the map sees them; and a crew of threads."""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._engine._batch import Batching, run_batch, run_each
from .._engine._call import Call, at_once
from .._engine._outcomes import Outcome
from .._functions._function import KnownFunction, known
from .._record import Key

if TYPE_CHECKING:
    from .._checkpoint import Checkpoint

Retry: TypeAlias = Callable[..., Any]

Task: TypeAlias = tuple[object, Key, tuple[Any, ...]]
"""Call id, key, arguments."""


class Job(NamedTuple):
    """What all tasks of one map have in common."""

    checkpoint: Checkpoint
    method: Callable[..., Any]
    retry: Retry | None
    stops_at_error: bool
    batching: Batching | None

    def call(self) -> tuple[KnownFunction, Callable[..., Any]]:
        """Return the function's description, and what to call."""
        function, call = known(self.method)
        if self.retry is not None:
            if not callable(self.retry):
                message = f"retry is {self.retry!r}, expected a policy, such as tenacity.Retrying(...)"
                raise TypeError(message)
            call = functools.partial(self.retry, call)
        return (function if self.batching is None else function.of_items), call


async def run_tasks(
    job: Job, function: KnownFunction, call: Callable[..., Any], tasks: Sequence[Task]
) -> list[Outcome]:
    """Run calls one after another. If the job stops at an error, there may be fewer outcomes than tasks."""
    engine = job.checkpoint._engine
    calls = [Call(function, key, call_id, call, args, {}) for call_id, key, args in tasks]
    if job.batching is not None:
        return await run_batch(engine, calls, splits=job.batching.splits)
    return await run_each(engine, calls, stops_at_error=job.stops_at_error)


class Crew:
    """The workers of one map, which get their tasks in chunks.

    A crew is made for every map, even if nothing is missing. So whatever takes long or must be cleaned up waits for
    `start`.
    """

    workers: int
    """How many workers there are. Before `start`, 1 may stand for any number."""
    chunk_seconds: float = 0.005
    """How long a chunk should take, so that the cost of handing it out does not matter."""
    largest_chunk: int = 128
    chunks_per_worker: int = 2
    takes_all: bool = False
    """Whether the whole input is read, and then handed out at once."""

    def start(self) -> None:
        """Get ready to run calls. Called once, before the first task is handed out."""

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        """Run these tasks, one after another, in one worker."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin what was handed out, since nothing more is handed out for now."""

    def cancel(self, futures: Sequence[Future[list[Outcome]]]) -> None:
        """Take back chunks that have not begun."""
        for future in futures:
            future.cancel()

    def end(self, *, at_once: bool) -> None:
        """Let the workers go, if they were started; with `at_once`, without waiting for calls in flight."""


class ThreadCrew(Crew):
    """Workers that are threads of this process."""

    def __init__(self, job: Job, pool: Executor | None, workers: int | None) -> None:
        self.workers = workers or int(getattr(pool, "_max_workers", min(32, (os.cpu_count() or 1) + 4)))
        self._owned: Executor | None = None
        self._pool = pool
        self._job = job
        self._function, self._call = job.call()
        self._context = contextvars.copy_context()

    def start(self) -> None:
        if self._pool is None:
            self._pool = self._owned = ThreadPoolExecutor(self.workers, thread_name_prefix="skipstone")

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        assert self._pool is not None
        # A copy, since only one thread at a time can be in a context.
        return self._pool.submit(self._context.copy().run, self._run, tasks)

    def _run(self, tasks: Sequence[Task]) -> list[Outcome]:
        return at_once(run_tasks(self._job, self._function, self._call, tasks))

    def end(self, *, at_once: bool) -> None:
        if self._owned is not None:
            self._owned.shutdown(wait=not at_once, cancel_futures=True)
