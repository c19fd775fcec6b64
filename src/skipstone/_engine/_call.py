"""One call: waiting for its claim, and being under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._errors import ClaimTimeoutError, ReentrantCallError
from .._functions._function import KnownFunction
from .._naming import shortened
from .._packing import packed
from .._record import EXPIRES, NOTES, Key
from ..stores import Claim, Store

if TYPE_CHECKING:
    from ._group import Group

R = TypeVar("R")


_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.03
_LONGEST_REMOTE_PAUSE_SECONDS = 0.5  # each try is a request


def check_takes_id(function: KnownFunction) -> None:
    """Refuse a single id for a call of many items, each of which has its own id.

    Raises:
        TypeError: The function was decorated with `each`.
    """
    if function.each is not None:
        message = (
            f"{function.name} takes many {function.each}, each with an id of its own: call it, or map over the items, "
            f"in place of load_or_run"
        )
        raise TypeError(message)


class Call(NamedTuple):
    """A call of a function whose results are kept."""

    function: KnownFunction
    key: Key
    id: object
    method: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def log_fields(self, step: str) -> dict[str, object]:
        """Return the attributes of a log record about this call."""
        return {"step": step, "function": self.function.name, "call_id": shortened(self.id)}

    def __str__(self) -> str:
        """Name the function and the id, for messages."""
        return f"{self.function.name} for id {shortened(self.id)!r}"


class Attempt:
    """One run of a call. While it is under way, the same call in the same context would be waiting for itself."""

    __slots__ = (
        "_details_of",
        "_started",
        "_token",
        "call",
        "details",
        "duration_seconds",
        "failures_before",
        "group",
        "is_over",
        "notes",
        "store",
        "together",
    )

    def __init__(
        self,
        call: Call,
        store: Store | None,
        failures_before: int,
        details_of: Callable[[Call], dict[str, Any]] | None = None,
    ) -> None:
        self.call = call
        self.store = store
        self.failures_before = failures_before
        self.group: Group | None = None
        """The group that it is saved with, if any."""
        self.is_over = False
        self.duration_seconds = 0.0
        self.notes: dict[str, float] = {}
        """Numbers that the call adds to its own record."""
        self.together: Sequence[Attempt] = ()
        """All attempts that share one run of a function, if it is more than this one."""
        self.details: dict[str, Any] = {}
        """What else the record is to tell of the call."""
        self._details_of = details_of

    @property
    def packed_details(self) -> bytes:
        """The details in the form that a record has them in."""
        details, expires = self.details, self.call.function.expires_seconds
        if self.notes:
            details = details | {NOTES: self.notes}
        if expires is not None:
            details = details | {EXPIRES: expires}
        return packed(details) if details else b""

    def log_fields(self, step: str) -> dict[str, object]:
        """Return the attributes of a log record about this attempt."""
        return {**self.call.log_fields(step), "duration_seconds": self.duration_seconds}

    def again(self) -> Attempt:
        """Return another attempt of the same call."""
        other = Attempt(self.call, self.store, self.failures_before, self._details_of)
        other.details = self.details
        return other

    def begin(self) -> None:
        """Note the details before the call runs, since it may change its arguments."""
        if self._details_of is not None:
            self.details, self._details_of = self._details_of(self.call), None

    def __enter__(self) -> Attempt:
        if self._details_of is not None:
            self.begin()
        self._token = _under_way.set((*_under_way.get(), self))
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.duration_seconds = time.perf_counter() - self._started
        self.is_over = True  # tasks that the call started have inherited the context, and may outlive it
        _under_way.reset(self._token)


@contextmanager
def all_under_way(attempts: Sequence[Attempt]) -> Generator[None]:
    """Surround one run of a function for several attempts; each is assigned an equal share of the time."""
    for attempt in attempts:
        attempt.together = attempts
        attempt.begin()
    token = _under_way.set((*_under_way.get(), *attempts))
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = (time.perf_counter() - started) / len(attempts)
        for attempt in attempts:
            attempt.duration_seconds, attempt.is_over, attempt.together = seconds, True, ()
        _under_way.reset(token)


NO_CLAIM: Claim = nullcontext()
"""Used if the store does not answer. Without claims a call may run more than once, but the first `put` still wins."""
_under_way: ContextVar[tuple[Attempt, ...]] = ContextVar("skipstone_attempts", default=())


def under_way() -> Sequence[Attempt]:
    """Return the innermost call under way in this context, with all that share its run; empty if there is none."""
    return next(
        (attempt.together or (attempt,) for attempt in reversed(_under_way.get()) if not attempt.is_over), ()
    )


def save_what_waits() -> None:
    """Save results that wait in the groups of the calls under way in this context."""
    for attempt in _under_way.get():
        if attempt.group is not None:
            attempt.group.save()


class Turn:
    """Gets the claim of a call, and gives it back at the end of the `with` block.

    The caller does the actual waiting, by sleeping or by awaiting.
    """

    def __init__(
        self,
        call: Call,
        store: Store,
        timeout_seconds: float | None,
        claim: Callable[[Sequence[Call], dict[Key, Claim]], None],
        waited: Callable[[float], None],
    ) -> None:
        self._call = call
        self._store = store
        self._timeout_seconds = timeout_seconds
        self._claim = claim
        self._waited = waited
        self._claims: dict[Key, Claim] = {}
        """The claim, if any. It is here before it is taken, so that wherever Ctrl-C comes, it is given back."""

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the claim back, if it is held."""
        for claim in self._claims.values():
            claim.__exit__(None, None, None)

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each further try, until the claim is held.

        If the first try fails, the first value is 0: the caller should then look for a stored result.

        Raises:
            ReentrantCallError: The claim is held by a call that this one is part of.
            ClaimTimeoutError: Waiting took longer than the timeout.
        """
        if self._try_to_claim():
            return
        for attempt in _under_way.get():
            if attempt.group is not None:
                attempt.group.dissolve()  # whoever has our claim may be waiting for one that this group holds
        yield 0
        self._refuse_reentry()
        longest = _LONGEST_REMOTE_PAUSE_SECONDS if self._store.is_remote else _LONGEST_PAUSE_SECONDS
        pause_seconds, waiting_since = _SHORTEST_PAUSE_SECONDS, time.monotonic()
        while not self._try_to_claim():
            if self._timeout_seconds is not None and time.monotonic() - waiting_since >= self._timeout_seconds:
                message = (
                    f"somebody else has been computing {self._call} for more than {self._timeout_seconds} s "
                    f"(wait_timeout): wait longer, or see whether that process hangs"
                )
                raise ClaimTimeoutError(message)
            yield pause_seconds
            pause_seconds = min(2 * pause_seconds, longest)
        self._waited(time.monotonic() - waiting_since)

    def _try_to_claim(self) -> bool:
        self._claim([self._call], self._claims)
        if NO_CLAIM in self._claims.values():
            self._refuse_reentry()
        return bool(self._claims)

    def _refuse_reentry(self) -> None:
        for attempt in _under_way.get():
            if attempt.call.key == self._call.key and attempt.store is self._store and not attempt.is_over:
                message = (
                    f"the call of {self._call} asked for its own result: leave the inner call undecorated "
                    f"(__wrapped__), or give it another id"
                )
                raise ReentrantCallError(message)


def at_once(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that awaits nothing, as the code shared by plain and coroutine functions does for plain ones."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    message = f"{coroutine!r} awaits something"
    raise RuntimeError(message)
