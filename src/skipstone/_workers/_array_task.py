"""A task of a job array: it runs its part of a map's calls for as long as Slurm lets it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

from submitit.core.utils import DelayedSubmission, UncompletedJobError

from .._books._stats import Counters, Stats
from .._engine._outcomes import Outcome, Raised
from .._record import Key
from ._crew import Job, Task
from ._elsewhere import Answer, run_here, unpacked


class ArrayAnswer(NamedTuple):
    """The outcomes of the calls that a task has run."""

    outcomes: dict[Key, Outcome]
    stats: Stats
    error: Exception | None
    """The error that kept it from running the others, if any."""


class ArrayTask:
    """Some of the calls of a map. Since stored calls are not run, it can be stopped and started again at any time."""

    def __init__(self, parcel: bytes, chunks: bytes) -> None:
        """Hold the pickled job and the pickled chunks of calls."""
        self._parcel = parcel
        self._chunks = chunks

    def checkpoint(self) -> Any:
        """Return what submitit is to submit when Slurm takes the node away."""
        return DelayedSubmission(self)

    def __call__(self) -> bytes:
        """Run the calls that are not stored, and return the pickled answer.

        Raises:
            UncompletedJobError: Slurm has stopped the task too often.
        """
        outcomes: dict[Key, Outcome] = {}
        counters, stopped_by = Counters(), None
        try:
            for tasks, answer in self._answers():
                outcomes.update(zip([key for _, key, _ in tasks], answer.outcomes, strict=False))
                counters.add(answer.stats)
        except UncompletedJobError:
            raise
        except Exception as error:  # noqa: BLE001 - from importing the function's module, from a batch, or the store
            stopped_by = error
        return pickle.dumps(ArrayAnswer(outcomes, counters.stats(), stopped_by), protocol=5)

    def _answers(self) -> Iterator[tuple[list[Task], Answer]]:
        parcel = unpacked(self._parcel)
        job = Job(parcel.checkpoint.open_here(), *parcel.rest)
        current = parcel.current.open_here()
        engine, function = job.checkpoint._engine, job.call()[0]
        chunks: list[list[Task]] = pickle.loads(self._chunks)
        # In random order, so that another array with the same calls seldom waits for this one.
        chunks.sort(key=lambda _: os.urandom(8))
        for chunk in chunks:
            stored = engine.done(function, [key for _, key, _ in chunk])
            missing = [task for task in chunk if task[1] not in stored]
            if not missing:
                continue
            answer = run_here(job, current, missing)
            errors = [outcome.error for outcome in answer.outcomes if isinstance(outcome, Raised)]
            for error in errors:
                if isinstance(error, UncompletedJobError):  # submitit raises it in the middle of a call
                    engine.contents.forget([key for _, key, _ in missing])
                    raise error
            yield missing, answer
            if errors and job.stops_at_error:
                return
