"""Who runs the missing calls of a map: threads, processes, or any executor of the user's own."""

from __future__ import annotations

import contextvars
import functools
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ._batch import Outcome, Raised, Returned, Stored, outcome_of, run_batch
from ._call import Call, at_once
from ._current import get_checkpoint, use_checkpoint
from ._errors import CheckpointNotInitializedError
from ._function import KnownFunction, known
from ._items import Batching
from ._record import Key
from ._stats import difference
from .stores._urls import known_urls, received

if TYPE_CHECKING:
    from ._checkpoint import Checkpoint

ExecutorLike: TypeAlias = Literal["threads", "processes"] | Executor
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
        """Return what is known of the function, and how it is called."""
        function, call = known(self.method)
        if self.retry is not None:
            call = functools.partial(self.retry, call)
        return (function if self.batching is None else function.of_items), call


async def run_tasks(
    job: Job, function: KnownFunction, call: Callable[..., Any], tasks: Sequence[Task]
) -> list[Outcome]:
    """Run calls one after the other; where the job stops at an error, there may be fewer outcomes than tasks."""
    engine = job.checkpoint._engine
    calls = [Call(function, key, call_id, call, args, {}) for call_id, key, args in tasks]
    if job.batching is not None:
        return await run_batch(engine, calls, splits=job.batching.splits)
    outcomes: list[Outcome] = []
    for each in calls:
        outcomes.append(await outcome_of(engine, each))
        if job.stops_at_error and isinstance(outcomes[-1], Raised):
            break
    return outcomes


class Crew:
    """Workers of one map. Tasks are handed out in chunks."""

    chunk_seconds = 0.005
    """How long a chunk should take: handing it out costs much less than that."""
    largest_chunk = 64
    chunks_per_worker = 2

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        """Run these tasks, one after the other, in one worker."""
        raise NotImplementedError

    def cancel(self, futures: Sequence[Future[list[Outcome]]]) -> None:
        """Take back what was handed out and has not begun."""
        for future in futures:
            future.cancel()

    def end(self, *, at_once: bool) -> None:
        """Let the workers go; with `at_once`, without waiting for calls in flight."""


class ThreadCrew(Crew):
    """Threads of this process."""

    def __init__(self, job: Job, pool: Executor | None, workers: int) -> None:
        self._owned = None if pool else ThreadPoolExecutor(workers, thread_name_prefix="skipstone")
        self._pool = pool or self._owned
        self._job = job
        self._function, self._call = job.call()
        self._context = contextvars.copy_context()

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        assert self._pool is not None
        # A context can be entered by one thread at a time.
        return self._pool.submit(self._context.copy().run, self._run, tasks)

    def _run(self, tasks: Sequence[Task]) -> list[Outcome]:
        return at_once(run_tasks(self._job, self._function, self._call, tasks))

    def end(self, *, at_once: bool) -> None:
        if self._owned is not None:
            self._owned.shutdown(wait=not at_once, cancel_futures=True)


class ProcessCrew(Crew):
    """Other processes, here or elsewhere: whatever takes functions that can be pickled."""

    chunk_seconds = 0.02

    def __init__(self, job: Job, pool: Executor | None, workers: int) -> None:
        self._counters = job.checkpoint._engine.counters
        self._owned = None
        self._waiting: dict[Future[list[Outcome]], Future[bytes]] = {}
        current = _current_or(job.checkpoint)
        try:
            runs = [each._engine.runs.id for each in (job.checkpoint, current)]
            self._job = pickle.dumps((job, current, runs))
        except Exception as error:
            message = (
                f"{job.method!r} or its checkpoint cannot be sent to another process ({type(error).__name__}: {error}): "
                f'define the function at the top of a module, or use executor="threads"'
            )
            raise TypeError(message) from error
        if pool is None:
            from concurrent.futures import ProcessPoolExecutor

            pool = self._owned = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(known_urls(),))
        self._pool = pool

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        told: Future[list[Outcome]] = Future()
        done = self._pool.submit(run_in_worker, self._job, tasks)
        self._waiting[told] = done
        done.add_done_callback(lambda done: self._take(done, told))
        return told

    def cancel(self, futures: Sequence[Future[list[Outcome]]]) -> None:
        for future in futures:
            if future in self._waiting:
                self._waiting[future].cancel()

    def _take(self, done: Future[bytes], told: Future[list[Outcome]]) -> None:
        self._waiting.pop(told, None)
        try:
            outcomes, stats = pickle.loads(done.result())
        except BaseException as error:  # noqa: BLE001 - the worker died, was cancelled, or was interrupted
            told.set_exception(error)
        else:
            self._counters.add(stats)
            told.set_result(outcomes)

    def end(self, *, at_once: bool) -> None:
        if self._owned is None:
            return
        workers = list((self._owned._processes or {}).values())
        self._owned.shutdown(wait=not at_once, cancel_futures=True)
        if at_once:
            for worker in workers:
                worker.terminate()


