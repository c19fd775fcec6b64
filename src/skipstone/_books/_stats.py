"""What a checkpoint did since it was opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from .._encoding._trailer import Notes
from .._html import facts
from .._units import count_text, number_text
from ..stores._forks import begin_in_children

_NONE: Notes = {}


class Stats(NamedTuple):
    """Counts of one checkpoint in one process, since it was opened."""

    hits: int = 0
    """Calls whose stored result was returned. A call that `drain` finds done does not count: `drain` returns nothing."""
    misses: int = 0
    """Calls that ran, and returned."""
    failures: int = 0
    """Calls that ran, and raised."""
    seconds_saved: float = 0.0
    """How long the calls that were hits took when they ran."""
    seconds_run: float = 0.0
    """How long the misses and failures ran."""
    bytes_loaded: int = 0
    """Sizes of the serialized results of hits, as they are stored."""
    bytes_saved: int = 0
    """Sizes of the serialized results of misses, as they are stored."""
    not_saved: int = 0
    """Misses whose result was returned, but could not be kept."""
    notes_spent: Notes = _NONE
    """Sums of the numbers that calls noted when they ran, by name; see `note`."""
    notes_saved: Notes = _NONE
    """Sums of the numbers that hits had noted when they ran."""
    seconds_waited: float = 0.0
    """How long calls waited for somebody else who computed the same call."""
    left_alone: int = 0
    """Calls of maps that were not tried again, because they had failed too often: see `skip_failed_after`."""

    def __str__(self) -> str:
        """Say it in a line."""
        alone = f", {self.left_alone:,} left alone" if self.left_alone else ""
        lost = f", {self.not_saved:,} NOT SAVED" if self.not_saved else ""
        between = ";" if self.notes_spent or self.notes_saved else ","
        return (
            f"{count_text(self.hits, 'hit')}, {count_text(self.misses, 'miss', 'misses')}, "
            f"{count_text(self.failures, 'failure')}{alone}{lost}; ran {_cost(self.seconds_run, self.notes_spent)}{between} "
            f"saved {_cost(self.seconds_saved, self.notes_saved)}"
        )

    def as_dict(self) -> dict[str, float | dict[str, float]]:
        """Return the counts as plain data, for JSON and for other tools, with the unit at the end of each name."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "failures": self.failures,
            "left_alone": self.left_alone,
            "not_saved": self.not_saved,
            "saved_seconds": self.seconds_saved,
            "run_seconds": self.seconds_run,
            "waited_seconds": self.seconds_waited,
            "loaded_bytes": self.bytes_loaded,
            "saved_bytes": self.bytes_saved,
            "notes_spent": dict(self.notes_spent),
            "notes_saved": dict(self.notes_saved),
        }

    def rows(self) -> list[tuple[str, object]]:
        """Return the counts as rows of a table."""
        rare = {"left alone": self.left_alone, "not saved": self.not_saved}
        counts = {"hits": self.hits, "misses": self.misses, "failures": self.failures, **rare}
        told: list[tuple[str, object]] = [
            (name, f"{count:,}") for name, count in counts.items() if count or name not in rare
        ]
        told.append(("ran", _cost(self.seconds_run, self.notes_spent)))
        told.append(("saved", _cost(self.seconds_saved, self.notes_saved)))
        told.append(("bytes loaded, saved", f"{self.bytes_loaded:,}, {self.bytes_saved:,}"))
        return told

    def _repr_html_(self) -> str:
        return facts("done so far", self.rows())


def total(several: Iterable[Stats]) -> Stats:
    """Return what was done together."""
    done = Stats()
    for each in several:
        done = Stats(*[_plus(one, other) for one, other in zip(done, each, strict=True)])
    return done


def _plus(one: Any, other: Any, *, sign: int = 1) -> Any:
    if not isinstance(one, Mapping):
        return one + sign * other
    return {name: one.get(name, 0) + sign * other.get(name, 0) for name in {**one, **other}}


def _cost(seconds: float, notes: Notes) -> str:
    return ", ".join([duration(seconds), *(f"{number_text(each)} {name}" for name, each in notes.items())])


