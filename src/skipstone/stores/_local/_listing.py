"""List the records of the local store, without their payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..._record import Key, RecordInfo
from .._sifting import Sieve, Stretch
from ._connection import Connection
from ._origins import NO_ORIGIN, Origins
from ._queries import IS_KNOWN, NUMBERS, SCAN, SIZE, chunks, define, infos, ranges, sifted, stretch_of, unsifted

_ROWS_PER_PAGE = 1000
_ROWS_PER_STRETCH = 8192

_new = tuple.__new__


class Listing:
    """Lists the records of a database. Each origin is read once, not joined to every row."""

    def __init__(self, connection: Connection, origins: Callable[[], Origins]) -> None:
        self._connection = connection
        self._origins = origins

    def all(self, function: str | None) -> Iterator[RecordInfo]:
        """See `Store.scan`."""
        with self._connection as connection:
            if function is not None and not connection.execute(IS_KNOWN, (function,)).fetchone():
                return  # there is no need to look at every record
        yield from self._pages(SCAN, {"function": function})

    def sift(self, sieve: Sieve) -> Iterator[RecordInfo]:
        """See `Sifting`."""
        return self._pages(sifted(len(sieve.encodings)), _asked(sieve))

    def stretches(self, sieve: Sieve, uses: Mapping[Key, float]) -> Iterator[Stretch]:
        """See `Sifting`."""
        query = stretch_of(len(sieve.encodings), with_uses=bool(uses))
        with self._connection as connection:
            first, last = connection.execute(NUMBERS).fetchone()
        for part in () if first is None else ranges(first, last, _ROWS_PER_STRETCH):
            with self._connection as connection:
                define(connection)
                connection.create_function("used_at", 1, uses.get)
                found = connection.execute(query, _asked(sieve, *part)).fetchone()
            if found[0]:
                yield Stretch(*part, *found)

    def unsifted(self, sieve: Sieve, stretch: Stretch) -> Iterator[RecordInfo]:
        """See `Sifting`."""
        with self._connection as connection:
            define(connection)
            asked = _asked(sieve, stretch.first, stretch.last)
            rows = connection.execute(unsifted(len(sieve.encodings)), asked).fetchall()
        return filter(None, map(self._info, rows))

    def size_bytes(self) -> int:
        """See `Sifting`."""
        with self._connection as connection:
            return int(connection.execute(SIZE).fetchone()[0])

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


def _asked(sieve: Sieve, first: int = 0, last: int = 0) -> dict[str, object]:
    begins = {f"encoding{number}": encoding for number, encoding in enumerate(sieve.encodings)}
    return {"saved_before": sieve.saved_before, "details": sieve.details, **begins, "first": first, "last": last}
