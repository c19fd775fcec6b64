"""The origins of records, which rows of the local store refer to by number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ..._record import Origin
from ._queries import ORIGIN, marks
from ._recovery import damaged_index

NO_ORIGIN = Origin("", "", "unknown", b"", "", "", 0)  # stands for an origin that cannot be read


class Origins(dict[int, Origin]):
    """Origins by number, each read when first asked for."""

    def __init__(self, read: Callable[[int], Origin | None]) -> None:
        super().__init__()
        self._read = read
        self._numbers: dict[Origin, int] = {}

    def __missing__(self, number: int) -> Origin:
        origin = self._read(number)
        if origin is None:
            return NO_ORIGIN
        self[number] = origin
        return origin

    def number_of(self, origin: Origin, connection: sqlite3.Connection) -> int:
        """Return the number of an origin, and give it one if it has none."""
        number = self._numbers.get(origin)
        if number is None:
            connection.execute(
                f"INSERT INTO origins ({ORIGIN}) VALUES ({marks(len(origin))}) ON CONFLICT DO NOTHING", origin
            )
            query = f"SELECT id FROM origins WHERE ({ORIGIN}) = ({marks(len(origin))})"
            row = connection.execute(query, origin).fetchone()
            if row is None:
                raise damaged_index(origin.function.encode())
            number = self._numbers[origin] = int(row[0])
            self[number] = origin
        return number