def duration(seconds: float) -> str:
    """Return a duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


_FOLD_AFTER = 4096
_seconds, _size = itemgetter(0), itemgetter(1)
_HITS, _MISSES, _FAILURES, _SECONDS_SAVED, _SECONDS_RUN, _BYTES_LOADED = range(6)
_BYTES_SAVED, _NOT_SAVED, _NOTES_SPENT, _NOTES_SAVED, _SECONDS_WAITED, _LEFT_ALONE = range(6, 12)
_NOTES = (_NOTES_SPENT, _NOTES_SAVED)


class Counters:
    """Counts from many threads.

    Counting only appends, which is atomic and takes a quarter of the time of a lock. Garbage is collected at any time, so
    that what ends then may count in a thread that sums up just now: that is summed up the next time.
    """

    __slots__ = (
        "__weakref__",
        "_counted",
        "_hits",
        "_is_folding",
        "_lock",
        "_sums",
        "_told",
        "on_count",
        "step",
    )

    def __init__(self) -> None:
        begin_in_children(self)
        self._hits: list[tuple[float, int]] = []
        self._counted: list[tuple[int, Any]] = []
        """What each count grows by, other than by single hits."""
        self._sums = Stats()
        self._told = Stats()
        self.on_count: Callable[[], object] = lambda: None
        """Called when something was counted; of hits, now and then."""
        self.step = ""
        """What they are counts of."""

    def begin(self) -> None:
        """Nobody sums up just now: this is a new process."""
        self._lock = threading.RLock()
        self._is_folding = False

    def hit(self, seconds: float, size_bytes: int) -> None:
        """Count a hit."""
        self._hits.append((seconds, size_bytes))
        if len(self._hits) >= _FOLD_AFTER:
            self._fold()
            self.on_count()

    def _count(self, *counted: tuple[int, Any]) -> None:
        self._counted.extend(counted)  # at once: a call and its seconds are told together
        if len(self._counted) >= _FOLD_AFTER:
            self._fold()

    def hits(self, count: int, seconds: float, size_bytes: int) -> None:
        """Count hits that were made together."""
        self._count((_HITS, count), (_SECONDS_SAVED, seconds), (_BYTES_LOADED, size_bytes))
        self.on_count()

    def miss(self, seconds: float, notes: Notes) -> None:
        """Count a call that returned."""
        self._ran(_MISSES, seconds, notes)

    def failure(self, seconds: float, notes: Notes) -> None:
        """Count a call that raised."""
        self._ran(_FAILURES, seconds, notes)

    def _ran(self, which: int, seconds: float, notes: Notes) -> None:
        if notes:
            self._count((_NOTES_SPENT, {**notes}))
        self._count((which, 1), (_SECONDS_RUN, seconds))
        self.on_count()

    def saved(self, size_bytes: int) -> None:
        """Count bytes that were saved."""
        self._count((_BYTES_SAVED, size_bytes))

    def not_saved(self) -> None:
        """Count a result that could not be kept."""
        self._count((_NOT_SAVED, 1))

    def notes_saved(self, notes: Notes) -> None:
        """Count the numbers that a hit had noted when it ran."""
        if notes:
            self._count((_NOTES_SAVED, {**notes}))

    def left_alone(self, count: int) -> None:
        """Count calls that were not tried again."""
        self._count((_LEFT_ALONE, count))
        self.on_count()

    def waited(self, seconds: float) -> None:
        """Count that a call waited for somebody else."""
        self._count((_SECONDS_WAITED, seconds))

    def add(self, stats: Stats) -> None:
        """Count what another process did."""
        self._count(*enumerate(stats))
        self.on_count()

    def _fold(self) -> None:
        """Sum up what was counted; the lock is held by nobody, or by this thread."""
        with self._lock:
            if self._is_folding:
                return
            self._is_folding = True
            try:
                hits, counted = len(self._hits), len(self._counted)
                sums: list[Any] = [*self._sums]
                sums[_HITS] += hits
                sums[_SECONDS_SAVED] += sum(map(_seconds, self._hits[:hits]))
                sums[_BYTES_LOADED] += sum(map(_size, self._hits[:hits]))
                for which, more in self._counted[:counted]:
                    sums[which] = _plus(sums[which], more) if which in _NOTES else sums[which] + more
                self._sums = Stats(*sums)
                del self._hits[:hits], self._counted[:counted]
            finally:
                self._is_folding = False

    def stats(self) -> Stats:
        """Return the counts of this moment."""
        self._fold()
        return self._sums

    def news(self) -> Stats:
        """Return what was counted since this was asked last: each count is told once, whichever thread asks."""
        self._fold()
        with self._lock:
            sums = self._sums
            before, self._told = self._told, sums
            return Stats(*[_plus(now, then, sign=-1) for now, then in zip(sums, before, strict=True)])
