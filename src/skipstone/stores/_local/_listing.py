"""What is known of the records of the local store, without their payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..._record import Key, RecordInfo
from ._connection import Connection
from ._origins import NO_ORIGIN, Origins
from ._queries import IS_KNOWN, SCAN, chunks, infos, sift

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
        yield from self._pages(SCAN, {"function": function})

    def sifted(self, saved_before: float, encodings: Sequence[str], details: bytes) -> Iterator[RecordInfo]:
        """See `Sifts`."""
        begins = {f"encoding{number}": encoding for number, encoding in enumerate(encodings)}
        return self._pages(sift(len(encodings)), {"saved_before": saved_before, "details": details, **begins})

    def _pages(self, query: str, asked: dict[str, object]) -> Iterator[RecordInfo]:
        sequence = -1
        while True:
            with self._connection as connection:
                rows = connection.execute(query, {**asked, "after": sequence, "count": _ROWS_PER_PAGE}).fetchall()
            yield from filter(None, map(self._info, rows))
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
