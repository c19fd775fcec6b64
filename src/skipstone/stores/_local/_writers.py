"""How processes that write to one database wait for one another, and which of them writes the log back.

SQLite's own behaviour suits writers that are few or slow. If another process is writing, which takes some 20 µs here,
SQLite sleeps for a millisecond or more. And once the log is long, SQLite writes it back at every commit, with two
syncs, until it finds a moment in which nobody writes, so that the log can restart from its beginning. Among processes
that save without a pause, that moment hardly ever comes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

_WAIT_SECONDS = 60
_WITHOUT_PAUSE_SECONDS = 0.0001  # time for several saves of another process; the shortest sleep takes as long
_LONGEST_PAUSE_SECONDS = 0.001
_LONGEST_TRY_SECONDS = 1.0  # a try that took longer means that this process was suspended, not that it waited

_PAGE_BYTES = 4096
# Added to the content. Measured: a commit of one row takes 2.3 pages, one of 128 rows 25 to 140.
_PAGES_PER_COMMIT, _PAGES_PER_ROW = 2, 0.25
_WRITTEN_BACK_AFTER_PAGES = 1000  # SQLite's default
_AGAIN_AFTER_PAGES = 100
_PAGES_OF_A_LONG_LOG = 2000
# Enough for several others to finish, one after the other. If a reader takes longer, all have waited in vain.
_KEEPING_OUT_MILLISECONDS = 20
_SQLITE_WRITES_BACK_AFTER_PAGES = 50_000

_execute = sqlite3.Connection.execute


def connect(path: str) -> sqlite3.Connection:
    """Return a connection to a database, which is created if it does not exist.

    Raises:
        sqlite3.Error: The database cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, factory=_PatientConnection
    )
    # A last resort only: from this length on, SQLite writes the log back at every commit.
    _execute(connection, f"PRAGMA wal_autocheckpoint = {_SQLITE_WRITES_BACK_AFTER_PAGES}")
    return connection


class _PatientConnection(sqlite3.Connection):
    """Waits while another process has the database locked, for a minute at most."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement; try again while another process has the database locked: nothing was done then.

        Inside a transaction there is no second try, since the whole transaction would have to be run again. Nor is one
        needed: a transaction locks the database when it begins.
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
        """Close silently. If a generator that used it is collected together with its owner, the owner cannot close it."""
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


class Log:
    """The log of a database. Each process writes it back after adding a certain number of pages to it."""

    def __init__(self) -> None:
        # Random, so that processes that start together do not write the log back together, and so that some of those
        # that end soon do write it back.
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES * os.urandom(1)[0] / 256
        self._is_long = False

    def grew(self, rows: int, content_bytes: int) -> bool:
        """Count a commit; tell whether it is time to write the log back."""
        self._pages_left -= _PAGES_PER_COMMIT + _PAGES_PER_ROW * rows + content_bytes / _PAGE_BYTES
        return self._pages_left < 0

    def write_back(self, connection: sqlite3.Connection) -> None:
        """Write the log back while others go on writing. If it has become long, do so again soon, keeping others out.

        The second time is never immediately after the first: up to SQLite 3.51.2, writing back a log that was written
        back just before, while another process restarts it, can damage the database
        (https://www.sqlite.org/wal.html#walresetbug).
        """
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES
        with suppress(sqlite3.Error):  # nothing is lost: everything is still in the log
            _, pages = _write_back(connection, "RESTART" if self._is_long else "PASSIVE")
            if pages >= 0:  # negative while another process is writing it back
                self._is_long = pages > _PAGES_OF_A_LONG_LOG and not self._is_long
            if pages < 0 or self._is_long:
                self._pages_left = _AGAIN_AFTER_PAGES


def cut_log(connection: sqlite3.Connection) -> None:
    """Write the log back and truncate it, as soon as nobody else reads or writes."""
    for _ in _pauses():
        is_busy, _ = _write_back(connection, "TRUNCATE")
        if not is_busy:
            return


def _write_back(connection: sqlite3.Connection, how: str) -> tuple[bool, int]:
    """Write the log back; return whether another process prevented that, and how many pages the log has.

    The statement is executed and its row fetched without a bytecode instruction in between (`chain` and `map` run in
    C). Between two instructions a signal handler may run and save something, which SQLite does not commit while this
    statement is unfinished.
    """
    _execute(connection, f"PRAGMA busy_timeout = {_KEEPING_OUT_MILLISECONDS}")
    try:
        statements = (f"PRAGMA wal_checkpoint({how})",)
        [(is_busy, pages, _)] = chain.from_iterable(map(_execute, (connection,), statements))
    finally:
        _execute(connection, "PRAGMA busy_timeout = 0")
    return bool(is_busy), pages


def _pauses() -> Iterator[None]:
    """Yield before each further try: at first without a pause, later after longer and longer ones."""
    tried = time.monotonic()
    waited_seconds = 0.0
    while waited_seconds < _WAIT_SECONDS:
        if waited_seconds > _WITHOUT_PAUSE_SECONDS:
            # Longer pauses would put those who have waited longest at a disadvantage.
            time.sleep(min(waited_seconds / 8, _LONGEST_PAUSE_SECONDS))
        yield
        before, tried = tried, time.monotonic()
        waited_seconds += min(tried - before, _LONGEST_TRY_SECONDS)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
