"""Run calls in the tasks of a Slurm job array, by submitit. Each task saves its records itself, even if nobody waits.

The store shows which calls are done. A task that ends without an answer (out of time or memory, or its node was lost)
is submitted again with what is left, until that gets no further.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from itertools import pairwise
from typing import Any

import submitit
from submitit.core.utils import UncompletedJobError

from .. import _log
from .._engine._outcomes import Outcome, Stored
from .._record import Key
from ..stores._sleep import Sleep
from ._array_task import ArrayAnswer, ArrayTask
from ._crew import Crew, Job, Task
from ._elsewhere import current_or, packed

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 10.0
_TASKS = 16
_DEFAULT_MINUTES = 60
_MOST_LOOKS_IN_VAIN = _MOST_ENDS_IN_VAIN = 2
_LOG_CHARACTERS = 2000


class _Chunk:
    """Calls that were handed out together, with the future of their outcomes."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.keys = [key for _, key, _ in tasks]
        self.future: Future[list[Outcome]] = Future()


class _Part:
    """One task of the array, and the chunks that it has not done yet."""

    def __init__(self, chunks: list[_Chunk]) -> None:
        self.chunks = chunks
        self.job: Any = None
        self.submitted = 0
        self.looks_in_vain = self.ends_in_vain = 0

    def ended(self) -> bool:
        """Note that the task has ended without being done; tell whether another try may get further."""
        self.ends_in_vain = 0 if len(self.chunks) < self.submitted else self.ends_in_vain + 1
        return self.ends_in_vain < _MOST_ENDS_IN_VAIN


