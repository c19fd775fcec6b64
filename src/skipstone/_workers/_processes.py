"""Workers in other processes, which take pickled calls, save the results themselves, and send back the outcomes."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from queue import SimpleQueue
from typing import TypeAlias

from .._engine._outcomes import Outcome
from ..stores._urls import known_urls, received
from ._crew import Crew, Job, Task
from ._elsewhere import Answer, current_or, keep, packed, run_in_worker

_Outcomes: TypeAlias = Future[list[Outcome]]


class RemoteCrew(Crew):
    """Workers that somebody else schedules: there is no telling whether a chunk has begun, and no taking it back."""

    chunk_seconds = 0.2
    largest_chunk = 500
    chunks_per_worker = 1  # so that chunks in flight have begun, and are finished when the map is stopped

    def __init__(self, job: Job, *, by_value: bool = True) -> None:
        self._checkpoint = job.checkpoint
        self._current = current_or(job.checkpoint)
        self._parcel, self._dumps = packed(job, self._current, by_value=by_value)
        self._in_flight: dict[_Outcomes, Future[bytes]] = {}
        self._steps: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._take_steps, name="skipstone-workers", daemon=True)
        self._is_begun = threading.Lock()
        """Taken without waiting by whoever starts the thread, and never released."""

    def send(self, tasks: bytes) -> Future[bytes]:
        """Have a worker call `run_in_worker` with the parcel and these tasks."""
        raise NotImplementedError

    def submit(self, tasks: Sequence[Task]) -> _Outcomes:
        outcomes: _Outcomes = Future()
        self._do(partial(self._send, outcomes, tasks))
        return outcomes

    def _do(self, step: Callable[[], object]) -> None:
        """Do something in a thread of our own, which no signal interrupts, and which holds up no executor's thread."""
        if self._is_begun.acquire(blocking=False):
            with suppress(RuntimeError):  # since Python 3.12, no thread can be started while the interpreter exits
                self._thread.start()
        self._steps.put(step)

    def _take_steps(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _send(self, outcomes: _Outcomes, tasks: Sequence[Task]) -> None:
        try:
            done = self._in_flight[outcomes] = self.send(self._dumps(tasks))
        except Exception as error:  # noqa: BLE001 - a call cannot be pickled, or the executor was shut down
            outcomes.set_exception(error)
        else:
            done.add_done_callback(lambda _: self._do(partial(self._take, outcomes)))

    def _take(self, outcomes: _Outcomes) -> None:
        done = self._in_flight.pop(outcomes)
        error = None if done.cancelled() else done.exception()
        if error is not None:  # not raised here: many futures may share it, and each would add to its traceback
            outcomes.set_exception(error)
            return
        try:
            answer: Answer = pickle.loads(done.result())
            keep(answer, self._checkpoint, self._current)
            self._checkpoint._engine.counters.add(answer.stats)
        except BaseException as error:  # noqa: BLE001 - the worker died, was cancelled, or was interrupted
            outcomes.set_exception(error)
        else:
            outcomes.set_result(answer.outcomes)

    def cancel(self, futures: Sequence[_Outcomes]) -> None:
        """Do nothing, since every chunk may have begun."""

    def end(self, *, at_once: bool) -> None:  # noqa: ARG002
        self._steps.put(None)


class PoolCrew(RemoteCrew):
    """The processes of an executor, our own or the user's."""

    chunk_seconds = 0.02
    largest_chunk = 64
    chunks_per_worker = 2

    def __init__(self, job: Job, pool: Executor | None, workers: int | None) -> None:
        # Processes of the standard library's pools have imported the script.
        super().__init__(job, by_value=not isinstance(pool, ProcessPoolExecutor | None))
        of_pool = getattr(pool, "_max_workers", getattr(pool, "num_workers", os.cpu_count() or 1))
        self.workers = workers or int(of_pool)
        self._owned: ProcessPoolExecutor | None = None
        self._pool = pool

    def start(self) -> None:
        if self._pool is None:
            self._pool = self._owned = ProcessPoolExecutor(
                self.workers, initializer=_begin_worker, initargs=(known_urls(),)
            )

    def send(self, tasks: bytes) -> Future[bytes]:
        assert self._pool is not None
        return self._pool.submit(run_in_worker, self._parcel, tasks)

    def submit(self, tasks: Sequence[Task]) -> _Outcomes:
        outcomes: _Outcomes = Future()
        self._send(outcomes, tasks)  # not in the other thread, since the first task may fork
        return outcomes

    def cancel(self, futures: Sequence[_Outcomes]) -> None:
        for future in futures:
            done = self._in_flight.get(future)
            if done is not None:
                done.cancel()

    def end(self, *, at_once: bool) -> None:
        if self._owned is not None:
            workers = list((self._owned._processes or {}).values())
            self._owned.shutdown(wait=not at_once, cancel_futures=True)
            if at_once:
                for worker in workers:
                    worker.terminate()
        super().end(at_once=at_once)


# ---- in a worker of our own ----


def _begin_worker(urls: Sequence[str]) -> None:
    for url in urls:  # make the passwords known that the pickled checkpoint lacks
        received(url)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets calls in flight finish
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="skipstone-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
