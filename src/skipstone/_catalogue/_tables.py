"""The two tables that a catalogue queries: a local store's own, or copies of them for any other store."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from .._record import RecordInfo
from ..stores import Store
from ..stores._local._queries import NUMBERS, define, ranges

_TABLES = """
CREATE TABLE origins (
    id INTEGER PRIMARY KEY, function TEXT, version TEXT, encoding TEXT, code BLOB, run TEXT, host TEXT, process INTEGER
);
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY, key BLOB UNIQUE, origin INTEGER, call_id TEXT, created_at REAL, duration REAL,
    size INTEGER, file TEXT, details BLOB
);
"""
_NEW_ORIGIN = "INSERT INTO origins VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_NEW_RECORD = """
INSERT OR REPLACE INTO records (key, origin, call_id, created_at, duration, size, details) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class Tables(Protocol):
    """The records of a step, to be queried by SQL."""

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a query finds in the tables `records` and `origins`."""
        ...

    def ask_in_parts(self, query: str, parameters: Sequence[Any] = (), *, at_once: int) -> list[Any]:
        """Run a query on each part of the records; return all rows in any order, as of one moment.

        Args:
            query: Its first two parameters are the first and the last `sequence` of a part.
            parameters: The remaining parameters.
            at_once: How many records a part holds at most; more in very large steps.
        """
        ...

    def state(self) -> object:
        """Return a value that differs once the tables have changed."""
        ...

    def close(self) -> None:
        """Close connections and files. A later use opens them again."""
        ...


class ScannedTables:
    """Copies of the tables, without payloads, made by one scan of the store, and made again after `close`.

    They are in memory, or, if they are large and `in_memory` is not set, in a temporary file.
    """

    def __init__(self, store: Store, shown: Callable[[RecordInfo], RecordInfo], *, in_memory: bool) -> None:
        self._store = store
        self._shown = shown
        self._file = ":memory:" if in_memory else ""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self.copied_at: float | None = None
        """When the store was scanned."""

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """See `Tables`."""
        with self._lock:
            if self._connection is None:
                self.copied_at = time.time()
                self._connection = self._copy()
            return self._connection.execute(query, parameters).fetchall()

    def ask_in_parts(self, query: str, parameters: Sequence[Any] = (), *, at_once: int) -> list[Any]:
        """See `Tables`."""
        with self._lock:
            first, last = self.ask(NUMBERS)[0]
            parts = [] if first is None else ranges(first, last, at_once)
            return [row for part in parts for row in self.ask(query, (*part, *parameters))]

    def state(self) -> object:
        """See `Tables`."""
        return self._connection

    def close(self) -> None:
        """See `Tables`; the next question asks the store again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    __del__ = close

    def _copy(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            define(connection)
            connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES} BEGIN")
            connection.executemany(_NEW_RECORD, _rows(connection, map(self._shown, self._store.scan())))
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection


def _rows(connection: sqlite3.Connection, infos: Iterable[RecordInfo]) -> Iterator[tuple[object, ...]]:
    numbers: dict[tuple[object, ...], int] = {}
    for info in infos:
        origin = _origin_of(info)
        number = numbers.get(origin)
        if number is None:
            number = numbers[origin] = len(numbers) + 1
            connection.execute(_NEW_ORIGIN, (number, *origin))
        yield (
            info.key,
            number,
            info.call_id,
            info.created_at_seconds,
            info.duration_seconds,
            info.size_bytes,
            info.details,
        )


def _origin_of(info: RecordInfo) -> tuple[object, ...]:
    return (info.function, info.version, info.encoding, info.code, info.run, info.host, info.process)
