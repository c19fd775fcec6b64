"""What comes of a call of a map; and calls that run together, yet with a claim, a record and a failure for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ._call import Attempt, Call
from ._engine import MISS
from ._errors import BatchLengthError
from ._record import Failure, Key

if TYPE_CHECKING:
    from ._engine import Engine
    from ._null_engine import NullEngine

CallAll: TypeAlias = Callable[[Sequence[Call]], Any]
"""Runs calls at once, and returns their results in the same order."""


class Stored(NamedTuple):
    """The result is in the store."""


class Returned(NamedTuple):
    """The result is here: the call ran in this process, or its result could not be kept."""

    value: object


class Raised(NamedTuple):
    """The call failed."""

    failure: Failure
    error: Exception


Outcome: TypeAlias = Stored | Returned | Raised


def outcome_of(engine: Engine | NullEngine, call: Call) -> Outcome:
    """Run a call that has no stored result, and tell what came of it."""
    try:
        return Returned(engine.run(call))
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        return Raised(engine.failure(call, error), error)


def run_batch(
    engine: Engine | NullEngine, calls: Sequence[Call], call_all: CallAll, *, splits: bool
) -> list[Outcome]:
    """Run calls together, but for those that were stored meanwhile or that somebody else computes.

    Args:
        engine: Keeps the results.
        calls: Of one function.
        call_all: Gets those that are to run, each once.
        splits: Where they raise together, each half is tried by itself, down to single calls.

    Raises:
        BatchLengthError: There are more or fewer results than calls; none of these is kept.
    """
    outcomes: dict[Key, Outcome] = {}
    missing: list[Attempt] = []
    busy: list[Call] = []
    with ExitStack() as claims:
        for call in {call.key: call for call in calls}.values():
            claim = engine.claim(call)
            if claim is None:
                busy.append(call)
                continue
            claims.enter_context(claim)
            value, attempt = engine.look_again(call)
            if value is MISS:
                missing.append(attempt)
            else:
                outcomes[call.key] = Returned(value)
        if missing:
            _run_together(engine, missing, call_all, outcomes, splits=splits)
    for call in busy:  # only now, with no claim held: whoever computes one of them may wait for one of ours
        outcome = outcome_of(engine, call._replace(method=_alone(call, call_all), args=()))
        if isinstance(outcome, Raised) and isinstance(outcome.error, BatchLengthError):
            raise outcome.error
        outcomes[call.key] = outcome
    return [outcomes[call.key] for call in calls]


def _run_together(
    engine: Engine | NullEngine,
    attempts: list[Attempt],
    call_all: CallAll,
    outcomes: dict[Key, Outcome],
    *,
    splits: bool,
) -> None:
    began = time.perf_counter()
    try:
        with ExitStack() as under_way:
            for attempt in attempts:
                under_way.enter_context(attempt)
            results = _checked(call_all([attempt.call for attempt in attempts]), [each.call for each in attempts])
    except BatchLengthError:
        raise
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        if splits and len(attempts) > 1:
            half = len(attempts) // 2
            for part in (attempts[:half], attempts[half:]):
                _run_together(engine, [each.again() for each in part], call_all, outcomes, splits=True)
            return
        for attempt in attempts:
            attempt.duration_seconds = (time.perf_counter() - began) / len(attempts)
            engine.failed(attempt, error)
            outcomes[attempt.call.key] = Raised(engine.failure(attempt.call, error), error)
        return
    seconds = (time.perf_counter() - began) / len(attempts)
    for attempt, result in zip(attempts, results, strict=True):
        attempt.duration_seconds = seconds
        try:
            outcomes[attempt.call.key] = Returned(engine.succeeded(attempt, result))
        except Exception as error:  # noqa: BLE001 - with on_save_error="raise"
            outcomes[attempt.call.key] = Raised(engine.failure(attempt.call, error), error)


def _alone(call: Call, call_all: CallAll) -> Callable[[], object]:
    return lambda: _checked(call_all([call]), [call])[0]


def _checked(results: Any, calls: Sequence[Call]) -> list[Any]:
    """Return the results as a list that fits the calls."""
    found = list(results)
    if len(found) != len(calls):
        message = (
            f"{calls[0].function.name} returned {len(found)} results for {len(calls)} items (the first of them is "
            f"{calls[0]}): return one for each, in the same order; none of these was kept"
        )
        raise BatchLengthError(message)
    return found
