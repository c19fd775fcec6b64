"""The calls that a map is asked for: arguments and ids, one after the other."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import chain, islice, starmap
from typing import Any, NamedTuple

from .._books._stats import duration
from .._engine._batch import Batching
from .._errors import check_count
from .._functions._call_id import compile_id, position_of
from .._functions._function import KnownFunction, known
from .._functions._unstable import check_id_function, check_repeats
from .._html import facts

_ITEMS_AT_ONCE = 1000
_SAMPLED_RECORDS = 10_000
_BATCH_ITEMS = 32


class Plan(NamedTuple):
    """What a map would do."""

    done: int
    """Calls whose result is stored."""
    missing: int
    """Calls that would run, failed ones included."""
    failed: int
    """Calls that are missing because they raised when they ran last."""
    estimated_seconds: float | None
    """How long the missing calls would run, one after the other, at the pace of the stored ones; None if none is
    stored."""
    estimated_bytes: int | None
    """How many bytes their results would take."""

    def __str__(self) -> str:
        """Say it in a line."""
        failed = f" ({self.failed:,} failed)" if self.failed else ""
        time = "" if self.estimated_seconds is None else f", about {self.estimated_seconds:,.1f} s of work"
        return f"{self.done:,} done, {self.missing:,} missing{failed}{time}"

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("done", f"{self.done:,}"), ("missing", f"{self.missing:,}")]
        if self.failed:
            rows.append(("of these failed", f"{self.failed:,}"))
        if self.estimated_seconds is not None:
            rows.append(("about", f"{duration(self.estimated_seconds)} of work, {self.estimated_bytes:,} bytes"))
        return facts("plan", rows)


class MapSummary(NamedTuple):
    """What a map did."""

    done_before: int
    """Calls whose result was stored already."""
    done_now: int
    """Calls that ran and returned."""
    failed: int
    """Calls that raised, or were left alone because they had failed too often."""

    def _repr_html_(self) -> str:
        counts = {"done before": self.done_before, "done now": self.done_now, "failed": self.failed}
        return facts("map", [(name, f"{count:,}") for name, count in counts.items()])


class MapSettings(NamedTuple):
    """How a map is done, as `Checkpoint.map` is told."""

    ordered: bool
    on_error: str
    retry: Callable[..., Any] | None
    window: int | None
    progress: bool | None
    skip_failed_after: int | None
    batching: Batching | None
    grace_seconds: float

    @property
    def raises(self) -> bool:
        """Whether the first error ends the map."""
        return self.on_error == "raise"

    @property
    def batch_size(self) -> int | None:
        """How many items a call takes at most; None: one, not in a list."""
        return None if self.batching is None else self.batching.size

    def check(self) -> None:
        """Refuse a wrong value.

        Raises:
            ValueError: There is one.
        """
        if self.on_error not in ("raise", "return"):
            message = f"on_error is {self.on_error!r}, expected 'raise' or 'return'"
            raise ValueError(message)
        for name, count in {"window": self.window, "skip_failed_after": self.skip_failed_after}.items():
            if count is not None:
                check_count(name, count)


class Source(NamedTuple):
    """Where the calls of a map come from."""

    args: Iterator[tuple[Any, ...]]
    """The arguments of one call after the other."""
    id_of: Callable[..., object]
    """Returns the id of a call, given its arguments."""


def source_of(
    method: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    id: str | Callable[..., object] | None,
    *,
    is_batch: bool = False,
) -> Source:
    """Return the arguments of the calls, and their ids; nothing is read before it is asked for.

    Raises:
        TypeError: There is nothing to map over.
        IdExpressionError: The id does not fit the function.
    """
    if not iterables:
        message = "map needs something to map over: map(function, items)"
        raise TypeError(message)
    function, _ = known(method)
    if function.each is not None and len(iterables) > 1:
        message = (
            f"{function.name} takes many {function.each}: map gives it these alone; bind the other arguments with "
            f"functools.partial"
        )
        raise TypeError(message)
    id_of = id_function(method, id, is_batch=is_batch)
    check_id_function(function, id)
    calls = zip(*iterables, strict=False)
    return Source(chain(_checked(function, id_of, calls), calls), id_of)


def _checked(
    function: KnownFunction, id_of: Callable[..., object], calls: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Yield the first call, whose id is made twice."""
    for args in islice(calls, 1):
        check_repeats(function, id_of, args, {})
        yield args


