"""A store in a PostgreSQL database, which any number of machines share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, LiteralString, TypeVar

import psycopg

from ..._record import Buffer, Key, Record, RecordInfo, parts_of, size_of
from .._base import BaseStore, Claim
from .._envelope import packed, read_head
from .._remote import Remote
from .._urls import received, sendable
from ._portions import MOST_IN_REQUEST, batches, in_pieces, joined, portions
from ._postgres_connections import Connection, Connections
from ._postgres_locks import Locks
from ._postgres_tables import prepare
from ._together import Together, puts_together

_PART_BYTES = 1 << 20  # larger payloads are in parts of this size, so that neither side holds them twice

_GET_ONE = "SELECT key, head, payload FROM skipstone_records WHERE scope = %b AND key = %b"
_GET = "SELECT key, head, payload FROM skipstone_records WHERE scope = %b AND key = ANY(%b)"
_GET_LARGE = """
    SELECT head, payload, content FROM skipstone_records LEFT JOIN skipstone_parts ON record = sequence
    WHERE scope = %b AND key = %b ORDER BY number
"""
_INFOS = "SELECT key, head FROM skipstone_records WHERE scope = %b AND key = ANY(%b)"
_PRESENT = "SELECT key FROM skipstone_records WHERE scope = %b AND key = ANY(%b)"
_INSERT = """
    INSERT INTO skipstone_records (scope, key, function, head, payload)
    SELECT %b, * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[])
    ON CONFLICT (scope, key) DO NOTHING RETURNING key, sequence
"""
_INSERT_ONE = """
    INSERT INTO skipstone_records (scope, key, function, head, payload) VALUES (%b, %b, %b, %b, %b)
    ON CONFLICT (scope, key) DO NOTHING RETURNING key, sequence
"""
_INSERT_PART = "INSERT INTO skipstone_parts (record, number, content) VALUES (%b, %b, %b)"
_MINE = """
    SELECT there.key FROM skipstone_records AS there
    JOIN unnest(%b::bytea[], %b::bytea[], %b::bytea[]) AS mine(key, head, payload)
    ON mine.key = there.key AND mine.head = there.head AND mine.payload IS NOT DISTINCT FROM there.payload
    WHERE scope = %b
"""
_DELETE = "DELETE FROM skipstone_records WHERE scope = %b AND key = ANY(%b) RETURNING sequence, payload IS NULL"
_DELETE_PARTS = "DELETE FROM skipstone_parts WHERE record = ANY(%b)"
_SCAN = """
    SELECT sequence, key, head FROM skipstone_records
    WHERE scope = %b AND sequence > %b AND (%b::bytea IS NULL OR function = %b) ORDER BY sequence LIMIT %b
"""
# Goes from one scope to the next by the index, since each may have many records.
_SCOPES = """
    WITH RECURSIVE found(scope) AS (
        SELECT min(scope) FROM skipstone_records
        UNION ALL
        SELECT (SELECT min(there.scope) FROM skipstone_records AS there WHERE there.scope > found.scope)
        FROM found WHERE found.scope IS NOT NULL
    )
    SELECT scope FROM found WHERE scope IS NOT NULL
