"""What is asked of the database of the local store."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ..._errors import StoreUnavailableError
from ..._record import is_failure, is_result

if TYPE_CHECKING:
    import sqlite3

FEW_KEYS = 4  # up to here, a look-up of each is faster than IN, which sorts its list first
KEYS_PER_QUERY = 500
_MOST_PARTS = 1 << 14

ROW = "key, checksum, origin, duration, payload, created_at"
# The row is found by its number, so that the key comes from the row itself: the index may be damaged.
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
    "SELECT (SELECT min(sequence) FROM records), (SELECT max(sequence) FROM records)"  # each finds its own at once
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
        connection.execute("BEGIN IMMEDIATE")  # where Ctrl-C may come just after it has begun
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def together(connection: sqlite3.Connection, rows: Sequence[object]) -> AbstractContextManager[None]:
    """Let rows be written in one transaction, where there are several: a statement is one of its own."""
    return transaction(connection) if len(rows) > 1 else nullcontext()


def refuse_transaction(connection: sqlite3.Connection) -> None:
    """Refuse to save amid a transaction: what is saved would be acknowledged before that is committed.

    Garbage is collected at any time, and what ends then may save something, in a thread that has begun a transaction.

    Raises:
        StoreUnavailableError: There is one.
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
    return f"{_INFO} WHERE sequence > :after AND ({_is_found(encodings)}) ORDER BY sequence LIMIT :count"


def left(encodings: int) -> str:
    return f"{_INFO} WHERE {_is_left(encodings)} ORDER BY sequence"


def stretch_of(encodings: int, *, with_uses: bool) -> str:
    used_at = "max(created_at, ifnull(used_at(key), 0.0))" if with_uses else "created_at"
    return f"""
        SELECT count(*), sum(size), min(used), max(used), min(created_at), max(created_at)
        FROM (SELECT size, created_at, {used_at} AS used FROM records WHERE {_is_left(encodings)} LIMIT -1)
    """  # with a limit, it is asked once when each was used


def _is_found(encodings: int) -> str:
    begins = " OR ".join(
        f"substr(encoding, 1, length(:encoding{number})) = :encoding{number}" for number in range(encodings)
    )
    return f"created_at < :saved_before OR origin IN (SELECT id FROM origins WHERE {begins}) OR instr(details, :details)"


def _is_left(encodings: int) -> str:
    results = "origin IN (SELECT id FROM origins WHERE is_result(encoding))"
    return f"sequence BETWEEN :first AND :last AND {results} AND NOT ({_is_found(encodings)})"


def ranges(first: int, last: int, at_once: int) -> list[tuple[int, int]]:
    """Return the first and last numbers of parts, of so many each; of more, where numbers lack that were removed."""
    each = max(at_once, (last - first) // _MOST_PARTS + 1)
    return [(start, min(last, start + each - 1)) for start in range(first, last + 1, each)]


def define(connection: sqlite3.Connection) -> None:
    """Let queries ask what kind of record an encoding is of."""
    connection.create_function("is_result", 1, is_result, deterministic=True)
    connection.create_function("is_failure", 1, is_failure, deterministic=True)


def insert(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> set[bytes]:
    """Insert rows that begin with a key, several in a transaction of the caller's; return the keys that were not there."""
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
    values = ", ".join(["(?)"] * count)  # a quarter faster than IN, which makes an index of its list first
    return f"SELECT sequence, key FROM (VALUES {values}) CROSS JOIN records ON key = column1"
