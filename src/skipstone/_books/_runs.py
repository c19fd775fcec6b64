"""Runs: what was done from the opening of a checkpoint to its end, told now and then in a store beside the step's.

A run is a record of its own, replaced in place, in a store that holds nothing else. That store is opened when there is
something to tell: at the first call that runs, every second or so while something happens, and at the end. Telling
disturbs nobody: where it does not work, it is left out. A run that was killed has told no end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeVar

from .. import _log
from .._digest import blake2b
from .._encoding._codec import Codec
from .._encoding._serializers import PickleSerializer
from .._record import Key, Origin, Record, RecordInfo, parts_of
from ..stores import MemoryStore, Store
from ..stores._liveness import process_of, this_process
from ._stats import Counters, Stats

T = TypeVar("T")

KEPT_RUNS = 1000
"""How many runs of a step are kept, at least: older ones are removed now and then."""

_EVERY_SECONDS, _EVERY_SECONDS_FAR = 1.0, 5.0
_AFTER_TROUBLE_SECONDS = 60.0
_SILENT_AFTER_SECONDS = 300.0
_PRUNES_OF_256 = 8  # runs that look for older ones to be removed, of 256
_KEYS_AT_ONCE = 500
HOST = os.uname().nodename
_ORIGIN = Origin("", "", "run", b"", "", "", 0)
_seals = Codec(PickleSerializer())


class RunningMap(NamedTuple):
    """A map that is under way."""

    function: str
    """The function's name."""
    total: int | None
    """How many calls there are; None if the input does not say."""
    done_before: int
    """Calls whose result was stored already."""
    done_now: int
    """Calls that ran and returned."""
    failed: int
    """Calls that raised, or were left alone because they had failed too often."""
    workers: int
    """How many calls, or batches, run at a time."""
    started_at_seconds: float
    """Unix time."""

    @property
    def done(self) -> int:
        """Calls that are over: found done, run, or failed."""
        return self.done_before + self.done_now + self.failed

    def per_second(self, now: float) -> float | None:
        """Return how many calls ran per second, up to now; None if none did."""
        ran, seconds = self.done_now + self.failed, now - self.started_at_seconds
        return ran / seconds if ran and seconds > 0 else None

    def seconds_left(self, now: float) -> float | None:
        """Return how many seconds the rest takes at this rate; None if that cannot be told."""
        rate = self.per_second(now)
        return None if rate is None or self.total is None else max(0.0, (self.total - self.done) / rate)


class Run(NamedTuple):
    """What was done at one step from the opening of its checkpoint to its end, its map's worker processes included."""

    id: str
    """As in `RecordInfo.run` of the records that it made."""
    step: str
    """The step's name."""
    stats: Stats
    """What was done up to `updated_at_seconds`."""
    started_at_seconds: float
    """Unix time at which the checkpoint was opened."""
    updated_at_seconds: float
    """Unix time at which the run recorded this."""
    state: Literal["running", "ended", "killed", "silent"]
    """`killed`: its process is dead, and recorded no end. `silent`: it is on another machine, and has recorded nothing for
    five minutes: it computes one long call, or is dead."""
    host: str
    process: int
    """The number of the process on the host."""
    maps: tuple[RunningMap, ...]
    """The maps that are under way."""


