"""The local store, looked at: nothing in its folder is made or changed, not even where it is in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from glob import glob
from typing import Any

from ..._record import is_failure, is_result
from .._folder import scopes_below
from ._connection import DATABASE, Connection
from ._read_only import standing
from ._sqlite import VALUES, SqliteStore

# No memory map: where nothing is locked, a file that somebody compacts would be cut under it.
_SETTINGS = ("cache_size = -65536", "temp_store = MEMORY")


class LookedAtStore(SqliteStore):
    """A step's folder on the local disk, whoever owns it: its bytes are read, and none of them is unpickled."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, trusted=True)
        self._connection = Connection(folder, sync_each=False, trusted=True, forget=self._forget, only_looks=True)

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows that a query finds in the tables `records` and `origins` as they are now."""
        while True:
            with self._connection:
                connection = self._connection.in_place()
                before = self.state()
                try:
                    rows = _answer(connection, query, parameters)
                except sqlite3.Error:
                    if not self._was_changed(before):
                        raise
                else:
                    if not self._was_changed(before):
                        return rows

    def _was_changed(self, before: tuple[int, ...]) -> bool:
        """Tell whether the database was written under a connection that reads without locks: then it was torn."""
        is_locked = before[-1] > 0  # where there is a log, readers and writers know of each other
        return not is_locked and self.state()[:-1] != before[:-1]

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

    def state(self) -> tuple[int, ...]:
        """Return what is another one whenever a record was saved or removed."""
        with self._connection.translating():
            return standing(f"{self.folder}/{DATABASE}")


def _answer(connection: sqlite3.Connection, query: str, parameters: Sequence[Any]) -> list[Any]:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").close()
    define(connection)
    return connection.execute(query, parameters).fetchall()


def define(connection: sqlite3.Connection) -> None:
    """Let queries ask what kind of record an encoding is of."""
    connection.create_function("is_result", 1, is_result, deterministic=True)
    connection.create_function("is_failure", 1, is_failure, deterministic=True)


def scopes(root: str) -> list[str]:
    """Return the `<index>/<step>` that there are below a checkpoint folder, as their folders are called."""
    return scopes_below(root, DATABASE)
