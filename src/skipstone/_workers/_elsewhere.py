"""Run calls in other processes, perhaps on other machines: what travels there, and what comes back.

A worker saves its results itself, wherever it can see the store. A store on the disk of one machine cannot be seen from
another. There, records are made in memory, and travel back to the process that maps, which keeps them.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .._books._stats import Stats
from .._current import get_checkpoint, use_checkpoint
from .._engine._call import at_once
from .._engine._outcomes import Outcome, Raised, Returned, Stored
from .._errors import CheckpointNotInitializedError, StoreUnavailableError, StoreUnavailableWarning
from .._record import Record
from ..stores import SqliteStore
from . import _by_value
from ._crew import Job, Task, run_tasks

if TYPE_CHECKING:
    from .._checkpoint import Checkpoint


class Sent(NamedTuple):
    """A checkpoint on its way to another process."""

    pickled: bytes
    run: str
    """The run that it is part of."""
    place: str
    machine: str
    """The only machine that can see its store; empty if all can."""
    in_memory: Callable[[], Checkpoint]
    """Makes a checkpoint with the same settings, whose records stay in memory."""

    @property
    def is_seen(self) -> bool:
        """Whether this machine can see the store."""
        return self.machine in ("", machine())

    def open(self) -> Checkpoint:
        """Return the checkpoint, or one in memory if this machine cannot see the store."""
        if self.is_seen:
            return _opened(self.pickled, self.run)
        checkpoint = self.in_memory()
        checkpoint._engine.runs.join(self.run)
        return checkpoint

    def open_here(self) -> Checkpoint:
        """Return the checkpoint.

        Raises:
            StoreUnavailableError: This machine cannot see its store.
        """
        if self.is_seen:
            return _opened(self.pickled, self.run)
        message = (
            f"the records of this step are on the disk of {host_of(self.machine)} ({self.place}), which "
            f"{os.uname().nodename} does not see: set the config's `store` to a place that all machines see, such as "
            f"file:///shared/folder"
        )
        raise StoreUnavailableError(message)


def sent(checkpoint: Checkpoint, dumps: Callable[[object], bytes] = _by_value.dumps) -> Sent:
    """Return a checkpoint in the form in which it travels."""
    is_local = isinstance(getattr(checkpoint._engine, "_store", None), SqliteStore)
    in_memory = functools.partial(checkpoint._in_memory, checkpoint.name, checkpoint.config)
    run = checkpoint._engine.runs.id
    return Sent(dumps(checkpoint), run, checkpoint.place, machine() if is_local else "", in_memory)


@functools.cache
def machine() -> str:
    """Return a name for this machine that is unique, as host names are not."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{os.uname().nodename}/{file.read().strip()}"
    return os.uname().nodename


def host_of(machine: str) -> str:
    """Return the name of a machine, for people."""
    return machine.partition("/")[0]


@functools.lru_cache(maxsize=8)
def _opened(pickled: bytes, run: str) -> Checkpoint:
    checkpoint: Checkpoint = pickle.loads(pickled)
    checkpoint._engine.runs.join(run)
    return checkpoint


def wrapped(checkpoint: Checkpoint, function: Callable[..., Any]) -> Any:
    """Wrap a function so that a checkpoint is current while it runs, and while a generator that it returns runs."""
    call = functools.partial(_call_with, sent(checkpoint), function)
    return functools.update_wrapper(call, function, updated=())