class Runs:
    """The run of one checkpoint in this process, and those before it."""

    def __init__(self, counters: Counters) -> None:
        """Tell in memory what is counted; `keep` says where else."""
        self.id = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}"
        self._counters = counters
        self._open: Callable[[], Store] = MemoryStore
        self._store: Store | None = None
        self._maps: list[Callable[[], RunningMap]] = []
        self._started_at_seconds = time.time()
        self._process = os.getpid()
        self._is_part = False
        self._told: tuple[object, ...] | None = None
        self._due = time.monotonic() + _EVERY_SECONDS  # hits that take less are told at the end
        self._has_run = False
        # Reentrant: garbage is collected at any time, and what ends then may close the checkpoint.
        self._lock = threading.RLock()
        self._is_telling = False
        counters.on_count = self.tick

    def keep(self, step: str, store: Callable[[], Store] = MemoryStore) -> None:
        """Name the step, and say what opens the store of its runs."""
        self._counters.step, self._open = step, store

    def join(self, run: str) -> None:
        """Belong to a run of another process, which is told there."""
        self.id, self._is_part = run, True

    def begin(self, running: Callable[[], RunningMap]) -> None:
        """A map begins: this tells how far it is."""
        self._maps.append(running)

    def end(self, running: Callable[[], RunningMap]) -> None:
        """A map is over."""
        if running in self._maps:
            self._maps.remove(running)

    def call_begins(self) -> None:
        """A call runs, which may take long: tell the first one at once."""
        if not self._has_run:
            self._has_run, self._due = True, 0.0
        self.tick()

    def tick(self) -> None:
        """Something happened: tell it, if it is time to."""
        if time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_told_elsewhere():
                self._due = float("inf")
                return
            self._due = (
                time.monotonic() + _EVERY_SECONDS
            )  # what is counted amid this is told with it, or the next time
            store = self._opened()
            self._due = time.monotonic() + (_EVERY_SECONDS_FAR if store.is_remote else _EVERY_SECONDS)
            if not store.is_remote:
                self._tell(store)
                return
            with suppress(RuntimeError):  # the interpreter is about to exit
                # Whoever counts may be an event loop.
                threading.Thread(target=self._tell_far, args=(store,), name="skipstone-run", daemon=True).start()
        finally:
            self._lock.release()

    def _tell_far(self, store: Store) -> None:
        with self._lock:
            self._tell(store)

    def close(self) -> None:
        """Tell the end, if there was something, and let go of the store."""
        if self._is_told_elsewhere():  # the lock may be held by a thread that was not forked
            return
        with self._lock:
            if self._is_begun():
                self._tell(self._opened(), is_over=True)
            if self._store is not None:
                self._store.close()

    def _is_told_elsewhere(self) -> bool:
        """Tell whether another process tells of this run: the one that it was sent by, or forked by."""
        return self._is_part or self._process != os.getpid()

    def _is_begun(self) -> bool:
        return self._told is not None or self._counters.stats() != Stats()

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open()
        return self._store

    def _tell(self, store: Store, *, is_over: bool = False) -> None:
        if self._is_telling:
            return
        self._is_telling = True
        try:
            self._tell_now(store, is_over=is_over)
        finally:
            self._is_telling = False

    def _tell_now(self, store: Store, *, is_over: bool) -> None:
        maps = [each() for each in list(self._maps)]
        telling = (self._counters.stats(), is_over, maps)
        if telling == self._told and not maps:
            return
        try:
            store.put(self._record(*telling), replace=True)
            if is_over and os.urandom(1)[0] < _PRUNES_OF_256:
                prune(store)
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
            self._due = time.monotonic() + _AFTER_TROUBLE_SECONDS
            _log.debug("cannot tell what this run does: %s", error)
        else:
            self._told = telling

    def _record(self, stats: Stats, is_over: bool, maps: list[RunningMap]) -> Record:
        import json

        now = time.time()
        told = {
            "step": self._counters.step,
            "stats": stats._asdict(),
            "updated_at_seconds": now,
            "is_over": is_over,
            "host": HOST,
            "process": str(this_process()),
            "maps": [each._asdict() for each in maps],
        }
        lasted = now - self._started_at_seconds
        payload = json.dumps(told).encode()
        return _seals.seal(Record(_key(self.id), b"", _ORIGIN, lasted, payload, self.id, self._started_at_seconds))

    def store(self) -> Store:
        """Return the store of this and other runs."""
        if self._is_told_elsewhere():
            return self._opened()
        with self._lock:
            return self._opened()

    def all(self) -> Iterator[Run]:
        """Yield all runs, this one up to this moment, the newest last.

        Raises:
            StoreError: The store cannot be read.
        """
        if self._is_told_elsewhere():
            return runs_in(self._open())
        with self._lock:
            store = self._opened()
            if self._is_begun():
                self._tell(store, is_over=self._told == (self._counters.stats(), True, []))
        return runs_in(store)


def runs_in(store: Store) -> Iterator[Run]:
    """Yield the runs that a store tells of, the newest last.

    Raises:
        StoreError: The store cannot be read.
    """
    infos = _infos(store)
    for start in range(0, len(infos), _KEYS_AT_ONCE):
        some = infos[start : start + _KEYS_AT_ONCE]
        records = store.get_many([info.key for info in some])
        for info in some:
            record = records.get(info.key)
            if record is not None and _seals.is_intact(record):
                yield _run_of(info.call_id, info.created_at_seconds, record)


def prune(store: Store, *, dry_run: bool = False) -> int:
    """Remove all runs but the last thousand; return how many there are."""
    old = _infos(store)[:-KEPT_RUNS]
    if old and not dry_run:
        store.delete([info.key for info in old])
    return len(old)


def _infos(store: Store) -> list[RecordInfo]:
    told = [info for info in store.scan() if info.encoding == _ORIGIN.encoding]
    return sorted(told, key=lambda info: info.created_at_seconds)


def _run_of(run: str, started_at_seconds: float, record: Record) -> Run:
    import json

    told: dict[str, Any] = json.loads(b"".join(parts_of(record.payload)))
    process = process_of(told["process"])
    updated = float(told["updated_at_seconds"])
    state: Literal["running", "ended", "killed", "silent"] = "running"
    if told["is_over"]:
        state = "ended"
    elif process is not None and process.is_dead():
        state = "killed"
    elif time.time() - updated > _SILENT_AFTER_SECONDS and not (process and process.is_alive()):
        state = "silent"
    return Run(
        run,
        told["step"],
        _read(Stats, told["stats"]),
        started_at_seconds,
        updated,
        state,
        told["host"],
        0 if process is None else process.number,
        tuple(_read(RunningMap, each) for each in told["maps"]),
    )


def _read(kind: type[T], told: dict[str, Any]) -> T:
    """Return what this skipstone knows of it: a newer one may have told more."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return kind(**{name: told[name] for name in fields if name in told})


def _key(run: str) -> Key:
    return blake2b(run.encode(), digest_size=16, person=b"run").digest()
