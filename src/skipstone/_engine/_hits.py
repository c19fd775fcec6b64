"""What a stored result is worth: whether it may be returned, and that it was a hit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from xxhash import xxh3_64_digest

from .. import _log
from .._books._stats import Counters
from .._books._uses import Uses
from .._encoding._codec import Codec, DamagedPayloadError, Reader, RefusedResultError, UnreadableResultError
from .._encoding._trailer import Notes
from .._errors import DamagedRecordWarning, LoadWarning
from .._functions._function import KnownFunction, is_comparable
from .._naming import shortened
from .._record import Buffer, Origin, Record
from ..stores._base import Row
from ._code_changes import CodeChanges

_MOST_WAYS = 1000

MISS: Final = object()
"""No stored result. Not None: that is a result like any other."""

UNLESS_COPIED: Final = "an intact copy replaces it, if another store has one; else "
"""Said of a damaged record: whether another store has a copy is asked later, by whoever has the claim."""


class _Way:
    """How results of one origin are loaded for one function."""

    __slots__ = ("function", "loads", "origin", "result_type", "salt")

    def __init__(self, origin: Origin | None, function: KnownFunction, reader: Reader | None) -> None:
        self.origin = origin
        self.function = function
        self.loads = None if reader is None else reader.loads
        self.salt = 0 if reader is None else reader.salt
        self.result_type = None if reader is None else function.result_type

    def result(self, payload: Buffer, checksum: bytes) -> object:
        """Return a result, where its origin leaves no question and it is whole; else MISS, and `hit` tells why."""
        if self.loads is None or xxh3_64_digest(payload, self.salt) != checksum:
            return MISS
        try:
            return self.loads(payload, self.result_type)
        except Exception:  # noqa: BLE001 - a serializer raises what it likes
            return MISS


class _Ways(dict[int, _Way]):
    """Ways by the numbers of origins, as one mapping of them has them."""

    __slots__ = ("origins",)

    def __init__(self, origins: Mapping[int, Origin]) -> None:
        self.origins = origins


class Hits:
    """Turns records into results, where they may be returned, and counts them."""

    def __init__(
        self,
        codec: Codec,
        code: CodeChanges,
        counters: Counters,
        warn: Callable[..., None],
        expires_seconds: float | None,
        *,
        uses: Uses | None,
    ) -> None:
        """Decide about records.

        Args:
            codec: Makes results of them.
            code: Decides about those that were made by other code.
            counters: Count hits.
            warn: Tells each thing once.
            expires_seconds: The config's.
            uses: Is told what was used, if it is there.
        """
        self._codec = codec
        self._code = code
        self._counters = counters
        self._warn = warn
        self._expires_seconds = expires_seconds
        self._uses = uses
        self._ways = _Ways({})
        self._decode = codec.decode if uses is None else self._decode_used

    def at_hand(self, row: Row, origins: Mapping[int, Origin], function: KnownFunction, call_id: object) -> object:
        """Return the result in a record that is at hand, where its origin leaves no question; else MISS.

        Then `hit` finds out what there is to it, and tells. This is the way of nearly every hit, so what cannot differ
        between the records of an origin is looked at once.
        """
        _, checksum, origin, duration_seconds, payload, _ = row
        ways = self._ways
        if ways.origins is not origins:
            ways = self._ways = _Ways(origins)
        way = ways.get(origin)
        if way is None or way.function is not function:
            way = self._way_of(origin, ways, function)
        value = way.result(payload, checksum)
        if value is not MISS:
            self._counters.hit(duration_seconds, len(payload))
            if _log.is_debugging():
                self._log(function, call_id)
        return value

    def all_at_hand(
        self, rows: Sequence[Row], origins: Mapping[int, Origin], function: KnownFunction, ids: Sequence[object]
    ) -> list[object] | None:
        """Return the results in records that are at hand, or None where `at_hand` would not return one of them."""
        ways = _Ways(origins)
        values: list[object] = []
        way = number = None
        for _, checksum, origin, _, payload, _ in rows:
            if way is None or origin != number:
                number, way = origin, ways.get(origin) or self._way_of(origin, ways, function)
            value = way.result(payload, checksum)
            if value is MISS:
                return None
            values.append(value)
        self._counters.hits(len(rows), sum([row[3] for row in rows]), sum([len(row[4]) for row in rows]))
        if _log.is_debugging():
            for call_id in ids:
                self._log(function, call_id)
        return values

    def _way_of(self, number: int, ways: _Ways, function: KnownFunction) -> _Way:
        origin = ways.origins.get(number)
        if origin is None:  # not read yet
            return _Way(None, function, None)
        if len(ways) >= _MOST_WAYS:
            ways.clear()
        way = ways[number] = _Way(origin, function, self._reader_of(origin, function))
        return way

    def _reader_of(self, origin: Origin, function: KnownFunction) -> Reader | None:
        """Return how results of an origin are read, or None where there is more to be asked of each record."""
        asks = origin.code != function.code or self._expires_after(function) is not None or self._uses is not None
        return None if asks else self._codec.plain_reader(origin.encoding)

    def hit(self, record: Record, function: KnownFunction, call_id: object) -> object:
        """Return the result that a record holds, or MISS where it cannot or may not be returned."""
        value = self._result_in(record, function, call_id, self._counters.notes_saved)
        if value is not MISS:
            self._counters.hit(record.duration_seconds, len(record.payload))
            if _log.is_debugging():
                self._log(function, call_id)
        return value

    def results(
        self,
        records: Sequence[Record | None],
        function: KnownFunction,
        ids: Sequence[object],
        *,
        are_hits: bool,
    ) -> list[object]:
        """Return the results that records hold, or MISS where there is none, or it cannot or may not be returned.

        Args:
            records: Of calls of one function.
            function: That one.
            ids: Of the calls, for messages.
            are_hits: They are counted; else they ran just now, elsewhere.
        """
        tell = self._counters.notes_saved if are_hits else None
        values: list[object] = []
        way = None
        for record, call_id in zip(records, ids, strict=True):
            if record is None:
                values.append(MISS)
                continue
            if way is None or way.origin is not record.origin:
                way = _Way(record.origin, function, self._reader_of(record.origin, function))
            value = way.result(cast("Buffer", record.payload), record.checksum)
            values.append(self._result_in(record, function, call_id, tell) if value is MISS else value)
        if are_hits:
            found = zip(records, ids, values, strict=True)
            hits = [(record, call_id) for record, call_id, value in found if value is not MISS and record]
            seconds = sum([record.duration_seconds for record, _ in hits])
            self._counters.hits(len(hits), seconds, sum([len(record.payload) for record, _ in hits]))
            if _log.is_debugging():
                for _, call_id in hits:
                    self._log(function, call_id)
        return values

    def _result_in(
        self,
        record: Record,
        function: KnownFunction,
        call_id: object,
        tell: Callable[[Notes], object] | None,
    ) -> object:
        expires = self._expires_seconds is not None or function.expires_seconds is not None
        may_differ = expires or record.origin.code != function.code
        if may_differ and not self.accepts(record.origin, record.created_at_seconds, function, call_id):
            return MISS
        try:
            return self._decode(record, function, tell)
        except (DamagedPayloadError, UnreadableResultError) as error:
            damaged, refused = isinstance(error, DamagedPayloadError), isinstance(error, RefusedResultError)
            self._warn(
                DamagedRecordWarning if damaged else LoadWarning,
                f"the stored result of {function.name} for id {shortened(call_id)!r} "
                f"{'is damaged' if damaged else 'cannot be loaded'} ({error}): {UNLESS_COPIED if damaged else ''}the call "
                f"runs again and {'what is stored stays as it is' if refused else 'its result replaces it'}",
                once=(function.name, str(error)) if refused else record.key,
            )
            return MISS

    def _log(self, function: KnownFunction, call_id: object) -> None:
        told = shortened(call_id)
        about = {"step": self._counters.step, "function": function.name, "call_id": told}
        _log.debug("hit: %s for id %r", function.name, told, event="hit", **about)

    def _decode_used(
        self, record: Record, function: KnownFunction, tell: Callable[[Notes], object] | None
    ) -> object:
        assert self._uses is not None
        self._uses.note(record.key)
        return self._codec.decode(record, function, tell)

    def chooses(self, function: KnownFunction) -> bool:
        """Tell whether `accepts` may say no to some of a function's results."""
        return self._code.policy_of(function) == "rerun" or self._expires_after(function) is not None

    def accepts(self, origin: Origin, created_at_seconds: float, function: KnownFunction, call_id: object) -> bool:
        """Decide whether a result may be returned: it is not too old, and was made by the same code, or that is all right."""
        if self._has_expired(created_at_seconds, function):
            return False
        return origin.code == function.code or self._code.accepts(origin, function, call_id)

    def is_past(self, record: Record, function: KnownFunction) -> bool:
        """Tell whether a record is too old, or made by other code and to be run again for that. Nobody is warned."""
        if self._has_expired(record.created_at_seconds, function):
            return True
        codes = record.origin.code, function.code
        return codes[0] != codes[1] and is_comparable(*codes) and self._code.policy_of(function) == "rerun"

    def _has_expired(self, created_at_seconds: float, function: KnownFunction) -> bool:
        seconds = self._expires_after(function)
        return seconds is not None and time.time() - created_at_seconds > seconds

    def _expires_after(self, function: KnownFunction) -> float | None:
        return self._expires_seconds if function.expires_seconds is None else function.expires_seconds