def crew_for(executor: ExecutorLike, workers: int | None, job: Job) -> tuple[Crew, int]:
    """Return the crew that `executor` stands for, and how many workers it has.

    Raises:
        ValueError: There is no such executor, or a wrong number of workers.
        TypeError: The function cannot be sent to another process.
    """
    import os

    cores = os.cpu_count() or 1
    if workers is not None and workers < 1:
        message = f"workers is {workers}, expected at least 1"
        raise ValueError(message)
    if isinstance(executor, Executor):
        count = workers or int(getattr(executor, "_max_workers", cores))
        kind = ThreadCrew if isinstance(executor, ThreadPoolExecutor) else ProcessCrew
        return kind(job, executor, count), count
    if executor == "threads":
        count = workers or min(32, cores + 4)
        return ThreadCrew(job, None, count), count
    if executor == "processes":
        count = workers or cores
        return ProcessCrew(job, None, count), count
    message = f"executor is {executor!r}, expected 'threads', 'processes' or a concurrent.futures.Executor"
    raise ValueError(message)


def is_unhandled(number: int) -> bool:
    """Tell whether a signal would end the process, and this thread may change that."""
    import signal

    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL


def _current_or(checkpoint: Checkpoint) -> Checkpoint:
    with suppress(CheckpointNotInitializedError):
        return get_checkpoint()
    return checkpoint


# ---- in the worker ----

_jobs: dict[bytes, tuple[Job, Checkpoint]] = {}
_jobs_lock = threading.Lock()


def run_in_worker(pickled_job: bytes, tasks: Sequence[Task]) -> bytes:
    """Run tasks in another process; return their outcomes and what was done, pickled."""
    with _jobs_lock:
        if pickled_job not in _jobs:
            _jobs.clear()  # the map before is over
            job, current, runs = pickle.loads(pickled_job)
            for checkpoint, run in zip((job.checkpoint, current), runs, strict=True):
                checkpoint._engine.runs.join(run)
            _jobs[pickled_job] = job, current
        job, current = _jobs[pickled_job]
    engine = job.checkpoint._engine
    function, call = job.call()
    before = engine.counters.stats()
    with use_checkpoint(current):
        outcomes = at_once(run_tasks(job, function, call, tasks))
    stored = engine.done(function, [key for _, key, _ in tasks])
    outcomes = [
        _sendable(outcome, is_stored=task[1] in stored) for outcome, task in zip(outcomes, tasks, strict=False)
    ]
    return pickle.dumps((outcomes, difference(engine.counters.stats(), before)), protocol=5)


def _sendable(outcome: Outcome, *, is_stored: bool) -> Outcome:
    """Leave out a result that is in the store, and replace an error that does not survive being pickled."""
    if isinstance(outcome, Returned):
        return Stored() if is_stored else outcome
    if isinstance(outcome, Raised):
        try:
            pickle.loads(pickle.dumps(outcome.error))
        except Exception:  # noqa: BLE001 - errors fail to be pickled in all ways
            outcome = outcome._replace(error=RuntimeError(outcome.failure.error))
        outcome.error.add_note(f"in a worker:\n{outcome.failure.traceback}")
    return outcome


def _begin_worker(urls: Sequence[str]) -> None:
    import signal

    for url in urls:  # with passwords, which the pickled checkpoint does not have
        received(url)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets calls in flight finish
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="skipstone-parent", daemon=True).start()


def _end_with_parent() -> None:
    import os
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