"""

_T = TypeVar("_T")


class PostgresStore(BaseStore):
    """Keeps the records of one step of one index in three tables that all steps share, see `_postgres_tables`."""

    is_remote = True

    def __init__(self, url: str, scope: str) -> None:
        """Use a database; the tables are made when needed.

        Args:
            url: A URL for libpq: `postgresql://user@host/database?setting=value`.
            scope: `<index name>/<step>`.
        """
        super().__init__()
        self._url = url
        self._scope = scope
        self._scope_bytes = scope.encode()
        self._is_prepared = False
        refusals = tuple(
            getattr(psycopg, f"{kind}Error")
            for kind in ("Data", "Integrity", "Internal", "NotSupported", "Programming")
        )
        self._remote = Remote(url, (psycopg.Error,), refusals)
        self._connections = Connections(url)
        self._gets = Together(self._get_all)
        self._puts = puts_together(self.put_many)
        self._locks = Locks(scope, self._connections, self._remote)

    def __reduce__(self) -> tuple[Callable[..., PostgresStore], tuple[str, str]]:
        """Pickle the settings, without the secrets of the URL."""
        return _reopened, (sendable(self._url), self._scope)

    def _ask(self, work: Callable[[Connection, bool], _T], *, writes: bool = True) -> _T:
        """Do some work with a connection; do it again if the connection is lost, though it may have taken effect."""

        def ask(is_again: bool) -> _T:
            connection = self._connections.take()
            try:
                if not self._is_prepared:
                    self._is_prepared = prepare(connection, writes=writes)
                return work(connection, is_again)
            except psycopg.errors.UndefinedTable:
                self._is_prepared = False  # somebody dropped the table
                raise
            finally:
                self._connections.give_back(connection)

        return self._remote.answer(ask)

    def _rows(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        def read(connection: Connection, _: bool) -> list[tuple[Any, ...]]:
            try:
                return connection.execute(query, parameters, binary=True).fetchall()
            except psycopg.errors.UndefinedTable:  # nothing has been saved yet, or somebody dropped the table
                self._is_prepared = False
                return []

        return self._ask(read, writes=False)

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self._gets.ask(key)

    def _get_all(self, keys: Sequence[Key]) -> Sequence[Record | None]:
        if len(keys) == 1:  # takes half the time
            return [self._record(row) for row in self._rows(_GET_ONE, self._scope_bytes, keys[0])] or [None]
        return [*map(self.get_many(keys).get, keys)]

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        rows = (row for portion in portions(keys) for row in self._rows(_GET, self._scope_bytes, portion))
        return {record.key: record for record in map(self._record, rows) if record is not None}

    def _record(self, row: tuple[Any, ...]) -> Record | None:
        key, head, payload = row
        return self._large(key) if payload is None else read_head(key, head).record._replace(payload=payload)

    def _large(self, key: Key) -> Record | None:
        """Return a record whose payload is in parts, read in one statement so that all parts are of the same record."""

        def read(connection: Connection, _: bool) -> Record | None:
            head, content = b"", bytearray()
            at = 0
            rows = connection.cursor().stream(_GET_LARGE, (self._scope_bytes, key), binary=True)
            for head, payload, part in rows:
                if payload is not None:  # it has just been replaced by a smaller one
                    return self._record((key, head, payload))
                if not at:
                    content = bytearray(read_head(key, head).size_bytes)
                if part is not None:
                    content[at : at + len(part)] = part
                    at += len(part)
            return self._record((key, head, content)) if head else None

        return self._ask(read)

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        return {key for portion in portions(keys) for (key,) in self._rows(_PRESENT, self._scope_bytes, portion)}

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        if replace or size_of(record.payload) > _PART_BYTES:
            return bool(self.put_many([record], replace=replace))
        return self._puts.ask(record)

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        kept: set[Key] = set()
        for batch in batches(records, _PART_BYTES):
            left = batch
            while left:
                kept |= self._ask(partial(self._put, left, replace))
                # Others may insert a record between our deletion and our insertion.
                left = [record for record in left if replace and record.key not in kept]
        return kept

    def _put(self, records: Sequence[Record], replace: bool, connection: Connection, is_again: bool) -> set[Key]:
        """Insert a batch of records, replacing existing ones if asked to; in one request if possible."""
        keys = [record.key for record in records]
        functions = [_bytes_of(record.origin.function) for record in records]
        heads: list[Buffer] = []
        payloads: list[Buffer | None] = []
        for record in records:
            head, *payload = packed(record)
            heads.append(head)
            payloads.append(joined(payload) if size_of(payload) <= _PART_BYTES else None)
        with connection.transaction() if replace or None in payloads else nullcontext():
            if replace:
                _delete(connection, self._scope_bytes, keys)
            columns = (keys, functions, heads, payloads)
            if len(keys) == 1:
                inserted = connection.execute(
                    _INSERT_ONE, (self._scope_bytes, *(each[0] for each in columns)), binary=True
                )
            else:
                inserted = connection.execute(_INSERT, (self._scope_bytes, *columns), binary=True)
            kept = dict(inserted.fetchall())
            for record, there in zip(records, payloads, strict=True):
                if there is None and record.key in kept:
                    for number, part in enumerate(in_pieces(parts_of(record.payload), _PART_BYTES)):
                        connection.execute(_INSERT_PART, (kept[record.key], number, part))
        if is_again and len(kept) < len(keys):
            mine = connection.execute(_MINE, (keys, heads, payloads, self._scope_bytes), binary=True)
            return kept.keys() | {key for (key,) in mine}
        return set(kept)

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        return sum(self._ask(partial(self._delete, portion)) for portion in portions(keys))

    def _delete(self, keys: Sequence[Key], connection: Connection, _: bool) -> int:
        with connection.transaction():
            return _delete(connection, self._scope_bytes, keys)

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`. No payload is read, neither here nor by the server."""
        wanted = None if function is None else _bytes_of(function)
        after = 0
        while rows := self._rows(_SCAN, self._scope_bytes, after, wanted, wanted, MOST_IN_REQUEST):
            for _, key, head in rows:
                yield read_head(key, head).info
            after = rows[-1][0]

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`."""
        return {
            key: read_head(key, head).info
            for portion in portions(keys)
            for key, head in self._rows(_INFOS, self._scope_bytes, portion)
        }

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        return self._locks.claim(key)

    def close(self) -> None:
        """See `Store`."""
        self._connections.close(but_session=self._locks.are_held)


def _delete(connection: Connection, scope: bytes, keys: Sequence[Key]) -> int:
    """Remove records, inside a transaction of the caller; return how many there were."""
    rows = connection.execute(_DELETE, (scope, keys), binary=True).fetchall()
    in_parts = [sequence for sequence, is_in_parts in rows if is_in_parts]
    if in_parts:
        connection.execute(_DELETE_PARTS, (in_parts,))
    return len(rows)


def scopes(url: str) -> list[str]:
    """Return the `<index>/<step>` of every step in a database."""
    store = PostgresStore(url, "")
    try:
        return [bytes(scope).decode() for (scope,) in store._rows(_SCOPES)]
    finally:
        store.close()


def _reopened(url: str, scope: str) -> PostgresStore:
    return PostgresStore(received(url), scope)


def _bytes_of(function: str) -> bytes:
    return function.encode("utf-8", "surrogatepass")
