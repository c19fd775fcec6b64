"""One call: whose turn it is to run it, and that it is under way."""

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
    """Refuse one id for a call whose items have ids of their own.

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
    """One call of a function whose results are kept."""

    function: KnownFunction
    key: Key
    id: object
    method: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def told(self, step: str) -> dict[str, object]:
        """Return what log records have as attributes."""
        return {"step": step, "function": self.function.name, "call_id": shortened(self.id)}

    def __str__(self) -> str:
        """Name the function and the id, for messages."""
        return f"{self.function.name} for id {shortened(self.id)!r}"


class Attempt:
    """One run of a function. While it lasts, the same call in the same context is a call of itself."""

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
        """What it is saved together with."""
        self.is_over = False
        self.duration_seconds = 0.0
        self.notes: dict[str, float] = {}
        """Numbers that the call adds to its own record."""
        self.together: Sequence[Attempt] = ()
        """Those that are one run of a function, where there are several."""
        self.details: dict[str, Any] = {}
        """What else is known of the call, and is to stand in its record."""
        self._details_of = details_of

    @property
    def packed_details(self) -> bytes:
        """The details, as a record has them."""
        details, expires = self.details, self.call.function.expires_seconds
        if self.notes:
            details = details | {NOTES: self.notes}
        if expires is not None:
            details = details | {EXPIRES: expires}
        return packed(details) if details else b""

    def told(self, step: str) -> dict[str, object]:
        """Return what log records have as attributes."""
        return {**self.call.told(step), "duration_seconds": self.duration_seconds}

    def again(self) -> Attempt:
        """Return another attempt of the same call."""
        other = Attempt(self.call, self.store, self.failures_before, self._details_of)
        other.details = self.details
        return other

    def begin(self) -> None:
        """Take down what is known of the call before it runs, which may change its arguments."""
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
        self.is_over = True  # a task that was started meanwhile has inherited the context, and may live on
        _under_way.reset(self._token)


@contextmanager
def all_under_way(attempts: Sequence[Attempt]) -> Generator[None]:
    """Attempts that are one run of a function: each takes its part of the time."""
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
"""Where the store does not answer: without claims, the first `put` wins, which is right, if not once."""
_under_way: ContextVar[tuple[Attempt, ...]] = ContextVar("skipstone_attempts", default=())


def under_way() -> Sequence[Attempt]:
    """Return the innermost call that is under way in this context, or all that are one run with it; none elsewhere."""
    return next(
        (attempt.together or (attempt,) for attempt in reversed(_under_way.get()) if not attempt.is_over), ()
    )


def save_what_waits() -> None:
    """Save the results of calls that were over before those under way in this context began, and wait to be saved with them."""
    for attempt in _under_way.get():
        if attempt.group is not None:
            attempt.group.save()


class Turn:
    """Waits for the claim of a call, and gives it back at the end of the `with` block. Who asks does the waiting: it sleeps, or awaits."""

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
        """The one that is held, from before it is: where Ctrl-C comes between, it can be given back."""

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the claim back, if it is held."""
        for claim in self._claims.values():
            claim.__exit__(None, None, None)

    def pauses(self) -> Iterator[float]:
        """Yield seconds to wait before the next try, until the claim is held; first 0, where somebody else has it.

        Raises:
            ReentrantCallError: It is held by a call that this one is part of.
            ClaimTimeoutError: It took longer than the timeout.
        """
        if self._try_to_claim():
            return
        for attempt in _under_way.get():
            if attempt.group is not None:
                attempt.group.dissolve()  # somebody else may wait for what it holds
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
    """Run to its end what awaits nothing: the code that plain functions share with coroutine functions."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    message = f"{coroutine!r} awaits something"
    raise RuntimeError(message)
