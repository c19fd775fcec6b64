"""Rows read before they are asked for, in the order in which they were saved.

A rerun asks in nearly the order of the last run, so the rows that follow a hit are likely to be next. A look-up
sweeps a window of rows behind it into memory and doubles the window; one that goes elsewhere lets the sweep go on
where it was. So a reader in order looks up one row in thousands, and a step that fits the budget is soon in memory
whole, whatever the order. When the budget is full, a reader in order starts anew from where it is; for any other
one, reading ahead ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeAlias

from .._record import Buffer, Key

Row: TypeAlias = tuple[Key, bytes, int, float, Buffer]
"""Key, checksum, origin's number, duration in seconds, payload. The garbage collector ignores such a tuple."""

ReadRange: TypeAlias = Callable[[int, int], dict[Key, Row]]
"""Return the rows with sequence numbers above the first and up to the second."""

_FIRST_WINDOW_ROWS, _MOST_WINDOW_ROWS = 16, 2048
_NEAR_ROWS, _ENOUGH_IN_ORDER = 16, 2
_MOST_WINDOW_BYTES, _BUDGET_BYTES = 4 << 20, 24 << 20
_ROW_OVERHEAD_BYTES = 400  # of a row, its key and its place in the dictionary

_payload = itemgetter(4)


class ReadAhead:
    """The rows that were read ahead. Not safe for threads, but for looking into `rows`."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self._held_bytes = 0
        self._window_rows = _FIRST_WINDOW_ROWS
        self._in_order = 0  # how many look-ups came right behind the one before
        self._asked = self._start = self._stop = -1  # what was looked up last, and the range that was swept last

    def clear(self) -> None:
        """Forget what was read."""
        self.__init__()  # type: ignore[misc]

    def discard(self, keys: Iterable[Key]) -> None:
        """Forget these rows."""
        for key in keys:
            self.rows.pop(key, None)

    def extend(self, sequence: int, read_range: ReadRange) -> None:
        """Read on, now that the row of this sequence number was looked up."""
        if self._start < sequence <= self._stop:
            return  # it was in the range, but is none to read ahead: a large one
        first, follows = self._asked < 0, self._asked < sequence <= self._asked + _NEAR_ROWS
        near = self._stop < sequence <= self._stop + max(self._window_rows, _FIRST_WINDOW_ROWS)
        self._in_order = self._in_order + 1 if follows else 0
        self._asked = sequence
        if self._held_bytes >= _BUDGET_BYTES or self._window_rows == 0:
            if self._in_order < _ENOUGH_IN_ORDER:
                return  # by chance, a reader at random comes near the last one, but not time after time
            if self._held_bytes >= _BUDGET_BYTES:
                self.clear()
            self._window_rows = _FIRST_WINDOW_ROWS
            self._asked, first = sequence, True
        self._sweep(sequence if first or (follows and not near) else self._stop, read_range)

    def _sweep(self, start: int, read_range: ReadRange) -> None:
        found = read_range(start, start + self._window_rows)
        held_before = len(self.rows)
        self.rows.update(found)
        read_bytes = sum(map(len, map(_payload, found.values()))) + _ROW_OVERHEAD_BYTES * len(found)
        self._held_bytes += read_bytes
        self._start, self._stop = start, start + self._window_rows
        if len(self.rows) > held_before:
            most = min(_MOST_WINDOW_ROWS, max(1, _MOST_WINDOW_BYTES * len(found) // read_bytes))
            self._window_rows = min(2 * self._window_rows, most)
        elif found or start == 0:
            self._window_rows = 0  # all that there is has been read
        else:
            self._start = self._stop = 0  # the end: go on from the beginning
