"""Processes that write to one database at once: how they wait for one another, and who writes its log back.

SQLite's own ways are for writers that are few or slow. Where somebody else is writing, which takes some 20 µs here, it sleeps
for a millisecond and more. And once its log is long, each commit writes it back, with two syncs, until a moment comes in
which nobody writes, so that the log can begin anew: among processes that save without a pause, it hardly ever comes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_WAIT_SECONDS = 60
_WITHOUT_PAUSE_SECONDS = 0.0001  # some saves of another; the shortest sleep takes as long
_LONGEST_PAUSE_SECONDS = 0.001

_PAGE_BYTES = 4096
_PAGES_PER_COMMIT, _PAGES_PER_ROW = 2, 0.25  # and the content: one row is 2.3 pages, 128 are 25 to 140
_WRITTEN_BACK_AFTER_PAGES = 1000  # as SQLite has it
_PAGES_OF_A_LONG_LOG = 2000
_SQLITE_WRITES_BACK_AFTER_PAGES = 10_000

_execute = sqlite3.Connection.execute


def connect(path: str) -> sqlite3.Connection:
    """Return a connection to a database, which is made if it is not there.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, factory=_PatientConnection
    )
    # For many processes of few records each, none of which writes the log back.
    _execute(connection, f"PRAGMA wal_autocheckpoint = {_SQLITE_WRITES_BACK_AFTER_PAGES}")
    return connection


class _PatientConnection(sqlite3.Connection):
    """Waits while somebody else has the database, for a minute at most."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, again where somebody else has the database, since it has done nothing then.

        Not so inside a transaction, which would have to begin anew; but it has the database from its begin on.
        """
        try:
            return _execute(self, sql, parameters)
        except sqlite3.OperationalError as error:
            if self.in_transaction or not _is_busy(error):
                raise
            busy = error
        for _ in _pauses():
            try:
                return _execute(self, sql, parameters)
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
        raise busy

    def __del__(self) -> None:
        """Close it, and say nothing, where what opened it was dropped before: a generator dropped with it used it."""
        self.close()


class Log:
    """The log of a database, which each process writes back when it has added so much to it."""

    def __init__(self) -> None:
        # Processes that begin together shall not write it back together.
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES * (256 + os.urandom(1)[0]) / 512

    def grew(self, rows: int, content_bytes: int) -> bool:
        """Note what was committed; tell whether it is time to write the log back."""
        self._pages_left -= _PAGES_PER_COMMIT + _PAGES_PER_ROW * rows + content_bytes / _PAGE_BYTES
        return self._pages_left < 0

    def write_back(self, connection: sqlite3.Connection) -> None:
        """Write the log back while others write on; keep them out where it has not begun anew for long."""
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES
        with suppress(sqlite3.Error):  # nothing is lost: it stays in the log
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > _PAGES_OF_A_LONG_LOG:
                connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()


def cut_log(connection: sqlite3.Connection) -> None:
    """Write the log back and leave it empty, as soon as nobody else reads or writes."""
    for _ in _pauses():
        is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not is_busy:
            return


def _pauses() -> Iterator[None]:
    """Yield for each further try, after a pause where it has been waited for some time already."""
    began = time.monotonic()
    waited_seconds = 0.0
    while waited_seconds < _WAIT_SECONDS:
        if waited_seconds > _WITHOUT_PAUSE_SECONDS:
            # Longer pauses would put those at a disadvantage who have waited for long.
            time.sleep(min(waited_seconds / 8, _LONGEST_PAUSE_SECONDS))
        yield
        waited_seconds = time.monotonic() - began


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