def _call_with(checkpoint: Sent, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    current = checkpoint.open_here()
    with use_checkpoint(current):
        result = function(*args, **kwargs)
    return _each_with(current, result) if hasattr(result, "__next__") else result


def _each_with(checkpoint: Checkpoint, iterator: Any) -> Any:
    end = object()
    while True:
        with use_checkpoint(checkpoint):  # not around `yield`, since the consumer has its own current checkpoint
            item = next(iterator, end)
        if item is end:
            return
        yield item


# ---- the calls of a map ----


class Parcel(NamedTuple):
    """What all tasks of a map have in common, in the form in which it travels."""

    checkpoint: Sent
    current: Sent
    rest: tuple[Any, ...]
    """The fields of the job except its checkpoint."""
    classes: list[bytes]


class Answer(NamedTuple):
    """What came of a chunk."""

    outcomes: list[Outcome]
    stats: Stats
    records: tuple[list[Record], list[Record]]
    """Records for the map's checkpoint and for the current one, if the worker could not see their stores."""
    machine: str
    """The machine that could not see them, or empty."""


def current_or(checkpoint: Checkpoint) -> Checkpoint:
    """Return the current checkpoint, or this one if there is none."""
    with suppress(CheckpointNotInitializedError):
        return get_checkpoint()
    return checkpoint


def packed(job: Job, current: Checkpoint, *, by_value: bool) -> tuple[bytes, Callable[[object], bytes]]:
    """Return a pickled job, and the function with which to pickle its tasks.

    Args:
        job: What the tasks have in common.
        current: The current checkpoint, which travels along.
        by_value: Whether the other process does not know functions and classes of the script.

    Raises:
        TypeError: The job cannot be pickled.
    """
    dumps = _by_value.dumps if by_value else functools.partial(pickle.dumps, protocol=5)
    try:
        own = sent(job.checkpoint, dumps)
        others = own if current is job.checkpoint else sent(current, dumps)
        classes = _by_value.script_classes() if by_value else []
        return dumps(Parcel(own, others, tuple(job[1:]), classes)), dumps
    except Exception as error:
        message = (
            f"{job.method!r} or its checkpoint cannot be sent to another process ({type(error).__name__}: {error}): "
            f'define the function at the top of a module, or use executor="threads"'
        )
        raise TypeError(message) from error


@functools.lru_cache(maxsize=2)
def unpacked(parcel: bytes) -> Parcel:
    """Return what the tasks have in common, unpickled once for all of them."""
    loaded: Parcel = pickle.loads(parcel)
    _by_value.adopt(loaded.classes)
    return loaded


def run_in_worker(parcel: bytes, tasks: bytes) -> bytes:
    """Run a chunk of tasks in another process, and return the pickled answer."""
    own, current, rest, _ = unpacked(parcel)
    checkpoint = own.open()
    others = checkpoint if current is own else current.open()
    answer = run_here(Job(checkpoint, *rest), others, pickle.loads(tasks))
    if not (own.is_seen and current.is_seen):
        records = _records_of(own, checkpoint), _records_of(current, others)
        answer = answer._replace(machine=machine(), records=records)
    return pickle.dumps(answer, protocol=5)


def run_here(job: Job, current: Checkpoint, tasks: Sequence[Task]) -> Answer:
    """Run a chunk of tasks in this process, and return an answer without the results that are in the store."""
    engine = job.checkpoint._engine
    function, call = job.call()
    with use_checkpoint(current):
        outcomes = at_once(run_tasks(job, function, call, tasks))
    stored = engine.done(function, [key for _, key, _ in tasks])
    sendable = [
        _sendable(outcome, is_stored=key in stored) for outcome, (_, key, _) in zip(outcomes, tasks, strict=False)
    ]
    return Answer(sendable, engine.counters.news(), ([], []), "")


def _records_of(checkpoint: Sent, used: Checkpoint) -> list[Record]:
    return [] if checkpoint.is_seen else used._engine.contents.all_records()


def _sendable(outcome: Outcome, *, is_stored: bool) -> Outcome:
    """Leave out a result that is in the store, and replace an error that cannot be pickled and unpickled."""
    if isinstance(outcome, Returned):
        return Stored() if is_stored else outcome
    if isinstance(outcome, Raised):
        try:
            pickle.loads(pickle.dumps(outcome.error))
        except Exception:  # noqa: BLE001 - pickling an error can fail in any way
            outcome = outcome._replace(error=RuntimeError(outcome.failure.error))
        outcome.error.add_note(f"in a worker:\n{outcome.failure.traceback}")
    return outcome


def keep(answer: Answer, checkpoint: Checkpoint, current: Checkpoint) -> None:
    """Keep the records that a worker could not keep itself, and warn about it."""
    if not answer.machine:
        return
    for one, records in zip((checkpoint, current), answer.records, strict=True):
        if records:
            one._engine.contents.keep(records)
            one._engine._warn(  # type: ignore[union-attr]  # one without a store has no records
                StoreUnavailableWarning,
                f"workers on other machines, such as {host_of(answer.machine)}, do not see {one.place}: their results "
                f"are sent to this process, which keeps them. If it ends, those of calls in flight are lost. Set the "
                f"config's `store` to a place that all machines see",
                once="elsewhere",
            )
