"""Set a damaged database aside, and carry over what can be read of it into a new one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from .._folder import open_as_its_folder
from ._pages import Pages
from ._schema import prepare

_LOG_SUFFIXES = ("-wal", "-shm")
# Each with its primary key, and the type of the column after it, by which rows of the two tables are told apart.
_TABLES = (("origins", "id", str), ("records", "sequence", bytes))
_MOST_ROWS_AT_ONCE, _FEWEST_ROWS_AT_ONCE = 1 << 12, 8
_DAMAGE_CODES = {
    sqlite3.SQLITE_ERROR,  # our queries are constant, so a missing table or column means a damaged schema
    sqlite3.SQLITE_INTERNAL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CONSTRAINT,  # our rows violate no constraint, so an index contradicts its table
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}


def is_damage(error: BaseException) -> bool:
    """Tell whether an error means that the database is damaged, rather than busy, full or missing."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return "UTF-8" in str(error) if code is None else code & 0xFF in _DAMAGE_CODES


def damaged_index(key: bytes) -> sqlite3.DatabaseError:
    """Return an error, which counts as damage, that says that the index leads from a key to the row of another."""
    error = sqlite3.DatabaseError(f"the index leads from key {key.hex()} to another row")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def recover(path: str) -> tuple[str, int]:
    """Replace a damaged database with a new one. The caller sees to it that nobody else does so at the same time.

    Returns:
        The new path of the damaged database, and how many records were carried over.

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
        open_as_its_folder(new)
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
    """Copy what can be read: first the rows that SQLite reads, then those in pages that it cannot reach."""
    target.execute("BEGIN")
    source = sqlite3.connect(path, isolation_level=None)
    source.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        for table, number, kind in _TABLES:
            _insert(target, table, kind, _readable_rows(source, table, number))
        with suppress(sqlite3.Error):
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        source.close()
    pages = Pages(path)
    for table, _, kind in _TABLES:
        _insert(target, table, kind, pages.rows())
    target.execute("COMMIT")
    return int(target.execute("SELECT count(*) FROM records").fetchone()[0])


def _insert(target: sqlite3.Connection, table: str, kind: type, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = [name for _, name, *_ in target.execute(f"PRAGMA table_info({table})")]
    for row in rows:
        if not isinstance(row[1], kind):  # a row of the other table
            continue
        names = columns[: len(row)]  # a row of an older format lacks the last ones
        # A row that the table refuses is damaged.
        with suppress(sqlite3.Error, OverflowError):
            target.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(row))})", row
            )


def _readable_rows(source: sqlite3.Connection, table: str, number: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that SQLite can read, skipping ranges around unreadable pages."""
    start, step = 0, _MOST_ROWS_AT_ONCE
    try:
        last = int(source.execute(f"SELECT max({number}) FROM {table}").fetchone()[0])
    except (sqlite3.Error, TypeError):  # unreadable, or empty
        return
    while start <= last:
        query = f"SELECT * FROM {table} NOT INDEXED WHERE {number} >= ? AND {number} < ?"
        try:
            rows = source.execute(query, (start, start + step)).fetchall()
        except sqlite3.Error:
            if step > _FEWEST_ROWS_AT_ONCE:
                step //= 8
                continue
            rows = []  # those of them that are in intact pages are found by reading the pages
        yield from rows
        start += step
        step = min(2 * step, _MOST_ROWS_AT_ONCE)
