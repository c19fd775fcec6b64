"""Look at a local store without making or changing anything in its folder, even while others use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from glob import glob
from typing import Any, NamedTuple

from .._folder import scopes_below
from ._connection import DATABASE, Connection
from ._queries import NUMBERS, define, ranges
from ._read_only import Stamp, stamp_of
from ._sqlite import VALUES, SqliteStore

# Connections use no memory map: without locks, somebody may compact the file, which would shrink under the map.
# Nor do they use a larger cache than usual: each record is read once, and allocating memory takes as long.
_EXTENT = """
    SELECT coalesce((SELECT min(sequence) FROM records), 0), coalesce((SELECT max(sequence) FROM records), 0),
           (SELECT value FROM state WHERE name = 'epoch'), (SELECT file FROM pragma_database_list WHERE name = 'main') <> ''
"""
_FEW_RECORDS = 100_000
_MOST_THREADS = 4


class _Extent(NamedTuple):
    """The first and last record, and what differs once a record was removed."""

    first: int
    last: int
    epoch: int
    is_in_file: bool
    """False for a copy in memory."""
    file: tuple[int, int]


class LookedAtStore(SqliteStore):
    """A step's folder, read only and never unpickled, so that it does not matter who owns it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, trusted=True)
        self._connection = Connection(folder, sync_each=False, trusted=True, forget=self._forget, only_looks=True)

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a query finds in the tables `records` and `origins`, all as of one moment."""
        return self._at_one_moment(lambda connection: connection.execute(query, parameters).fetchall())

    def _at_one_moment(self, look: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        """Read, and read again for as long as somebody writes meanwhile to a file that is read without locks."""
        while True:
            with self._connection:
                connection = self._connection.in_place()
                before = self.state()
                try:
                    rows = _looked(connection, look)
                except sqlite3.Error:
                    if not self._was_changed(before):
                        raise
                else:
                    if not self._was_changed(before):
                        return rows

    def ask_in_parts(self, query: str, parameters: Sequence[Any] = (), *, at_once: int) -> list[Any]:
        """Run a query on each part of the records; return all rows in any order, as of one moment.

        If there are many records, several threads share the parts, each with its own connection: SQLite releases
        the interpreter's lock while it works.

        Args:
            query: Its first two parameters are the first and the last `sequence` of a part.
            parameters: The remaining parameters.
            at_once: How many records a part holds at most; more in very large steps.

        Raises:
            StoreUnavailableError: The database cannot be read.
        """
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        rows = self._together(query, parameters, at_once, threads) if threads > 1 else None
        if rows is not None:
            return rows

        def look(connection: sqlite3.Connection) -> list[Any]:
            first, last = connection.execute(NUMBERS).fetchone()
            parts = [] if first is None else ranges(first, last, at_once)
            return [row for part in parts for row in connection.execute(query, (*part, *parameters))]

        return self._at_one_moment(look)

    def _together(self, query: str, parameters: Sequence[Any], at_once: int, threads: int) -> list[Any] | None:
        """Query the parts in several threads; return None if records are few, or if one was removed meanwhile."""
        before = self._extent()
        if not before.is_in_file or before.last - before.first < _FEW_RECORDS:
            return None
        from concurrent.futures import ThreadPoolExecutor

        parts = ranges(before.first, before.last, min(at_once, (before.last - before.first) // threads + 1))

        def look(number: int) -> list[Any]:
            with closing(LookedAtStore(self.folder)) as store:
                return [row for part in parts[number::threads] for row in store.ask(query, (*part, *parameters))]

        with ThreadPoolExecutor(threads) as pool:
            rows = [row for some in pool.map(look, range(threads)) for row in some]
        after = self._extent()
        # Records saved meanwhile do no harm: they come after the last part.
        return rows if after.last >= before.last and after._replace(last=before.last) == before else None

    def _extent(self) -> _Extent:
        state = self.state()
        first, last, epoch, is_in_file = self.ask(_EXTENT)[0]
        return _Extent(first, last, epoch, is_in_file, (state.device, state.inode))

    def _was_changed(self, before: Stamp) -> bool:
        """Tell whether the database was written while it was read without locks: what was read may be torn."""
        is_locked = before.log_bytes > 0  # with a log, SQLite's own locks keep readers and writers apart
        return not is_locked and self.state().of_file != before.of_file

    def is_there(self) -> bool:
        """Tell whether the step has a database."""
        return os.path.exists(f"{self.folder}/{DATABASE}")

    def check_owner(self) -> None:
        """Check, before anything in the folder is unpickled, that nobody else could have planted it.

        Raises:
            UnsafeStoreError: Others own the folder or can write to it.
        """
        self._connection._check_owner()

    def value_files(self) -> Iterator[tuple[str, str]]:
        """Yield the name, as a row would give it, and the path of each file of a large payload."""
        root = f"{self.folder}/{VALUES}"
        for name in glob("*/*.value", root_dir=root):
            yield name, f"{root}/{name}"

    def state(self) -> Stamp:
        """Return a value that differs once a record has been saved or removed."""
        with self._connection.translating():
            return stamp_of(f"{self.folder}/{DATABASE}")


def _looked(connection: sqlite3.Connection, look: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
    define(connection)
    try:
        connection.execute("BEGIN")  # inside `try`: Ctrl-C may come just after it
        return look(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def scopes(root: str) -> list[str]:
    """Return the `<index>/<step>` of every database below a checkpoint folder, spelled as its folders are."""
    return scopes_below(root, DATABASE)
