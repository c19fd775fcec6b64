"""The local store: a row of a SQLite database for each record, which names a file if the payload is large."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain
from operator import itemgetter
from typing import Any

from ..._errors import StoreError
from ..._record import Key, Origin, Record, RecordInfo, parts_of, size_of
from .._base import AtHand, BaseStore, Claim, Row
from .._leftovers import Leftovers
from .._values import Values
from ._connection import Connection, again_when_mended
from ._listing import Listing
from ._origins import Origins
from ._queries import (
    BY_KEY,
    DATABASE_BYTES,
    FEW_KEYS,
    IN_RANGE,
    INSERT,
    KEYS_PER_QUERY,
    LAST,
    ORIGIN,
    ROW,
    by_keys,
    chunks,
    insert,
    marks,
    present,
    refuse_transaction,
    together,
    transaction,
)
from ._read_ahead import ReadAhead
from ._recovery import damaged_index
from ._writers import cut_log

VALUES = "values"

_ROW_BELOW_BYTES = 64 << 10  # where a row and a file cost the same on various disks: see benchmarks/thresholds.py
_LOOK_FOR_CHANGES_EVERY_SECONDS = 0.005
_FRESH_FOR_SECONDS = 0.0025  # a map that has looked up a block of items finds their rows still at hand
_ROW_OVERHEAD_BYTES, _KEY_OVERHEAD_BYTES = 400, 120  # in memory, including a dictionary's slot

_new = tuple.__new__
_payload = itemgetter(4)


class SqliteStore(BaseStore):
    """Keeps records in a folder on a local disk, for any number of threads and processes of one machine."""

    def __init__(self, folder: str, *, durability: str = "process", trusted: bool = False) -> None:
        """Use a folder, which is made when first needed, with its parents.

        Args:
            folder: Absolute path.
            durability: What an acknowledged record survives: "process" for its death, "power" for a power loss.
            trusted: Use the folder even if others own it or can write to it.
        """
        self.folder = folder
        self._settings: dict[str, Any] = {"durability": durability, "trusted": trusted}
        sync = durability == "power"
        self._values = Values(f"{folder}/{VALUES}", sync=sync)
        self._connection = Connection(folder, sync_each=sync, trusted=trusted, forget=self._forget)
        self._forget()

    def _forget(self) -> None:
        """Forget what was read from the database, which may have been replaced by another."""
        self._ahead: ReadAhead[Row] = ReadAhead(
            self._read_rows, lambda: self._one(DATABASE_BYTES)[0], is_of_use_in_part=False
        )
        self._keys_ahead: ReadAhead[None] = ReadAhead(
            self._read_keys, lambda: self._one(LAST)[0] * _KEY_OVERHEAD_BYTES, is_of_use_in_part=True
        )
        self._fresh_until = 0.0
        self._data_version, self._epoch = -1, None
        self._origins = Origins(self._read_origin)
        self._at_hand = AtHand(self._ahead.rows, self._origins)

    def __reduce__(self) -> tuple[Callable[[], SqliteStore], tuple[()]]:
        """Pickle the settings without the connection."""
        return partial(SqliteStore, self.folder, **self._settings), ()

    def open(self) -> None:
        """Open the database now rather than when first used.

        Raises:
            StoreUnavailableError: The database cannot be opened.
            StoreFormatError: A newer skipstone wrote the database.
            UnsafeStoreError: Others own the folder or can write to it.
        """
        with self._connection:
            pass

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()

    def at_hand(self) -> AtHand | None:
        """See `ReadsAhead`."""
        return self._at_hand if time.monotonic() < self._fresh_until else None

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        at_hand = self.at_hand()
        if at_hand is not None and (row := at_hand.rows.get(key)) is not None and row[2] in at_hand.origins:
            return _record_of(row, at_hand.origins)
        return self._look_up(key)

    @again_when_mended
    def _look_up(self, key: Key) -> Record | None:
        with self._connection:
            connection = self._look_for_changes()
            row = self._ahead.rows.get(key)
            if row is not None:
                return _record_of(row, self._origins)
            found = connection.execute(BY_KEY, (key,)).fetchone()
            if found is None:
                return None
            self._ahead.extend(found[8], found[8])
            return self._record(connection, found)

    def _read_rows(self, start: int, stop: int) -> tuple[dict[Key, Row], int]:
        with self._connection as connection:
            # Fetched whole: a traceback kept by somebody would keep an unfinished query and its view of the database.
            found = connection.execute(f"SELECT {ROW} {IN_RANGE} AND file IS NULL", (start, stop)).fetchall()
        # A value of any other type is damage.
        rows = {row[0]: row for row in found if type(row[4]) is bytes and type(row[3]) is type(row[5]) is float}
        return rows, sum(map(len, map(_payload, rows.values()))) + _ROW_OVERHEAD_BYTES * len(rows)

    def _read_keys(self, start: int, stop: int) -> tuple[dict[Key, None], int]:
        with self._connection as connection:
            found = connection.execute(f"SELECT key {IN_RANGE}", (start, stop)).fetchall()
        keys: dict[Key, None] = dict.fromkeys(chain.from_iterable(found))
        return keys, _KEY_OVERHEAD_BYTES * len(keys)

    def _look_for_changes(self) -> sqlite3.Connection:
        """Drop what was read ahead if another connection has deleted or replaced a record; at most every few ms."""
        now = time.monotonic()
        if now < self._fresh_until - _FRESH_FOR_SECONDS:
            return self._connection.opened()
        connection = self._connection.in_place()
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            epoch = connection.execute("SELECT value FROM state WHERE name = 'epoch'").fetchone()
            if epoch != self._epoch:
                self._ahead.clear()
                self._keys_ahead.clear()
            self._data_version, self._epoch = version, epoch
        self._fresh_until = now + _LOOK_FOR_CHANGES_EVERY_SECONDS
        return connection

    @again_when_mended
    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        found: dict[Key, Record] = {}
        with self._connection as connection:
            for known, looked_up in self._in_bulk(connection, keys, self._ahead, by_keys):
                rows, origins = self._ahead.rows, self._origins
                found |= {key: _record_of(rows[key], origins) for key in known}
                for row in looked_up:
                    record = self._record(connection, row)
                    if record is not None:
                        found[record.key] = record
        return found

    @again_when_mended
    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        if len(keys) <= FEW_KEYS:  # never from what was read ahead: see `_in_bulk`
            with self._connection as connection:
                rows = connection.execute(present(len(keys)), keys).fetchall() if keys else ()
            return {key for _, key in rows} if rows else set()
        found: set[Key] = set()
        # If this process also loads results, read whole rows ahead: it will ask for them next.
        ahead: ReadAhead[Any] = self._ahead if self._ahead.rows else self._keys_ahead
        with self._connection as connection:
            for known, looked_up in self._in_bulk(connection, keys, ahead, present):
                found |= known
                found.update(row[-1] for row in looked_up)
        return found

    def _in_bulk(
        self,
        connection: sqlite3.Connection,
        keys: Sequence[Key],
        ahead: ReadAhead[Any],
        query: Callable[[int], str],
    ) -> Iterator[tuple[set[Key], list[tuple[Any, ...]]]]:
        """Yield the keys that were read ahead, and the rows of others, which end in sequence and key.

        Few keys are queried at a time, and rows are read ahead from there, so that a reader in order queries few.
        """
        if len(keys) <= FEW_KEYS:  # who has just claimed them must see even what was saved a moment ago
            yield set(), connection.execute(query(len(keys)), keys).fetchall() if keys else []
            return
        self._look_for_changes()
        at_once = FEW_KEYS
        looked_up: list[tuple[Any, ...]] = []
        while True:
            known = ahead.rows.keys() & keys  # in C: most keys of a rerun are found here
            yield known, looked_up
            if len(known) == len(keys):
                return
            if known:
                keys, at_once = [key for key in keys if key not in known], FEW_KEYS
            some, keys = keys[:at_once], keys[at_once:]
            if not some:  # `keys` had a duplicate, which `known` has not
                return
            looked_up = connection.execute(query(len(some)), some).fetchall()
            if looked_up:
                numbers = [row[-2] for row in looked_up]
                ahead.extend(min(numbers), max(numbers))
            at_once = min(2 * at_once, KEYS_PER_QUERY) if looked_up else KEYS_PER_QUERY

    def _record(self, connection: sqlite3.Connection, found: tuple[Any, ...]) -> Record | None:
        """Make a record of a row, or return None if it was deleted while its file was being opened."""
        own_key, checksum, origin, duration, payload, created_at, file, size, _, key = found
        if own_key != key:
            raise damaged_index(key)
        if file is not None:
            payload = self._values.read(file, size)
            if payload is None:
                now = connection.execute(BY_KEY, (key,)).fetchone()
                if now is None or now[6] != file:
                    return None if now is None else self._record(connection, now)
        elif type(payload) is not bytes:
            payload = None
        # A payload that is missing, cut or of another type is damaged: the empty one here fails its checksum.
        if type(duration) is not float or type(created_at) is not float:
            duration = created_at = 0.0
        return Record(key, checksum, self._origins[origin], duration, payload or b"", "", created_at)

    def _read_origin(self, number: int) -> Origin | None:
        row = self._one(f"SELECT {ORIGIN} FROM origins WHERE id = ?", (number,))
        return None if row is None else Origin(*row)

    def _one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        with self._connection as connection:
            return connection.execute(query, parameters).fetchone()

    @again_when_mended
    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        if replace or not _is_small(record):
            return bool(self.put_many((record,), replace=replace))
        with self._connection:
            connection = self._connection.in_place()
            refuse_transaction(connection)
            self._ahead.discard((record.key,))  # another connection may have deleted the old one, unnoticed so far
            is_kept = connection.execute(INSERT, row := self._row_of(connection, record, None)).rowcount == 1
        self._connection.wrote(1, len(_payload(row)))
        return is_kept

    @again_when_mended
    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`. The rows are written in one transaction."""
        records = list({record.key: record for record in records}.values())
        with self._files_of(records) as files:
            with self._connection:
                connection = self._connection.in_place()
                refuse_transaction(connection)
                self._ahead.discard(record.key for record in records)  # see `put`
                rows = [self._row_of(connection, record, files.get(record.key)) for record in records]
                with self._change(connection, [row[0] for row in rows]) if replace else together(connection, rows):
                    kept = insert(connection, rows)
                    if replace and len(kept) < len(rows):
                        raise damaged_index(rows[0][0])
            for key in kept:
                files.pop(key, None)
        self._connection.wrote(len(rows), sum(len(_payload(row) or b"") for row in rows))
        return kept

    @contextmanager
    def _files_of(self, records: Sequence[Record]) -> Generator[dict[Key, str]]:
        """Write large payloads to files; at the end, remove files that no row names."""
        files: dict[Key, str] = {}
        try:
            for record in records:
                if not _is_small(record):
                    with self._connection:
                        self._connection.in_place()  # makes the folder again if it was deleted
                    with self._connection.translating():  # without holding it, since this may take long
                        files[record.key] = self._values.write(record.key, parts_of(record.payload))
            yield files
        finally:
            # Ask the database, since Ctrl-C may come just after a commit. If it fails, the files stay as leftovers.
            with suppress(StoreError):
                for key, file in files.items():
                    if self._one("SELECT 1 FROM records WHERE key = ? AND file = ?", (key, file)) is None:
                        self._values.remove(file)

    def _row_of(self, connection: sqlite3.Connection, record: Record, file: str | None) -> tuple[Any, ...]:
        payload = record.payload
        content = None if file else payload if type(payload) is bytes else b"".join(parts_of(payload))
        return (
            record.key,
            record.checksum,
            self._origins.number_of(record.origin, connection),
            record.duration_seconds,
            content,
            record.created_at_seconds,
            file,
            size_of(payload),
            record.call_id,
            record.details,
        )

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        deleted = 0
        for some in chunks(list(keys)):
            with self._connection, self._change(self._connection.in_place(), some) as removed:
                pass
            # Deleted content counts as written: `secure_delete` overwrites it with zeros.
            self._connection.wrote(len(removed), sum(content_bytes for _, content_bytes in removed))
            deleted += len(removed)
        return deleted

    @contextmanager
    def _change(self, connection: sqlite3.Connection, keys: Sequence[Key]) -> Generator[list[tuple[Any, int]]]:
        """Delete records, and let all who have read them ahead know, in one transaction with the `with` block.

        Yields, for each record that existed, its file or None, and the number of content bytes in its row.
        """
        removed: list[tuple[Any, int]] = []
        with transaction(connection):
            for some in chunks(keys):
                where = f"FROM records WHERE key IN ({marks(len(some))})"
                removed += connection.execute(f"SELECT file, ifnull(length(payload), 0) {where}", some)
                connection.execute(f"DELETE {where}", some)
            connection.execute("UPDATE state SET value = value + 1 WHERE name = 'epoch'")
            self._ahead.discard(keys)  # before the commit: Ctrl-C may come just after it
            self._keys_ahead.discard(keys)
            yield removed
        for file, _ in removed:
            if file is not None:
                self._values.remove(file)

    def sifting(self) -> Listing:
        """See `Sifts`."""
        return Listing(self._connection, lambda: self._origins)  # late, as they may be replaced with the database

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`."""
        return self.sifting().all(function)

    @again_when_mended
    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`."""
        return self.sifting().of(keys)

    def remove_leftovers(self, *, older_than_seconds: float, dry_run: bool) -> Leftovers:
        """See `HasLeftovers`."""

        @cache  # asked only if there is a file to check, because it looks at every record
        def named() -> set[str]:
            with self._connection as connection:
                rows = connection.execute("SELECT file FROM records WHERE file IS NOT NULL").fetchall()
            return set(chain.from_iterable(rows))

        with self._connection.translating():
            return self._values.remove_all_but(named, older_than_seconds=older_than_seconds, dry_run=dry_run)

    def compact(self) -> None:
        """See `HasLeftovers`."""
        with self._connection:
            connection = self._connection.in_place()
            connection.execute("VACUUM")
            cut_log(connection)

    @again_when_mended
    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        with self._connection:
            return self._connection.locks().claim(key)

    @again_when_mended
    def claim_many(self, keys: Sequence[Key], claims: dict[Key, Claim], /) -> None:
        """See `ClaimsMany`."""
        with self._connection:
            self._connection.locks().claim_many(keys, claims)


def _record_of(row: Row, origins: Mapping[int, Origin]) -> Record:
    key, checksum, origin, duration, payload, created_at = row
    # Does what Record(...) does in half the time, because most hits come this way.
    return _new(Record, (key, checksum, origins[origin], duration, payload, "", created_at, b""))


def _is_small(record: Record) -> bool:
    """Tell whether the payload belongs in the row rather than in a file."""
    return size_of(record.payload) < _ROW_BELOW_BYTES
