"""The SQL of the local store."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ..._errors import StoreUnavailableError
from ..._record import is_failure, is_result

if TYPE_CHECKING:
    import sqlite3

FEW_KEYS = 4  # for so few, one look-up for each is faster than IN, which first sorts its list
KEYS_PER_QUERY = 500
_MOST_PARTS = 1 << 14

ROW = "key, checksum, origin, duration, payload, created_at"
# The index is used only to find the row's number, and the key is then read from the row itself as well as from the
# index: where the two differ, the index is damaged.
TABLE_ROW = (
    f"{', '.join(f'row.{name.strip()}' for name in ROW.split(','))}, row.file, row.size, row.sequence, found.key"
)
FOUND = f"SELECT {TABLE_ROW} FROM records AS found JOIN records AS row ON row.sequence = found.sequence"
BY_KEY = f"{FOUND} WHERE found.key = ?"
ORIGIN = "function, version, encoding, code, run, host, process"
IN_RANGE = "FROM records WHERE sequence > ? AND sequence <= ?"
INSERT = (
    f"INSERT INTO records ({ROW}, file, size, call_id, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (key) DO NOTHING"
)
_INFO = "SELECT sequence, key, origin, call_id, size, created_at, duration, details FROM records"
SCAN = f"""{_INFO}
    WHERE sequence > :after AND (:function IS NULL OR origin IN (SELECT id FROM origins WHERE function = :function))
    ORDER BY sequence LIMIT :count
"""
SIZE = "SELECT coalesce(sum(size), 0) FROM records"
DATABASE_BYTES = """
    SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size
"""
LAST = "SELECT coalesce(max(sequence), 0) FROM records"
NUMBERS = (
    # Two subqueries, because SQLite finds a single minimum or maximum without a scan, but not both together.
    "SELECT (SELECT min(sequence) FROM records), (SELECT max(sequence) FROM records)"
)
IS_KNOWN = "SELECT 1 FROM origins WHERE function = ? LIMIT 1"

_T = TypeVar("_T")


def chunks(keys: Sequence[_T]) -> Iterable[Sequence[_T]]:
    if len(keys) <= KEYS_PER_QUERY:
        return (keys,) if keys else ()
    return (keys[start : start + KEYS_PER_QUERY] for start in range(0, len(keys), KEYS_PER_QUERY))


def marks(count: int) -> str:
    return ", ".join("?" * count)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    refuse_transaction(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")  # inside `try`: Ctrl-C may come just after it
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def together(connection: sqlite3.Connection, rows: Sequence[object]) -> AbstractContextManager[None]:
    """Return a transaction for writing several rows; a single statement is a transaction by itself."""
    return transaction(connection) if len(rows) > 1 else nullcontext()


def refuse_transaction(connection: sqlite3.Connection) -> None:
    """Refuse to save inside an open transaction: the record would be acknowledged before it is committed.

    Garbage collection makes this possible: it runs at any time, and may end a generator that then saves something, in
    a thread that is in the middle of a transaction.

    Raises:
        StoreUnavailableError: A transaction is open.
    """
    if connection.in_transaction:
        message = "nothing can be saved or removed amid a transaction of the same thread"
        raise StoreUnavailableError(message)


@lru_cache(maxsize=8)
def by_keys(count: int) -> str:
    return f"{FOUND} WHERE found.key IN ({marks(count)})"


def infos(count: int) -> str:
    return f"{_INFO} WHERE key IN ({marks(count)})"


def sifted(encodings: int) -> str:
    return f"{_INFO} WHERE sequence > :after AND ({_is_sifted(encodings)}) ORDER BY sequence LIMIT :count"


def unsifted(encodings: int) -> str:
    return f"{_INFO} WHERE {_is_unsifted(encodings)} ORDER BY sequence"


def stretch_of(encodings: int, *, with_uses: bool) -> str:
    used_at = "max(created_at, ifnull(used_at(key), 0.0))" if with_uses else "created_at"
    return f"""
        SELECT count(*), sum(size), min(used), max(used), min(created_at), max(created_at)
        FROM (SELECT size, created_at, {used_at} AS used FROM records WHERE {_is_unsifted(encodings)} LIMIT -1)
    """  # LIMIT keeps SQLite from merging the two SELECTs, after which it would call `used_at` twice for each row


def _is_sifted(encodings: int) -> str:
    begins = " OR ".join(
        f"substr(encoding, 1, length(:encoding{number})) = :encoding{number}" for number in range(encodings)
    )
    return f"created_at < :saved_before OR origin IN (SELECT id FROM origins WHERE {begins}) OR instr(details, :details)"


def _is_unsifted(encodings: int) -> str:
    results = "origin IN (SELECT id FROM origins WHERE is_result(encoding))"
    return f"sequence BETWEEN :first AND :last AND {results} AND NOT ({_is_sifted(encodings)})"


def ranges(first: int, last: int, at_once: int) -> list[tuple[int, int]]:
    """Divide a range into parts of `at_once` numbers, or more for a huge range; return the ends of each part."""
    each = max(at_once, (last - first) // _MOST_PARTS + 1)
    return [(start, min(last, start + each - 1)) for start in range(first, last + 1, each)]


def define(connection: sqlite3.Connection) -> None:
    """Let queries ask which kind of record an encoding belongs to."""
    connection.create_function("is_result", 1, is_result, deterministic=True)
    connection.create_function("is_failure", 1, is_failure, deterministic=True)


def insert(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> set[bytes]:
    """Insert rows that begin with their key; return the keys that were new.

    If there are several rows, the caller has begun a transaction.
    """
    if len(rows) == 1:
        return {row[0] for row in rows if connection.execute(INSERT, row).rowcount == 1}
    (last,) = connection.execute(LAST).fetchone()
    if connection.executemany(INSERT, rows).rowcount == len(rows):
        return {row[0] for row in rows}
    return {key for (key,) in connection.execute("SELECT key FROM records WHERE sequence > ?", (last,))}


@lru_cache(maxsize=8)
def present(count: int) -> str:
    if count <= FEW_KEYS:
        return " UNION ALL ".join(["SELECT sequence, key FROM records WHERE key = ?"] * count)
    values = ", ".join(["(?)"] * count)  # a quarter faster than IN, which first builds an index of its list
    return f"SELECT sequence, key FROM (VALUES {values}) CROSS JOIN records ON key = column1"
