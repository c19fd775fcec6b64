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
from itertools import chain
from typing import Any

_WAIT_SECONDS = 60
_WITHOUT_PAUSE_SECONDS = 0.0001  # some saves of another; the shortest sleep takes as long
_LONGEST_PAUSE_SECONDS = 0.001
_LONGEST_TRY_SECONDS = 1.0  # what took longer was stopped meanwhile, rather than waiting

_PAGE_BYTES = 4096
_PAGES_PER_COMMIT, _PAGES_PER_ROW = 2, 0.25  # and the content: one row is 2.3 pages, 128 are 25 to 140
_WRITTEN_BACK_AFTER_PAGES = 1000  # as SQLite has it
_AGAIN_AFTER_PAGES = 100
_PAGES_OF_A_LONG_LOG = 2000
# Others who read or write, one after the other; a longer reader costs them all as much.
_KEEPING_OUT_MILLISECONDS = 20
_SQLITE_WRITES_BACK_AFTER_PAGES = 50_000

_execute = sqlite3.Connection.execute


def connect(path: str) -> sqlite3.Connection:
    """Return a connection to a database, which is made if it is not there.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, factory=_PatientConnection
    )
    # Which is a last resort: it would be at each commit.
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
        with suppress(sqlite3.ProgrammingError):  # it could not be opened
            self.close()


class Log:
    """The log of a database, which each process writes back when it has added so much to it."""

    def __init__(self) -> None:
        # Processes that begin together shall not write it back together, and of those that end soon, some shall.
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES * os.urandom(1)[0] / 256
        self._is_long = False

    def grew(self, rows: int, content_bytes: int) -> bool:
        """Note what was committed; tell whether it is time to write the log back."""
        self._pages_left -= _PAGES_PER_COMMIT + _PAGES_PER_ROW * rows + content_bytes / _PAGE_BYTES
        return self._pages_left < 0

    def write_back(self, connection: sqlite3.Connection) -> None:
        """Write the log back while others write on; soon again, and keeping them out, where it has become long.

        Not at once: to write back a log that was written back just now, while somebody else begins it anew, can damage
        a database up to SQLite 3.51.2 (https://www.sqlite.org/wal.html#walresetbug).
        """
        self._pages_left = _WRITTEN_BACK_AFTER_PAGES
        with suppress(sqlite3.Error):  # nothing is lost: it stays in the log
            _, pages = _write_back(connection, "RESTART" if self._is_long else "PASSIVE")
            if pages >= 0:  # else somebody else is at it
                self._is_long = pages > _PAGES_OF_A_LONG_LOG and not self._is_long
            if pages < 0 or self._is_long:
                self._pages_left = _AGAIN_AFTER_PAGES


def cut_log(connection: sqlite3.Connection) -> None:
    """Write the log back and leave it empty, as soon as nobody else reads or writes."""
    for _ in _pauses():
        is_busy, _ = _write_back(connection, "TRUNCATE")
        if not is_busy:
            return


def _write_back(connection: sqlite3.Connection, how: str) -> tuple[bool, int]:
    """Write the log back; return whether somebody was in the way, and how many pages it has.

    In one step of the interpreter: as long as this statement is under way, SQLite commits no other, and a handler of signals
    may save something between two steps.
    """
    _execute(connection, f"PRAGMA busy_timeout = {_KEEPING_OUT_MILLISECONDS}")
    try:
        statements = (f"PRAGMA wal_checkpoint({how})",)
        [(is_busy, pages, _)] = chain.from_iterable(map(_execute, (connection,), statements))
    finally:
        _execute(connection, "PRAGMA busy_timeout = 0")
    return bool(is_busy), pages


def _pauses() -> Iterator[None]:
    """Yield for each further try, after a pause where it has been waited for some time already."""
    tried = time.monotonic()
    waited_seconds = 0.0
    while waited_seconds < _WAIT_SECONDS:
        if waited_seconds > _WITHOUT_PAUSE_SECONDS:
            # Longer pauses would put those at a disadvantage who have waited for long.
            time.sleep(min(waited_seconds / 8, _LONGEST_PAUSE_SECONDS))
        yield
        before, tried = tried, time.monotonic()
        waited_seconds += min(tried - before, _LONGEST_TRY_SECONDS)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
