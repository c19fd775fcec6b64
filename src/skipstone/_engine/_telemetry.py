"""Spans and metrics for OpenTelemetry, in programs that use it; in others, nothing is imported and nothing is done.

Hits are not measured one by one: metrics report the counters when they are asked for. Calls that run have spans.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .._books._stats import Counters, Stats, total
from .._naming import shortened
from ..stores._forks import begin_in_children
from ._call import Attempt, Call

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

Traced: TypeAlias = Callable[..., AbstractContextManager[object]]
"""Returns a context for a part of a call, given the part's name, the call, and how many calls run together."""

_STEP = "skipstone.step"
_METRICS = (
    ("hits", "hits", "{call}", "calls whose stored result was returned"),
    ("misses", "misses", "{call}", "calls that ran, and returned"),
    ("failures", "failures", "{call}", "calls that ran, and raised"),
    ("left_alone", "left_alone", "{call}", "calls that were not tried again, because they had failed too often"),
    ("not_saved", "not_saved", "{call}", "results that could not be kept"),
    ("time.saved", "seconds_saved", "s", "how long the calls that were hits took when they ran"),
    ("time.run", "seconds_run", "s", "how long calls ran"),
    ("time.waited", "seconds_waited", "s", "how long calls waited for somebody else who computed the same"),
    ("io.loaded", "bytes_loaded", "By", "results that were loaded"),
    ("io.saved", "bytes_saved", "By", "results that were saved"),
)
_NOTES = (
    ("notes.spent", "notes_spent", "that calls noted"),
    ("notes.saved", "notes_saved", "that hits had noted"),
)


_NOTHING = nullcontext()


def untraced(_part: str, _call: Call, _together: int = 1) -> AbstractContextManager[object]:
    """Return a context that does nothing."""
    return _NOTHING


@contextmanager
def with_span(traced: Traced, attempt: Attempt) -> Generator[None]:
    """Surround the run of a call by a span as well as by its attempt."""
    with traced("run", attempt.call), attempt:
        yield


def traced_for(engine: object, counters: Counters) -> Traced:
    """Report an engine's counters if this program uses OpenTelemetry; return the context for parts of its calls."""
    if "opentelemetry" not in sys.modules:  # nobody can have set a provider
        return untraced
    try:
        from opentelemetry.trace import StatusCode, get_tracer

        watched = _watched()
    except ImportError:  # only other parts of OpenTelemetry are installed
        return untraced
    watched.add(engine, counters)
    tracer = get_tracer("skipstone")

    @contextmanager
    def traced(part: str, call: Call, together: int = 1) -> Generator[None]:
        attributes: dict[str, Any] = {_STEP: counters.step, "skipstone.function": call.function.name}
        if together == 1:
            attributes["skipstone.call_id"] = shortened(call.id)
        else:
            attributes["skipstone.batch_size"] = together
        name = f"skipstone.{part}"
        with tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                with suppress(Exception):  # an error whose text cannot be made must not be replaced by another
                    span.set_status(StatusCode.ERROR, type(error).__name__)
                    span.record_exception(error)
                raise

    return traced


class _Watched:
    """The counters of this process by step: those of living engines, and sums for engines that have ended."""

    def __init__(self) -> None:
        self._counters: dict[int, Counters] = {}
        self._before: dict[str, Counters] = {}
        self._ended: deque[int] = deque()
        begin_in_children(self)

    def begin(self) -> None:
        # Reentrant: garbage collection may end a generator at any time, which may then open a checkpoint.
        self._lock = threading.RLock()

    def add(self, engine: object, counters: Counters) -> None:
        self._sum_up()
        self._counters[id(counters)] = counters
        # The finalizer only appends, which is atomic: it may run at any time, even in a thread that holds the lock.
        weakref.finalize(engine, self._ended.append, id(counters))

    def _sum_up(self) -> None:
        """Replace the counters of engines that have ended by sums."""
        with self._lock:
            while self._ended:
                ended = self._counters.pop(self._ended.popleft())
                before = self._before.setdefault(ended.step, Counters())
                before.step = ended.step
                before.add(ended.stats())

    def stats(self) -> dict[str, Stats]:
        found: dict[str, list[Stats]] = {}
        with self._lock:
            self._sum_up()
            for counters in [*self._before.copy().values(), *self._counters.copy().values()]:
                found.setdefault(counters.step, []).append(counters.stats())
        return {step: total(each) for step, each in found.items()}


@lru_cache(maxsize=1)
def _watched() -> _Watched:
    from opentelemetry.metrics import Observation, get_meter

    watched, meter = _Watched(), get_meter("skipstone")

    def counted(field: str, _options: CallbackOptions) -> Iterable[Observation]:
        for step, stats in watched.stats().items():
            yield Observation(getattr(stats, field), {_STEP: step})

    def noted(field: str, _options: CallbackOptions) -> Iterator[Observation]:
        for step, stats in watched.stats().items():
            for name, value in getattr(stats, field).items():
                yield Observation(value, {_STEP: step, "skipstone.note": name})

    for name, field, unit, description in _METRICS:
        meter.create_observable_counter(f"skipstone.{name}", [partial(counted, field)], unit, description)
    for name, field, description in _NOTES:
        meter.create_observable_counter(f"skipstone.{name}", [partial(noted, field)], "1", f"sums {description}")
    return watched
