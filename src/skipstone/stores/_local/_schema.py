"""The tables of the local store, and the migrations that lead to them."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ..._errors import StoreFormatError

_FIRST = """
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
INSERT INTO state VALUES ('epoch', 0);
"""
_DETAILS = "ALTER TABLE records ADD COLUMN details BLOB NOT NULL DEFAULT x''"


class Migration(NamedTuple):
    """The step from one format to the next."""

    since: str
    """The first version of skipstone that reads the new format."""
    statements: str


_MIGRATIONS = (Migration("0.1.0", _FIRST), Migration("0.1.0", _DETAILS))
"""Entry n leads from format n to n + 1; a new database has format 0.

A migration may only add tables, and columns after the existing ones with a default that is right for existing rows.
This lets an older skipstone that has the database open go on, and lets rows of a damaged database be carried over
from any format.
"""


def prepare(connection: sqlite3.Connection, path: str, *, sync_each: bool) -> None:
    """Configure a new connection, and migrate its database to the present format in one transaction.

    Raises:
        StoreFormatError: A newer skipstone wrote the database.
        sqlite3.Error: The database is damaged, locked, or cannot be written.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL: a commit survives the death of the process; FULL: a power loss as well.
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync_each else 'NORMAL'}")
    # Deleted rows are overwritten, so that recovery, which reads page by page, cannot bring them back.
    connection.execute("PRAGMA secure_delete = ON")
    if _format_of(connection) == len(_MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _format_of(connection)  # again, since another process may have migrated it by now
        if found != 0:
            check_format(connection, path)
        for number, migration in enumerate(_MIGRATIONS[found:], found + 1):
            _migrate(connection, migration, number)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _migrate(connection: sqlite3.Connection, migration: Migration, number: int) -> None:
    for statement in migration.statements.split(";"):
        connection.execute(statement)
    # The format is written in two places, so that a flipped bit in one is noticed.
    state = [("format", number), ("since", migration.since)]
    connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state)
    connection.execute(f"PRAGMA user_version = {number}")


def check_format(connection: sqlite3.Connection, path: str) -> bool:
    """Tell whether a database has the present format rather than an older one.

    Raises:
        StoreFormatError: A newer skipstone wrote the database.
        sqlite3.Error: The database is damaged.
    """
    found, newest = _format_of(connection), len(_MIGRATIONS)
    if found == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return False  # another process is just creating it
    state = dict(connection.execute("SELECT name, value FROM state"))
    if state.get("format") != found:
        error = sqlite3.DatabaseError(f"its header says format {found}, its state {state.get('format')}")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    if found > newest:
        since = state.get("since")
        message = (
            f"{path} has format {found}, and this skipstone reads formats up to {newest}: update it (pip install "
            f"'skipstone>={since}'), or choose another artifacts_dir or index_name"
        )
        raise StoreFormatError(message)
    return found == newest


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
