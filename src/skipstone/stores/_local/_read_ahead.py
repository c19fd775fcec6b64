"""Read rows before they are asked for, in the order in which they were saved.

A rerun asks for records in nearly the order of the last run, so the rows that follow a hit are likely to be next.
After a look-up, a window of the following rows is swept into memory, and the window doubles. A look-up elsewhere does
not move the window: the sweep continues where it stopped. So a reader in order looks up one row in thousands, and a
step that fits the memory budget is soon in memory as a whole, whatever the order.

A step larger than the budget is treated in two ways. For a reader in order, only the last sweep and the next are held,
so that they stay in the processor's cache. For any other reader, reading ahead ends at once, or when the budget is
full (see `is_of_use_in_part`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeAlias, TypeVar

from ..._record import Key

Row = TypeVar("Row")

ReadRange: TypeAlias = Callable[[int, int], tuple[dict[Key, Row], int]]
"""Returns the rows with sequence numbers above the first and up to the second, and their size in memory in bytes."""

_FIRST_WINDOW_ROWS, _MOST_WINDOW_ROWS = 16, 2048
_NEAR_ROWS, _ENOUGH_IN_ORDER = 16, 2
_MOST_WINDOW_BYTES, _FEW_BYTES, _BUDGET_BYTES = 4 << 20, 3 << 20, 24 << 20


class ReadAhead(Generic[Row]):
    """The rows that were read ahead. Only `rows` may be looked into without the store's lock."""

    def __init__(
        self, read_range: ReadRange[Row], size_bytes: Callable[[], int], *, is_of_use_in_part: bool
    ) -> None:
        """Start with nothing read.

        Args:
            read_range: Reads rows.
            size_bytes: Returns how much memory all rows would take.
            is_of_use_in_part: Read ahead for a reader at random, too, even if only part of the rows fit the budget:
                such a reader is likely to ask for nearly all of them.
        """
        self.rows: dict[Key, Row] = {}
        """Never replaced by another dictionary, so others may keep a reference to it."""
        self._read_range = read_range
        self._size_bytes = size_bytes
        self._is_of_use_in_part = is_of_use_in_part
        self.clear()

    def clear(self) -> None:
        """Forget what was read."""
        self.rows.clear()
        self._held_bytes = self._last_bytes = 0
        self._last: dict[Key, Row] = {}  # the rows of the last sweep
        self._window_rows = _FIRST_WINDOW_ROWS  # 0: no more reading ahead
        self._in_order = 0  # how many look-ups in a row came soon after the one before
        self._asked = self._start = self._stop = -1  # the last look-up, and the range of the last sweep

    def discard(self, keys: Iterable[Key]) -> None:
        """Forget these rows."""
        for key in keys:
            self.rows.pop(key, None)
            self._last.pop(key, None)

    def extend(self, first: int, last: int) -> None:
        """Read ahead, given that rows between these two sequence numbers were just looked up."""
        if self._start < last <= self._stop:
            return  # already swept past, but not held: its payload is a file, which is never read ahead
        fresh, follows = self._asked < 0, self._asked < first <= self._asked + _NEAR_ROWS
        near = self._stop < last <= self._stop + max(self._window_rows, _FIRST_WINDOW_ROWS)
        self._in_order = self._in_order + 1 if follows or near else 0
        self._asked = last
        # Even a random reader comes near its last row by chance, but not several times in a row.
        is_in_order = self._in_order >= _ENOUGH_IN_ORDER
        if not is_in_order and (self._held_bytes >= _BUDGET_BYTES or self._window_rows == 0):
            return
        if is_in_order and self._held_bytes >= _FEW_BYTES and not self._fits():
            self._keep_last()
        if self._window_rows == 0:
            self._window_rows, fresh = _FIRST_WINDOW_ROWS, True
        if not (fresh or follows or near or self._is_of_use_in_part or self._fits()):
            self._window_rows = 0
            return
        self._sweep(last if fresh or (follows and not near) else self._stop)

    def _fits(self) -> bool:
        return max(self._held_bytes, self._size_bytes()) < _BUDGET_BYTES

    def _keep_last(self) -> None:
        self.rows.clear()
        self.rows.update(self._last)
        self._held_bytes = self._last_bytes

    def _sweep(self, start: int) -> None:
        found, read_bytes = self._read_range(start, start + self._window_rows)
        held_before = len(self.rows)
        self.rows.update(found)
        self._last, self._last_bytes = found, read_bytes
        self._held_bytes += read_bytes
        self._start, self._stop = start, start + self._window_rows
        if len(self.rows) > held_before:
            most = min(_MOST_WINDOW_ROWS, max(1, _MOST_WINDOW_BYTES * len(found) // read_bytes))
            self._window_rows = min(2 * self._window_rows, most)
        elif found or start == 0:
            self._window_rows = 0  # everything has been read
        else:
            self._start = self._stop = 0  # the end was reached: continue from the beginning
