"""What a checkpoint did since it was opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple


class Stats(NamedTuple):
    """Counts of one checkpoint in one process, since it was opened."""

    hits: int = 0
    """Calls whose stored result was returned."""
    misses: int = 0
    """Calls that ran, and returned."""
    failures: int = 0
    """Calls that ran, and raised."""
    seconds_saved: float = 0.0
    """How long the calls that were hits took when they ran."""
    seconds_run: float = 0.0
    """How long the misses and failures ran."""
    bytes_loaded: int = 0
    bytes_saved: int = 0
    not_saved: int = 0
    """Misses whose result was returned, but could not be kept."""

    def __str__(self) -> str:
        """Say it in a line."""
        lost = f", {self.not_saved:,} NOT SAVED" if self.not_saved else ""
        return (
            f"{_counted(self.hits, 'hit')}, {_counted(self.misses, 'miss', 'misses')}, "
            f"{_counted(self.failures, 'failure')}{lost}; ran {self.seconds_run:.1f} s, saved {self.seconds_saved:.1f} s"
        )


def difference(now: Stats, before: Stats) -> Stats:
    """Return what was done between two moments."""
    return Stats(*(one - other for one, other in zip(now, before, strict=True)))  # type: ignore[arg-type]


def _counted(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


_FOLD_AFTER_HITS = 4096


class Counters:
    """Counts from many threads."""

    __slots__ = ("_counts", "_hits", "_lock", "on_count")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0, 0, 0, 0.0, 0.0, 0, 0, 0]
        self._hits: list[tuple[float, int]] = []
        self.on_count: Callable[[], object] = lambda: None
        """Called when something was counted; of hits, now and then."""

    def hit(self, seconds: float, size_bytes: int) -> None:
        """Count a hit."""
        # Appending is atomic, and takes a quarter of the time of a lock.
        self._hits.append((seconds, size_bytes))
        if len(self._hits) >= _FOLD_AFTER_HITS:
            self._fold()
            self.on_count()

    def hits(self, count: int, seconds: float, size_bytes: int) -> None:
        """Count hits that were made together."""
        with self._lock:
            self._counts[0] += count
            self._counts[3] += seconds
            self._counts[5] += size_bytes
        self.on_count()

    def _fold(self) -> None:
        counts, hits = self._counts, self._hits
        with self._lock:
            count = len(hits)
            counts[0] += count
            counts[3] += sum(seconds for seconds, _ in hits[:count])
            counts[5] += sum(size_bytes for _, size_bytes in hits[:count])
            del hits[:count]

    def miss(self, seconds: float) -> None:
        """Count a call that returned."""
        with self._lock:
            self._counts[1] += 1
            self._counts[4] += seconds
        self.on_count()

    def failure(self, seconds: float) -> None:
        """Count a call that raised."""
        with self._lock:
            self._counts[2] += 1
            self._counts[4] += seconds
        self.on_count()

    def saved(self, size_bytes: int) -> None:
        """Count bytes that were saved."""
        with self._lock:
            self._counts[6] += size_bytes

    def not_saved(self) -> None:
        """Count a result that could not be kept."""
        with self._lock:
            self._counts[7] += 1

    def add(self, stats: Stats) -> None:
        """Count what another process did."""
        with self._lock:
            self._counts = [one + other for one, other in zip(self._counts, stats, strict=True)]
        self.on_count()

    def stats(self) -> Stats:
        """Return the counts of this moment."""
        self._fold()
        with self._lock:
            return Stats(*self._counts)  # type: ignore[arg-type]
