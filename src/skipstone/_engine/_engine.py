"""What happens to a call: hit, miss, claim, failure and save. No other module knows these rules.

Sync and async calls differ in one thing only: the former sleep where the latter await.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from .. import _log
from .._books._contents import Contents
from .._books._details import details_of
from .._books._failures import failure_key
from .._books._origins import Origins
from .._books._runs import Runs
from .._books._stats import Counters
from .._books._stream_items import Items
from .._books._upkeep import Cleanup, Upkeep
from .._books._uses import Uses
from .._errors import SkipstoneWarning, StoreError, StoreUnavailableWarning, warn
from .._functions._function import KnownFunction, is_changed
from .._record import Key, Record, RecordInfo
from .._settings._config import CheckpointConfig, codec_of
from ..stores import Claim, Store
from ..stores._base import ClaimsMany, at_hand_in, renewed
from ._beside import in_thread
from ._call import NO_CLAIM, Attempt, Call, Turn, save_what_waits
from ._code_changes import CodeChanges
from ._failures import Failures
from ._hits import MISS, Hits
from ._saving import LARGE_BYTES, Saving
from ._telemetry import traced_for, untraced, with_span


class Engine:
    """Runs calls without a stored result, and stores their results."""

    checks_all = False  # whether results must not be looked up without the call
    takes_groups = True  # whether calls may be looked up and saved together
    _details_of = staticmethod(details_of)

    def __init__(self, store: Store, config: CheckpointConfig) -> None:
        """Keep results in `store`, as the config says.

        Raises:
            MissingExtraError: The config needs a library that is not installed.
        """
        self.counters = Counters()
        self._store = store
        self._claim_many = store.claim_many if isinstance(store, ClaimsMany) else None
        self._at_hand = at_hand_in(store)
        self._config = config
        self._codec = codec_of(config)
        self._contents = Contents(store, self._codec)
        self.runs = Runs(self.counters)
        self._warned: set[object] = set()
        self._just_missed: KnownFunction | None = None
        self._origins = Origins(self.runs)
        self.code = CodeChanges(store, self._codec, config.on_code_change, self._origins, self._warn)
        self.uses = None if config.max_bytes is None else Uses()
        self._hits = Hits(
            self._codec, self.code, self.counters, self._warn, config.expires_seconds, uses=self.uses
        )
        self.hit, self.accepts = self._hits.hit, self._hits.accepts
        self._saving = Saving(
            store,
            self._codec,
            config,
            self.counters,
            code=self.code,
            origins=self._origins,
            hit=self.hit,
            warn=self._warn,
            store_failed=self._store_failed,
        )
        self.record_of, self.not_saved = self._saving.record_of, self._saving.not_saved
        self.keep, self.keep_new = self._saving.keep, self._saving.keep_new
        self._failures = Failures(
            store,
            self._codec,
            self.counters,
            self.runs,
            fetch=self.fetch,
            record=self._saving.record,
            store_failed=self._store_failed,
        )
        self.failed, self.note_failure = self._failures.failed, self._failures.note
        self.failure, self.failures_of = self._failures.failure, self._failures.failures_of
        self.traced = traced_for(self, self.counters)

    @property
    def contents(self) -> Contents:
        """What is stored, to be listed and removed, after results that wait in groups have been saved.

        Otherwise a result could be saved after it should have been removed.
        """
        save_what_waits()
        return self._contents

    def load(self, function: KnownFunction, key: Key, call_id: object) -> object:
        """Return a fresh copy of the stored result, or MISS; `run` looks again with the claim held."""
        at_hand = self._at_hand()
        if at_hand is not None and (row := at_hand.rows.get(key)) is not None:
            value = self._hits.at_hand(row, at_hand.origins, function, call_id)
            if value is not MISS:
                return value
        record = self._get(function, key)
        return MISS if record is None else self.hit(record, function, call_id)

    async def load_async(self, function: KnownFunction, key: Key, call_id: object) -> object:
        """Return a fresh copy of the stored result, or MISS; large ones are loaded beside the event loop."""
        record = await self._beside(self._get, function, key)
        return MISS if record is None else await self._hit_async(record, function, call_id)

    def _get(self, function: KnownFunction, key: Key) -> Record | None:
        if function is self._just_missed:
            return None  # after a miss, the next call is likely to miss, too: the look with the claim held will do
        try:
            record = self._store.get(key)
        except StoreError as error:
            self._store_failed(error)
            return None
        if record is None:
            self._just_missed = function
        return record

    def replays(self, call: Call, items: Items, duration_seconds: float) -> None:
        """Count the replay of a generator."""
        self.counters.hit(duration_seconds, items.size_bytes)
        self.counters.notes_saved(items.notes)
        if self.uses is not None:
            self.uses.note(call.key)

    async def _hit_async(self, record: Record, function: KnownFunction, call_id: object) -> object:
        if len(record.payload) < LARGE_BYTES:
            return self.hit(record, function, call_id)
        return cast("object", await in_thread(self.hit, record, function, call_id))

    def is_done(self, function: KnownFunction, key: Key, call_id: object) -> bool:
        """Tell whether a stored result would be returned, without loading it."""
        try:
            record = self._store.get(key)
        except StoreError as error:
            self._store_failed(error)
            return False
        if record is None or not self._codec.is_intact(record) or self._codec.refusal(record):
            return False
        return self.accepts(record.origin, record.created_at_seconds, function, call_id)

    def done(self, function: KnownFunction, keys: Sequence[Key]) -> set[Key]:
        """Return those of these keys whose stored results would be returned, as far as can be told unread."""
        try:
            if not self._hits.chooses(function):
                return self._store.present(keys)
            infos = self._store.infos(keys)
        except StoreError as error:
            self._store_failed(error)
            return set()
        return {key for key, info in infos.items() if self._accepts_unread(info, function)}

    def _accepts_unread(self, info: RecordInfo, function: KnownFunction) -> bool:
        # The id is needed only for a message about other code.
        call_id = self._codec.shown(info).call_id if is_changed(info.code, function.code) else ""
        return self.accepts(info.origin, info.created_at_seconds, function, call_id)

    def load_many(
        self, function: KnownFunction, keys: Sequence[Key], ids: Sequence[object], *, are_hits: bool
    ) -> tuple[list[object], int]:
        """Return fresh copies of stored results, with MISS for each that is missing, and their size in bytes.

        Args:
            function: The function that was called.
            keys: The keys of the calls.
            ids: The ids of the same calls, for messages.
            are_hits: Whether to count them as hits; if not, the calls have just run in another process.
        """
        at_hand = self._at_hand()
        if at_hand is not None and are_hits:
            rows = [row for row in map(at_hand.rows.get, keys) if row is not None]
            if len(rows) == len(keys):
                values = self._hits.all_at_hand(rows, at_hand.origins, function, ids)
                if values is not None:
                    return values, sum([len(row[4]) for row in rows])
        records = self.fetch(keys)
        size_bytes = sum([len(record.payload) for record in records.values()])
        return self._hits.results([*map(records.get, keys)], function, ids, are_hits=are_hits), size_bytes

    def fetch(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return the records of those of these keys that have one."""
        try:
            return self._store.get_many(keys)
        except StoreError as error:
            self._store_failed(error)
            return {}

    def turn(self, call: Call) -> Turn:
        """Return an object that waits for the claim of a call."""
        return Turn(call, self._store, self._config.wait_timeout, self.claim, self.counters.waited)

    def run(self, call: Call, *, replace: bool = False) -> object:
        """Run a call without a stored result, once among all who ask, and store its result.

        Args:
            call: If somebody else is computing it, wait for that and return the result.
            replace: Run it even if there is a stored result, and replace that result.
        """
        with self.turn(call) as turn:
            for pause_seconds in turn.pauses():
                if pause_seconds == 0 and not replace:
                    self._just_missed = None  # so that the store is asked, although the claim is not held
                    value = self.load(call.function, call.key, call.id)
                    if value is not MISS:
                        return value
                time.sleep(pause_seconds)
            [(record, attempt)] = self.look_again(call)
            if record is not None and not replace:
                value = self.hit(record, call.function, call.id)
                if value is not MISS:
                    return value
            try:
                with self.running(attempt):
                    value = call.method(*call.args, **call.kwargs)
            except Exception as error:  # not Ctrl-C, cancellation or exit, which say nothing about the call
                self.failed(attempt, error)
                raise
            return self.succeeded(attempt, value, replace)

    async def run_async(self, call: Call, *, replace: bool = False) -> object:
        """Run a call of a coroutine function; see `run`."""
        from asyncio import sleep

        turn = self.turn(call)
        try:
            pauses = turn.pauses()
            while (pause_seconds := await self._beside(next, pauses, None)) is not None:
                if pause_seconds == 0 and not replace:
                    self._just_missed = None
                    if (value := await self.load_async(call.function, call.key, call.id)) is not MISS:
                        return value
                await sleep(pause_seconds)
            [(record, attempt)] = await self._beside(self.look_again, call)
            if record is not None and not replace:
                value = await self._hit_async(record, call.function, call.id)
                if value is not MISS:
                    return value
            try:
                with self.running(attempt):
                    value = await call.method(*call.args, **call.kwargs)
            except Exception as error:
                await self._beside(self.failed, attempt, error)
                raise
            if call.function is self._saving.is_quick_for:
                return await self._beside(self.succeeded, attempt, value, replace)
            return cast("object", await in_thread(self.succeeded, attempt, value, replace))
        finally:
            await self._beside(turn.__exit__)

    async def _beside(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function that asks the store, in a thread if the store may take long."""
        return await in_thread(function, *args, is_remote=True) if self._store.is_remote else function(*args)

    def look_again(self, *calls: Call) -> list[tuple[Record | None, Attempt]]:
        """Return for each call the record that was stored before we had the claim, if any, and an attempt to run it."""
        self.runs.call_begins()
        keys = [call.key for call in calls]
        failures = list(map(failure_key, keys))
        found = self._found(keys, failures, calls)
        if not found:  # as for nearly all calls that run
            return [(None, Attempt(call, self._store, 0, self._details_of)) for call in calls]
        if not found.keys().isdisjoint(keys):
            self._just_missed = None
        return [
            (
                found.get(call.key),
                Attempt(call, self._store, self._failures.attempts_in(found.get(failed)), self._details_of),
            )
            for call, failed in zip(calls, failures, strict=True)
        ]

    def _found(self, keys: list[Key], failures: list[Key], calls: Sequence[Call]) -> dict[Key, Record]:
        """Return the records of calls and their failures; useless ones are replaced by copies from elsewhere, if any."""
        try:
            there = self._store.present(keys + failures)
            if not there:
                return {}
            found = self._store.get_many([*there])
            useless = [each.key for each in calls if self._is_useless(found.get(each.key), each.function)]
            return found | renewed(self._store, useless) if useless else found
        except StoreError as error:
            self._store_failed(error)
            return {}

    def _is_useless(self, record: Record | None, function: KnownFunction) -> bool:
        return record is not None and (self._hits.is_past(record, function) or not self._codec.is_intact(record))

    def claim(self, calls: Sequence[Call], claims: dict[Key, Claim]) -> None:
        """Claim the calls that nobody else is computing, without waiting; add the claims, entered, to `claims`."""
        keys = [call.key for call in calls]
        if self._claim_many is not None:
            try:
                self._claim_many(keys, claims)
            except StoreError as error:
                self._store_failed(error)
                claims.update(dict.fromkeys(keys, NO_CLAIM))
        else:
            for key in keys:
                try:
                    claim = self._store.claim(key)
                except StoreError as error:
                    self._store_failed(error)
                    claim = NO_CLAIM
                if claim is not None:
                    claims[key] = claim
        for each in claims.values():
            each.__enter__()

    def running(self, attempt: Attempt) -> AbstractContextManager[object]:
        """Return the context in which a call runs: its attempt, and a span if tracing is on."""
        return attempt if self.traced is untraced else with_span(self.traced, attempt)

    def succeeded(self, attempt: Attempt, value: object, replace: bool) -> object:
        """Count an attempt that returned, and store its result; return it, or the one that somebody stored first."""
        self.ran(attempt, value)
        with self.traced("save", attempt.call):
            record = self.record_of(attempt, value)
            return value if record is None else self.keep(attempt, value, record, replace=replace)

    def ran(self, attempt: Attempt, _value: object) -> None:
        """Count an attempt that returned."""
        self.counters.miss(attempt.duration_seconds, attempt.notes)
        if _log.is_debugging():
            _log.debug("ran: %s", attempt.call, event="ran", **attempt.log_fields(self.counters.step))

    def clean(self, max_bytes: float | None, *, compact: bool = False, dry_run: bool = False) -> Cleanup:
        """Remove what is of no use; see `Upkeep`."""
        upkeep = Upkeep(self._store, self._codec, self.runs, self.uses)
        most = self._config.max_bytes if max_bytes is None else max_bytes
        return upkeep.clean(self._config.expires_seconds, most, compact=compact, dry_run=dry_run)

    def close(self) -> None:
        """Evict what exceeds `max_bytes`, record the end of the run, and close the store."""
        if self.uses is not None:
            try:
                if self.counters.stats().bytes_saved:
                    _log.info("to keep to max_bytes: %s", self.clean(None))
                else:
                    self.uses.write(self.runs.store())
            except StoreError as error:
                self._store_failed(error)
        self.runs.close()
        self._store.close()

    def _store_failed(self, error: StoreError) -> None:
        self._warn(
            StoreUnavailableWarning,
            f"{error}. Calls run and their results are returned, but not kept until it works again",
            once=StoreUnavailableWarning,
        )

    def _warn(self, category: type[SkipstoneWarning], message: str | Callable[[], str], *, once: object) -> None:
        if (category, once) not in self._warned:
            self._warned.add((category, once))
            warn(message if isinstance(message, str) else message(), category)