class SlurmCrew(Crew):
    """The tasks of a job array, which goes on even when the map is stopped."""

    takes_all = True
    chunks_per_worker = sys.maxsize

    def __init__(self, job: Job, executor: Any | None, workers: int | None) -> None:
        """Prepare a job array.

        Args:
            job: What the tasks have in common.
            executor: An executor of submitit, with its settings; None for one with default settings.
            workers: How many tasks the array has; None for a default number.
        """
        self._engine = job.checkpoint._engine
        self._function = job.call()[0]
        self._parcel, self._dumps = packed(job, current_or(job.checkpoint), by_value=True)
        self._executor: Any = executor
        self._folder = f"{job.checkpoint.config.artifacts_dir}/slurm"
        self.workers = workers or _TASKS
        self._waiting: list[_Chunk] = []
        self._parts: list[_Part] = []
        self._sleep = Sleep()

    def start(self) -> None:
        if self._executor is None:
            self._executor = _executor_in(self._folder)

    def submit(self, tasks: Sequence[Task]) -> Future[list[Outcome]]:
        self._waiting.append(_Chunk(tasks))
        return self._waiting[-1].future

    def begin(self) -> None:
        chunks, self._waiting = self._waiting, []
        if not chunks:
            return
        count = min(self.workers, len(chunks))
        ends = [len(chunks) * number // count for number in range(count + 1)]
        self._parts = [_Part(chunks[begin:end]) for begin, end in pairwise(ends)]
        self._submit_parts(self._parts)
        threading.Thread(target=self._watch, name="skipstone-slurm", daemon=True).start()

    def _submit_parts(self, parts: Sequence[_Part]) -> None:
        tasks = [ArrayTask(self._parcel, self._dumps([chunk.tasks for chunk in part.chunks])) for part in parts]
        for part, job in zip(parts, self._executor.submit_array(tasks), strict=True):
            part.job, part.submitted, part.looks_in_vain = job, len(part.chunks), 0
        _log.info("%s: submitted as %s", self._function.name, _ids(parts))

    def _watch(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while self._parts and not self._sleep.sleep(pause_seconds):
            try:
                is_new = self._look()
            except Exception as error:  # noqa: BLE001 - it is passed on to whoever waits
                self._give_up(self._parts, error)
                return
            pause_seconds = _FIRST_PAUSE_SECONDS if is_new else min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _look(self) -> bool:
        """Settle what is done, and submit again what ended without being done; return whether there was any of that."""
        queued = _queued() if any(isinstance(part.job, submitit.SlurmJob) for part in self._parts) else None
        ends = [(part, _end_of(part, queued)) for part in self._parts]  # before looking into the store
        keys = [key for part in self._parts for chunk in part.chunks for key in chunk.keys]
        stored = self._engine.done(self._function, keys)
        again: list[_Part] = []
        for part, end in ends:
            self._settle(part, stored, end)
            if isinstance(end, ArrayAnswer):
                self._engine.counters.add(end.stats)
                if end.error is not None:
                    self._give_up([part], end.error)
            elif end is not None and part.chunks:
                if part.ended():
                    again.append(part)
                else:
                    self._give_up([part], end)
        if again:
            _log.warning("%s: %s ended before all was done: submitted again", self._function.name, _ids(again))
            self._submit_parts(again)
        self._parts = [part for part, end in ends if end is None or part in again]
        return bool(again)

    def _settle(self, part: _Part, stored: set[Key], end: ArrayAnswer | Exception | None) -> None:
        answered = end.outcomes if isinstance(end, ArrayAnswer) else {}
        done: list[_Chunk] = []
        left: list[_Chunk] = []
        for chunk in part.chunks:
            (done if all(key in stored or key in answered for key in chunk.keys) else left).append(chunk)
        if end is None and done and not left:
            left.append(done.pop())  # the answer, which has the counts, is about to come
        part.chunks = left
        for chunk in done:
            outcomes = [Stored() if key in stored else answered[key] for key in chunk.keys]
            with suppress(InvalidStateError):  # the future was cancelled
                chunk.future.set_result(outcomes)

    def _give_up(self, parts: Sequence[_Part], error: Exception) -> None:
        for part in parts:
            for chunk in part.chunks:
                with suppress(InvalidStateError):
                    chunk.future.set_exception(error)

    def cancel(self, futures: Sequence[Future[list[Outcome]]]) -> None:
        """Stop waiting for these chunks; their tasks go on."""
        for future in futures:
            if future.cancel():
                future.set_running_or_notify_cancel()  # without this, `concurrent.futures.wait` would wait for it

    def end(self, *, at_once: bool) -> None:  # noqa: ARG002
        self._sleep.end()
        if self._parts:
            _log.warning("%s: %s goes on; to end it, use scancel", self._function.name, _ids(self._parts))


def _executor_in(folder: str) -> Any:
    os.makedirs(folder, mode=0o700, exist_ok=True)  # private, since it will hold the arguments of calls
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(job_name="skipstone", time=_DEFAULT_MINUTES)
    return executor


def _ids(parts: Sequence[_Part]) -> str:
    return f"job {', '.join(sorted({part.job.job_id.partition('_')[0] for part in parts}))}"


def _end_of(part: _Part, queued: set[str] | None) -> ArrayAnswer | Exception | None:
    """Return the answer of a task that has ended, or an error if it has none; None while it goes on."""
    job = part.job
    if _has_answered(job):
        end: ArrayAnswer | Exception
        try:
            end = pickle.loads(job.results()[0])
        except UncompletedJobError as error:
            end = error
        return end
    part.looks_in_vain = part.looks_in_vain + 1 if _is_gone(job, queued) else 0
    if part.looks_in_vain < _MOST_LOOKS_IN_VAIN:  # the answer may take a moment to become visible
        return None
    log = (job.stderr() or job.stdout() or "no output")[-_LOG_CHARACTERS:]
    lost: Exception = UncompletedJobError(
        f"job {job.job_id} ended without an answer. It may need more time or memory: give an executor of submitit "
        f"that asks for it. The end of {job.paths.stderr}:\n{log}"
    )
    return lost


def _has_answered(job: Any) -> bool:
    if isinstance(job, submitit.DebugJob):
        return True  # it runs when its result is asked for
    folder = job.paths.folder
    with suppress(OSError):
        folder.chmod(folder.stat().st_mode)  # makes a network file system refresh its view of the folder
    return bool(job.paths.result_pickle.exists())


def _is_gone(job: Any, queued: set[str] | None) -> bool:
    if isinstance(job, submitit.SlurmJob):
        return queued is not None and job.job_id not in queued
    return bool(job.done())


def _queued() -> set[str] | None:
    """Return the ids of this user's waiting and running jobs; None if Slurm does not say."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return set(listed.stdout.split())
