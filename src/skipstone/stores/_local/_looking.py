"""The local store, looked at: nothing in its folder is made or changed, not even where it is in use."""

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
from ._read_only import Standing, standing
from ._sqlite import VALUES, SqliteStore

# Connections have no memory map: where nothing is locked, a file that somebody compacts would be cut under it. Nor a larger
# cache than usual: all records are read once, and to get memory from the system takes as long as to read them.
_EXTENT = """
    SELECT coalesce((SELECT min(sequence) FROM records), 0), coalesce((SELECT max(sequence) FROM records), 0),
           (SELECT value FROM state WHERE name = 'epoch'), (SELECT file FROM pragma_database_list WHERE name = 'main') <> ''
"""
_FEW_RECORDS = 100_000
_MOST_THREADS = 4


class _Extent(NamedTuple):
    """Where records begin and end, and what is another one when one of them was removed."""

    first: int
    last: int
    epoch: int
    is_in_file: bool
    """Rather than in a copy in memory."""
    file: tuple[int, int]


class LookedAtStore(SqliteStore):
    """A step's folder on the local disk, whoever owns it: its bytes are read, and none of them is unpickled."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, trusted=True)
        self._connection = Connection(folder, sync_each=False, trusted=True, forget=self._forget, only_looks=True)

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a query finds in the tables `records` and `origins` as they are now."""
        return self._at_one_moment(lambda connection: connection.execute(query, parameters).fetchall())

    def _at_one_moment(self, look: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
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
        """Return the rows that a query finds in all parts of the records, in any order, as these are at one moment.

        Where there are many, processors share the work, each with a connection of its own: SQLite keeps no other thread
        from running.

        Args:
            query: Its first two parameters are the first and the last `sequence` of a part.
            parameters: The others.
            at_once: How many records a part has at most, but for steps of very many.

        Raises:
            StoreUnavailableError: It cannot be read.
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
        """Ask for parts beside one another; return None if these are few, or if records were removed meanwhile."""
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
        # What was saved meanwhile is behind the last part.
        return rows if after.last >= before.last and after._replace(last=before.last) == before else None

    def _extent(self) -> _Extent:
        state = self.state()
        first, last, epoch, is_in_file = self.ask(_EXTENT)[0]
        return _Extent(first, last, epoch, is_in_file, (state.device, state.number))

    def _was_changed(self, before: Standing) -> bool:
        """Tell whether the database was written under a connection that reads without locks: then it was torn."""
        is_locked = before.log_bytes > 0  # where there is a log, readers and writers know of each other
        return not is_locked and self.state().of_file != before.of_file

    def is_there(self) -> bool:
        """Tell whether there is a database."""
        return os.path.exists(f"{self.folder}/{DATABASE}")

    def check_owner(self) -> None:
        """Refuse a folder in which others could plant something, before anything of it is unpickled.

        Raises:
            UnsafeStoreError: Others own it or can write to it.
        """
        self._connection._check_owner()

    def value_files(self) -> Iterator[tuple[str, str]]:
        """Yield the files of large results, named as their rows would name them, and their paths."""
        root = f"{self.folder}/{VALUES}"
        for name in glob("*/*.value", root_dir=root):
            yield name, f"{root}/{name}"

    def state(self) -> Standing:
        """Return what is another one whenever a record was saved or removed."""
        with self._connection.translating():
            return standing(f"{self.folder}/{DATABASE}")


def _looked(connection: sqlite3.Connection, look: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
    define(connection)
    try:
        connection.execute("BEGIN")  # where Ctrl-C may come just after it has begun
        return look(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def scopes(root: str) -> list[str]:
    """Return the `<index>/<step>` that there are below a checkpoint folder, as their folders are called."""
    return scopes_below(root, DATABASE)
