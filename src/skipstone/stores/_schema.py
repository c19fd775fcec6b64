"""The tables of the local store, and how a database comes to have them."""

from __future__ import annotations

import sqlite3
import time

from .._errors import StoreFormatError

FORMAT = 1
"""The format's version: in the database's `user_version`, and again in its state, since one bit can flip."""

_TABLES = f"""
CREATE TABLE origins (
    id INTEGER PRIMARY KEY,
    function TEXT NOT NULL,
    version TEXT NOT NULL,
    encoding TEXT NOT NULL,
    code BLOB NOT NULL,
    run TEXT NOT NULL,
    host TEXT NOT NULL,
    process INTEGER NOT NULL,
    UNIQUE (function, version, encoding, code, run, host, process)
);
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    checksum BLOB NOT NULL,
    origin INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    duration REAL NOT NULL,
    file TEXT,
    size INTEGER NOT NULL,
    payload BLOB
);
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO state VALUES ('epoch', 0), ('format', {FORMAT});
"""

_WAL_TRIES = 200
_WAL_PAUSE_SECONDS = 0.02


def prepare(connection: sqlite3.Connection, path: str, *, sync_each: bool) -> None:
    """Set a new connection up, and create the tables in a new database.

    Raises:
        StoreFormatError: A newer skipstone wrote the database.
        sqlite3.Error: It is damaged, locked, or cannot be written.
    """
    _switch_to_wal(connection)
    # NORMAL: a commit survives the death of the process; FULL: a power loss as well.
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync_each else 'NORMAL'}")
    # So that what was deleted is not found again when pages are read one by one, after damage.
    connection.execute("PRAGMA secure_delete = ON")
    if _format_of(connection) == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _format_of(connection)  # somebody may have been first
        if found == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        elif found != FORMAT:
            _refuse(connection, path, found)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse(connection: sqlite3.Connection, path: str, found: int) -> None:
    told = connection.execute("SELECT value FROM state WHERE name = 'format'").fetchone()
    if told != (found,):
        error = sqlite3.DatabaseError(f"its header says format {found}, its state {told}")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    message = (
        f"{path} has format {found}, and this skipstone reads formats up to {FORMAT}: update skipstone to the "
        f"version that wrote it or a later one, or choose another artifacts_dir or index_name"
    )
    raise StoreFormatError(message)


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. That does not honour the busy timeout, so it is tried again."""
    for attempt in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == _WAL_TRIES - 1:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return
