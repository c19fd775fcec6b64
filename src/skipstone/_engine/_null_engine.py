"""An engine that runs every call and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from .._books._contents import Contents
from .._books._failures import failure_now
from .._books._runs import Runs
from .._books._stats import Counters
from .._books._upkeep import Cleanup
from .._encoding._codec import Codec
from .._encoding._serializers import PickleSerializer
from .._functions._function import KnownFunction
from .._record import Failure, Key, Record
from ..stores import Claim, MemoryStore
from ._call import Attempt, Call
from ._hits import MISS
from ._telemetry import untraced


class NullEngine:
    """Runs every call and stores nothing."""

    checks_all = takes_groups = False

    def __init__(self) -> None:
        """Count calls, and do nothing else."""
        self.counters = Counters()
        self.runs = Runs(self.counters)
        self.contents = Contents(MemoryStore(), Codec(PickleSerializer()))

    def load(self, _function: KnownFunction, _key: Key, _call_id: object) -> object:
        """Return MISS."""
        return MISS

    async def load_async(self, _function: KnownFunction, _key: Key, _call_id: object) -> object:
        """Return MISS."""
        return MISS

    def is_done(self, _function: KnownFunction, _key: Key, _call_id: object) -> bool:
        """Return False."""
        return False

    def run(self, call: Call, *, replace: bool = False) -> object:  # noqa: ARG002
        """Run the call."""
        with self._counted(call):
            return call.method(*call.args, **call.kwargs)

    async def run_async(self, call: Call, *, replace: bool = False) -> object:  # noqa: ARG002
        """Run the call."""
        with self._counted(call):
            return await call.method(*call.args, **call.kwargs)

    traced = staticmethod(untraced)

    def running(self, attempt: Attempt) -> Attempt:
        """Return the context in which a call runs: its attempt."""
        return attempt

    async def _beside(self, function: Callable[..., Any], *args: object) -> Any:
        return function(*args)

    def claim(self, calls: Sequence[Call], claims: dict[Key, Claim]) -> None:
        """Add claims that keep nobody out."""
        claims.update((call.key, nullcontext()) for call in calls)

    def look_again(self, *calls: Call) -> list[tuple[None, Attempt]]:
        """Return for each call an attempt to run it."""
        return [(None, Attempt(call, None, 0)) for call in calls]

    def ran(self, attempt: Attempt, _value: object) -> None:
        """Count it."""
        self.counters.miss(attempt.duration_seconds, attempt.notes)

    def record_of(self, _attempt: Attempt, _value: object) -> None:
        """Return None, since nothing is kept."""

    def failed(self, attempt: Attempt, _error: Exception) -> None:
        """Count it."""
        self.counters.failure(attempt.duration_seconds, attempt.notes)

    @contextmanager
    def _counted(self, call: Call) -> Generator[None]:
        attempt = Attempt(call, None, 0)
        try:
            with attempt:
                yield
        except Exception as error:
            self.failed(attempt, error)
            raise
        self.ran(attempt, None)

    def done(self, _function: KnownFunction, _keys: Sequence[Key]) -> set[Key]:
        """Return an empty set."""
        return set()

    def hit(self, _record: Record, _function: KnownFunction, _call_id: object) -> object:
        """Return MISS."""
        return MISS

    def load_many(
        self,
        _function: KnownFunction,
        keys: Sequence[Key],
        _ids: Sequence[object],
        *,
        are_hits: bool,  # noqa: ARG002
    ) -> tuple[list[object], int]:
        """Return MISS for each."""
        return [MISS] * len(keys), 0

    def failure(self, call: Call, error: Exception) -> Failure:
        """Return the failure of a call that has just raised."""
        return failure_now(call.function, call.id, error, "")

    def failures_of(self, _ids: Mapping[Key, object]) -> dict[Key, Failure]:
        """Return an empty dictionary."""
        return {}

    def clean(self, _max_bytes: float | None, *, compact: bool = False, dry_run: bool = False) -> Cleanup:  # noqa: ARG002
        """Remove nothing."""
        return Cleanup(0, 0, 0, 0, 0)

    def close(self) -> None:
        """Record the end of the run."""
        self.runs.close()
