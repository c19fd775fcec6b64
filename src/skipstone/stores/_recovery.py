"""A damaged database is set aside, and what can be read of it is carried over into a new one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ._schema import prepare

_LOG_SUFFIXES = ("-wal", "-shm")
_TABLES = (("origins", "id", "SELECT * FROM origins"), ("records", "sequence", "SELECT * FROM records"))
_MOST_ROWS_AT_ONCE = 1 << 12
_DAMAGE_CODES = {
    sqlite3.SQLITE_ERROR,  # our queries are constant: a table or column that is not there was there
    sqlite3.SQLITE_INTERNAL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,  # so are our rows: an index that contradicts its table
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}


def is_damage(error: BaseException) -> bool:
    """Tell whether an error of SQLite says that the database is damaged, rather than busy, full or away."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return "UTF-8" in str(error) if code is None else code & 0xFF in _DAMAGE_CODES


def damaged_index(key: bytes) -> sqlite3.DatabaseError:
    """Return the error that says: the index leads to the row of another key."""
    error = sqlite3.DatabaseError(f"the index leads from key {key.hex()} to another row")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def recover(path: str) -> tuple[str, int]:
    """Put a new database in the place of a damaged one; nobody else may do so at the same time.

    Returns:
        Where the damaged one is now, and how many records were carried over.

    Raises:
        OSError: A file cannot be renamed.
        sqlite3.Error: The new database cannot be written.
    """
    new = f"{path}.new"
    for suffix in ("", *_LOG_SUFFIXES):
        with suppress(FileNotFoundError):
            os.unlink(new + suffix)
    target = sqlite3.connect(new, isolation_level=None)
    try:
        os.chmod(new, 0o600)
        prepare(target, new, sync_each=True)
        carried = _carry(path, target)
    finally:
        target.close()
    name, extension = os.path.splitext(path)
    aside = f"{name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(2).hex()}{extension}"
    os.link(path, aside)
    for suffix in _LOG_SUFFIXES:
        with suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)
    os.replace(new, path)
    return aside, carried


def _carry(path: str, target: sqlite3.Connection) -> int:
    source = sqlite3.connect(path, isolation_level=None)
    try:
        target.execute("BEGIN")
        for table, number, query in _TABLES:
            for row in _readable_rows(source, number, query):
                with suppress(sqlite3.Error):  # a row that its table does not take is damaged
                    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        target.execute("COMMIT")
        return int(target.execute("SELECT count(*) FROM records").fetchone()[0])
    finally:
        source.close()


def _readable_rows(source: sqlite3.Connection, number: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table, but for those in pages that cannot be read."""
    start, step = 0, _MOST_ROWS_AT_ONCE
    last = _last(source, number, query)
    while start <= last:
        condition = f"{query} NOT INDEXED WHERE {number} >= ? AND {number} < ? ORDER BY {number}"
        try:
            rows = source.execute(condition, (start, start + step)).fetchall()
        except sqlite3.Error:
            if step > 1:
                step //= 2
                continue
            rows = []
        yield from rows
        start += step
        step = min(2 * step, _MOST_ROWS_AT_ONCE)


def _last(source: sqlite3.Connection, number: str, query: str) -> int:
    """Return the largest number of a table's rows, or of those before the first unreadable page."""
    with suppress(sqlite3.Error, TypeError):
        found = source.execute(query.replace("*", f"max({number})", 1)).fetchone()[0]
        return -1 if found is None else int(found)
    last = -1
    with suppress(sqlite3.Error, TypeError):
        for (found,) in source.execute(query.replace("*", number, 1) + f" NOT INDEXED ORDER BY {number}"):
            last = int(found)
    return last + _MOST_ROWS_AT_ONCE if last >= 0 else -1
