"""An engine that looks for misuse: `check_calls` and `audit`.

It looks up no result without the call: every call is treated as if its result were missing, so that the arguments are
at hand when a stored result is found. That takes longer, but keeps the checks out of `Engine`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from .._books._details import arguments_of, details_of, digest_of, summarized
from .._encoding._codec import DamagedPayloadError, UnreadableResultError
from .._errors import (
    AuditWarning,
    ChangedArgumentWarning,
    ChangedGlobalWarning,
    CheckWarning,
    DifferentArgumentsWarning,
    RoundTripWarning,
    StoreError,
)
from .._functions._function import KnownFunction
from .._naming import shortened
from .._packing import map_in
from .._record import ARGUMENTS, Key, Record, RecordInfo, parts_of
from .._settings._config import CheckpointConfig
from ..stores import Store
from ._call import Attempt, Call, at_once
from ._difference import difference
from ._engine import Engine
from ._hits import MISS

_READS = "reads"


class CheckedEngine(Engine):
    """Runs calls without a stored result, stores their results, and warns about misuse."""

    takes_groups = False  # each call is compared by itself

    def __init__(self, store: Store, config: CheckpointConfig) -> None:
        """See `Engine`."""
        super().__init__(store, config)
        self.checks_all = config.check_calls

    def load(self, function: KnownFunction, key: Key, call_id: object) -> object:
        """Return MISS, so that `run` is called, or the stored result if this call is not to be checked."""
        if self._is_sampled():
            return MISS
        self._just_missed = None  # look it up here: `run` would take a result that it finds for a sampled one
        return super().load(function, key, call_id)

    async def load_async(self, function: KnownFunction, key: Key, call_id: object) -> object:
        """See `load`."""
        if self._is_sampled():
            return MISS
        self._just_missed = None
        return await super().load_async(function, key, call_id)

    def done(self, function: KnownFunction, keys: Sequence[Key]) -> set[Key]:
        """Return those keys that are stored and are not to be checked."""
        if self.checks_all:
            return set()
        return {key for key in super().done(function, keys) if not self._is_sampled()}

    def _is_sampled(self) -> bool:
        return self.checks_all or random.random() < self._config.audit  # noqa: S311 - a sample

    def run(self, call: Call, *, replace: bool = False) -> object:
        """Run a call, or return its stored result; then perhaps run it again."""
        with _looking() as found:
            value = super().run(call, replace=replace)
        if not replace and self._is_audited(call, found):
            at_once(self._audit(call, value))
        return value

    async def run_async(self, call: Call, *, replace: bool = False) -> object:
        """See `run`."""
        with _looking() as found:
            value = await super().run_async(call, replace=replace)
        if not replace and self._is_audited(call, found):
            await self._audit(call, value)
        return value

    def look_again(self, *calls: Call) -> list[tuple[Record | None, Attempt]]:
        """See `Engine`; also compare each call with the one whose result is stored under its id."""
        looked = super().look_again(*calls)
        stored = {
            call.key: call
            for call, (record, _) in zip(calls, looked, strict=True)
            if record is not None and not self._hits.is_past(record, call.function)
        }
        if (found := _found.get()) is not None:
            found.records.extend(record for record, _ in looked if record is not None and record.key in stored)
        if stored and self.checks_all:
            try:
                infos = self._store.infos(list(stored))
            except StoreError as error:
                self._store_failed(error)
                infos = {}
            for key, info in infos.items():
                self._compare(stored[key], self._codec.shown(info))
        return looked

    def ran(self, attempt: Attempt, value: object) -> None:
        """Count an attempt that returned, and check that a hit would have the same effect."""
        if self.checks_all:
            self._look_for_changes(attempt)
            self._look_at_round_trip(attempt.call, value)
        super().ran(attempt, value)

    def _details_of(self, call: Call) -> dict[str, Any]:
        if not self.checks_all:
            return details_of(call)
        return {ARGUMENTS: summarized(arguments_of(call)), _READS: _reads_of(call.function)}

    def _compare(self, call: Call, info: RecordInfo) -> None:
        """Warn if a call differs from the one whose result it gets."""
        function = call.function
        then = info.arguments
        for name, (digest, text) in summarized(arguments_of(call)).items():
            if name in then and digest and then[name].digest and digest != then[name].digest:
                shown = f" (it was {then[name].text} and is {text})" if text != then[name].text else ""
                self._found_in(
                    DifferentArgumentsWarning,
                    call,
                    name,
                    f"{name} differs{shown} from the call whose result is stored under this id, {_mention(function, name)}",
                    "let the id mention what the result depends on; where that is nothing of this, filter this warning",
                )
        if info.code != function.code:
            return  # other code may read other variables
        now = _reads_of(function)
        for name, digest in map_in(info.details).get(_READS, {}).items():
            if name in now and now[name] != digest:
                self._found_in(
                    ChangedGlobalWarning,
                    call,
                    name,
                    f"it reads the variable {name}, which has another value than when the result was made",
                    "pass its value as an argument that the id mentions",
                )

    def _look_for_changes(self, attempt: Attempt) -> None:
        before: dict[str, Any] = attempt.details.get(ARGUMENTS, {})
        arguments = arguments_of(attempt.call) if before else {}
        for name, value in arguments.items():
            digest = before[name][0] if name in before else None
            if digest is not None and digest_of(value) != digest:
                self._found_in(
                    ChangedArgumentWarning,
                    attempt.call,
                    name,
                    f"it changed its argument {name} in place, which a stored result will not do again",
                    "return what is new, and let the caller put it where it belongs",
                )

    def _look_at_round_trip(self, call: Call, value: object) -> None:
        try:
            payload, encoding = self._codec.encode(value, call.function)
        except Exception:  # noqa: BLE001 - the result cannot be kept; saving it will report that
            return
        origin = self._origins.of(call.function, encoding)
        sealed = self._codec.seal(Record(call.key, b"", origin, 0.0, payload))
        stored = sealed._replace(payload=b"".join(parts_of(sealed.payload)))  # as a store returns it
        try:
            loaded = self._codec.decode(stored, call.function)
        except (DamagedPayloadError, UnreadableResultError) as error:
            differs: str | None = f"it cannot be loaded: {error}"
        else:
            differs = difference(value, loaded)
        if differs is not None:
            self._found_in(
                RoundTripWarning,
                call,
                "",
                f"its result does not come back from the store as it was: {differs}",
                "return plain data, or choose a serializer that keeps it",
            )

    def _is_audited(self, call: Call, found: _Found) -> bool:
        """Tell whether to audit a result; not if somebody else made it while this call waited for it."""
        was_there = any(
            record.key == call.key and record.created_at_seconds <= found.since_seconds for record in found.records
        )
        return was_there and (not self.checks_all or random.random() < self._config.audit)  # noqa: S311 - a sample

    async def _audit(self, call: Call, value: object) -> None:
        """Run a call again, and warn if its result differs from the stored one."""
        try:
            # An attempt of its own takes the notes, which belong neither to the record nor to an outer call.
            with Attempt(call, self._store, 0):
                returned = call.method(*call.args, **call.kwargs)
                again = await returned if call.function.is_async else returned
        except Exception as error:  # noqa: BLE001 - the function raises what it likes
            differs: str | None = f"raised {type(error).__name__}: {error}"
        else:
            differs = difference(value, again)
        if differs is not None:
            self._found_in(
                AuditWarning,
                call,
                "",
                f"it was run again, and its result is not the stored one: {differs}",
                "give it what it depends on as arguments, such as a seed; or, where its world has changed, "
                "clear the stored results or use another version=",
            )

    def _found_in(self, category: type[CheckWarning], call: Call, what: str, problem: str, cure: str) -> None:
        message = f"{call.function.name}, called for id {shortened(call.id)!r}: {problem}. To mend it: {cure}"
        self._warn(category, message, once=(call.function.name, what))


class _Found(NamedTuple):
    """The records that were found while a call was looked up or run, and since when."""

    since_seconds: float
    records: list[Record]


_found: ContextVar[_Found | None] = ContextVar("skipstone_found", default=None)


@contextmanager
def _looking() -> Generator[_Found]:
    """Collect the records that are found inside a `with` block."""
    found = _Found(time.time(), [])
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def _reads_of(function: KnownFunction) -> dict[str, bytes]:
    """Return digests of the global variables that a function reads, as far as their values have one."""
    found = {read.name: digest_of(read.namespace.get(read.variable)) for read in function.described.reads}
    return {name: digest for name, digest in found.items() if digest is not None}


def _mention(function: KnownFunction, name: str) -> str:
    mentioned: set[str] | None = getattr(function.id_of, "mentions", None)
    if mentioned is None:
        return "and the id is the same"
    return "of which the id mentions a part only" if name in mentioned else "but the id does not mention it"