def batching_of(function: KnownFunction, batch_size: int | None, on_batch_error: str) -> Batching | None:
    """Check how calls are to be put together; None: they are not.

    Raises:
        ValueError: A setting has a wrong value.
    """
    if on_batch_error not in ("raise", "split"):
        message = f"on_batch_error is {on_batch_error!r}, expected 'raise' or 'split'"
        raise ValueError(message)
    if batch_size is None and function.each is not None:
        batch_size = _BATCH_ITEMS
    if batch_size is None:
        return None
    check_count("batch_size", batch_size)
    return Batching(batch_size, on_batch_error == "split")


def plan_of(engine: Any, function: KnownFunction, source: Source) -> Plan:
    """Look all items up, and estimate from the function's stored results what the missing ones would take."""
    done = missing = failed = 0
    ids = starmap(source.id_of, source.args)
    while block := {function.key(call_id): call_id for call_id in islice(ids, _ITEMS_AT_ONCE)}:
        stored = engine.done(function, list(block))
        lacking = {key: call_id for key, call_id in block.items() if key not in stored}
        done, missing = done + len(stored), missing + len(lacking)
        failed += len(engine.failures_of(lacking))
    known_ones = list(islice(engine.contents.records(function.name), _SAMPLED_RECORDS))
    if not known_ones:
        return Plan(done, missing, failed, None, None)
    seconds = missing * sum(info.duration_seconds for info in known_ones) / len(known_ones)
    size_bytes = missing * sum(info.size_bytes for info in known_ones) // len(known_ones)
    return Plan(done, missing, failed, seconds, size_bytes)


def count_of(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """Return how many calls there will be, or None where one cannot know."""
    sizes = [len(iterable) for iterable in iterables if isinstance(iterable, Sized)]
    return min(sizes) if len(sizes) == len(iterables) else None


def id_function(
    method: Callable[..., Any], id: str | Callable[..., object] | None, *, is_batch: bool, bound: int = 0
) -> Callable[..., object]:
    """Return a function of the arguments of `method` that returns the call id.

    Args:
        method: Whatever can be called, decorated or not.
        id: As for the decorator; None: the decorator's, or the content of all arguments.
        is_batch: Each parameter stands for one item of the list that `method` gets, and an expression may use
            another name for the first of them.
        bound: How many of the first parameters have their values already.

    Raises:
        IdExpressionError: The id does not fit the function.
        TypeError: The function has `each`, and something else comes first.
    """
    if isinstance(method, functools.partial):
        id_of = id_function(method.func, id, is_batch=is_batch, bound=bound + len(method.args))
        return functools.partial(id_of, *method.args, **method.keywords)
    if isinstance(method, types.MethodType):
        return functools.partial(
            id_function(method.__func__, id, is_batch=is_batch, bound=bound + 1), method.__self__
        )
    function, call = known(method)
    if function.each is not None and position_of(function.call, function.each) != bound:
        message = (
            f"map gives items by position, and {function.name} does not take its {function.each} next: bind what comes "
            f"before, by position, with functools.partial(function, ...)"
        )
        raise TypeError(message)
    if id is None and function.id_of is not None:
        return function.id_of
    if isinstance(call, types.FunctionType):
        return compile_id(call, id, item=bound if is_batch or function.each is not None else None)
    if callable(id):
        return id
    if id is None:
        return lambda *args: args
    message = f"{method!r} has no parameters that an id expression could name: give a callable as id"
    raise TypeError(message)
