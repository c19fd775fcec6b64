"""What is known of the records of the local store, without their payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..._record import Key, RecordInfo
from .._sifting import Result, Sieve
from ._connection import Connection
from ._origins import NO_ORIGIN, Origins
from ._queries import IS_KNOWN, SCAN, SIZE, chunks, define, infos, sifted, unsifted

_ROWS_PER_PAGE = 1000

_new = tuple.__new__


class Listing:
    """Lists the records of a database. Texts of origins are made once, not for each row."""

    def __init__(self, connection: Connection, origins: Callable[[], Origins]) -> None:
        self._connection = connection
        self._origins = origins

    def all(self, function: str | None) -> Iterator[RecordInfo]:
        """See `Store.scan`."""
        with self._connection as connection:
            if function is not None and not connection.execute(IS_KNOWN, (function,)).fetchone():
                return  # without a look at every record
        yield from filter(None, map(self._info, self._rows(SCAN, {"function": function})))

    def sift(self, sieve: Sieve) -> Iterator[RecordInfo]:
        """See `Sifting`."""
        rows = self._rows(sifted(len(sieve.encodings)), _asked(sieve))
        return filter(None, map(self._info, rows))

    def unsifted(self, sieve: Sieve) -> Iterator[Result]:
        """See `Sifting`."""
        rows = self._rows(unsifted(len(sieve.encodings)), _asked(sieve))
        return (_new(Result, row[1:]) for row in rows)

    def size_bytes(self) -> int:
        """See `Sifting`."""
        with self._connection as connection:
            return int(connection.execute(SIZE).fetchone()[0])

    def _rows(self, query: str, asked: dict[str, object]) -> Iterator[tuple[Any, ...]]:
        """Yield what a query finds, page by page, so that others can use the connection meanwhile."""
        sequence = -1
        while True:
            with self._connection as connection:
                define(connection)
                rows = connection.execute(query, {**asked, "after": sequence, "count": _ROWS_PER_PAGE}).fetchall()
            yield from rows
            if len(rows) < _ROWS_PER_PAGE:
                return
            sequence = rows[-1][0]

    def of(self, keys: Sequence[Key]) -> dict[Key, RecordInfo]:
        """See `Store.infos`."""
        found: dict[Key, RecordInfo] = {}
        for some in chunks(keys):
            with self._connection as connection:
                rows = connection.execute(infos(len(some)), some).fetchall()
            found.update((info.key, info) for info in map(self._info, rows) if info is not None)
        return found

    def _info(self, row: tuple[Any, ...]) -> RecordInfo | None:
        _, key, number, call_id, size, created_at, duration, details = row
        origin = self._origins()[number]
        if origin is NO_ORIGIN:
            return None
        function, version, encoding, code, run, host, process = origin
        # What RecordInfo(...) does, in half the time.
        return _new(
            RecordInfo,
            (
                key,
                function,
                version,
                call_id,
                encoding,
                code,
                size,
                created_at,
                duration,
                run,
                host,
                process,
                details,
            ),
        )


def _asked(sieve: Sieve) -> dict[str, object]:
    begins = {f"encoding{number}": encoding for number, encoding in enumerate(sieve.encodings)}
    return {"saved_before": sieve.saved_before, "details": sieve.details, **begins}
