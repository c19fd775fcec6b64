"""Decide whether a stored result may be returned, load it, and count the hit."""

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
from .._functions._function import KnownFunction, is_changed
from .._naming import shortened
from .._record import Buffer, Origin, Record
from ..stores._base import Row
from ._code_changes import CodeChanges

_MOST_FAST_PATHS = 1000

MISS: Final = object()
"""Stands for "no stored result", since None is a result like any other."""

UNLESS_COPIED: Final = "an intact copy replaces it, if another store has one; else "
"""For messages about damaged records: whoever has the claim asks later whether another store has a copy."""


class _FastPath:
    """The quick way to load the results of one origin for one function, if there is one."""

    __slots__ = ("function", "loads", "origin", "result_type", "salt")

    def __init__(self, origin: Origin | None, function: KnownFunction, reader: Reader | None) -> None:
        self.origin = origin
        self.function = function
        self.loads = None if reader is None else reader.loads
        self.salt = 0 if reader is None else reader.salt
        self.result_type = None if reader is None else function.result_type

    def result(self, payload: Buffer, checksum: bytes) -> object:
        """Return a result, or MISS if its origin has no fast path or it is damaged; `hit` then decides and warns."""
        if self.loads is None or xxh3_64_digest(payload, self.salt) != checksum:
            return MISS
        try:
            return self.loads(payload, self.result_type)
        except Exception:  # noqa: BLE001 - a serializer raises what it likes
            return MISS


class _FastPaths(dict[int, _FastPath]):
    """Fast paths by number of origin, where `origins` says what the numbers mean."""

    __slots__ = ("origins",)

    def __init__(self, origins: Mapping[int, Origin]) -> None:
        self.origins = origins


class Hits:
    """Turns records into results if they may be returned, and counts hits."""

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
        """Start with nothing known of any origin.

        Args:
            codec: Decodes records.
            code: Decides about results that were made by other code.
            counters: Count hits.
            warn: Warns about each thing once.
            expires_seconds: The config's `expires_seconds`.
            uses: Notes which results were used, if not None.
        """
        self._codec = codec
        self._code = code
        self._counters = counters
        self._warn = warn
        self._expires_seconds = expires_seconds
        self._uses = uses
        self._fast_paths = _FastPaths({})
        self._decode = codec.decode if uses is None else self._decode_used

    def at_hand(self, row: Row, origins: Mapping[int, Origin], function: KnownFunction, call_id: object) -> object:
        """Return the result in a row at hand, or MISS if there is anything else to ask, which `hit` then does.

        Nearly every hit comes this way, so whatever all records of an origin have in common is checked only once.
        """
        _, checksum, origin, duration_seconds, payload, _ = row
        paths = self._fast_paths
        if paths.origins is not origins:
            paths = self._fast_paths = _FastPaths(origins)
        path = paths.get(origin)
        if path is None or path.function is not function:
            path = self._fast_path_to(origin, paths, function)
        value = path.result(payload, checksum)
        if value is not MISS:
            self._counters.hit(duration_seconds, len(payload))
            if _log.is_debugging():
                self._log(function, call_id)
        return value

    def all_at_hand(
        self, rows: Sequence[Row], origins: Mapping[int, Origin], function: KnownFunction, ids: Sequence[object]
    ) -> list[object] | None:
        """Return the results in rows at hand, or None if `at_hand` would return MISS for any of them."""
        paths = _FastPaths(origins)
        values: list[object] = []
        path = number = None
        for _, checksum, origin, _, payload, _ in rows:
            if path is None or origin != number:
                number, path = origin, paths.get(origin) or self._fast_path_to(origin, paths, function)
            value = path.result(payload, checksum)
            if value is MISS:
                return None
            values.append(value)
        self._counters.hits(len(rows), sum([row[3] for row in rows]), sum([len(row[4]) for row in rows]))
        if _log.is_debugging():
            for call_id in ids:
                self._log(function, call_id)
        return values

    def _fast_path_to(self, number: int, paths: _FastPaths, function: KnownFunction) -> _FastPath:
        origin = paths.origins.get(number)
        if origin is None:  # it has not been read yet
            return _FastPath(None, function, None)
        if len(paths) >= _MOST_FAST_PATHS:
            paths.clear()
        path = paths[number] = _FastPath(origin, function, self._reader_of(origin, function))
        return path

    def _reader_of(self, origin: Origin, function: KnownFunction) -> Reader | None:
        """Return how results of an origin are read, or None if each record must be looked at by itself."""
        may_be_refused = is_changed(origin.code, function.code) or self._expires_after(function) is not None
        return None if may_be_refused or self._uses is not None else self._codec.plain_reader(origin.encoding)

    def hit(self, record: Record, function: KnownFunction, call_id: object) -> object:
        """Return the result in a record, or MISS if it cannot or may not be returned."""
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
        """Return the results in records, with MISS for each that is missing or cannot or may not be returned.

        Args:
            records: The records of calls of one function.
            function: That function.
            ids: The ids of the calls, for messages.
            are_hits: Whether to count them as hits; if not, the calls have just run in another process.
        """
        tell = self._counters.notes_saved if are_hits else None
        values: list[object] = []
        path = None
        for record, call_id in zip(records, ids, strict=True):
            if record is None:
                values.append(MISS)
                continue
            if path is None or path.origin is not record.origin:
                path = _FastPath(record.origin, function, self._reader_of(record.origin, function))
            value = path.result(cast("Buffer", record.payload), record.checksum)
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
        if not self.accepts(record.origin, record.created_at_seconds, function, call_id):
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
        shown = shortened(call_id)
        about = {"step": self._counters.step, "function": function.name, "call_id": shown}
        _log.debug("hit: %s for id %r", function.name, shown, event="hit", **about)

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
        """Tell whether a result may be returned: it is not too old, and its code is the present one or acceptable."""
        if self._has_expired(created_at_seconds, function):
            return False
        return self._code.accepts(origin, function, call_id)

    def is_past(self, record: Record, function: KnownFunction) -> bool:
        """Tell, without a warning, whether a result is too old or is to be made again since the code has changed."""
        if self._has_expired(record.created_at_seconds, function):
            return True
        return is_changed(record.origin.code, function.code) and self._code.policy_of(function) == "rerun"

    def _has_expired(self, created_at_seconds: float, function: KnownFunction) -> bool:
        seconds = self._expires_after(function)
        return seconds is not None and time.time() - created_at_seconds > seconds

    def _expires_after(self, function: KnownFunction) -> float | None:
        return self._expires_seconds if function.expires_seconds is None else function.expires_seconds
