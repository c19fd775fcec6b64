"""What comes of a call of a map; and calls that run together, yet with a claim, a record and a failure for each.

Plain functions and coroutine functions share this code: of plain ones it awaits nothing, see `_call.at_once`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._errors import BatchLengthError
from .._record import Failure, Key
from ._beside import in_thread
from ._call import Attempt, Call, all_under_way, at_once
from ._hits import MISS

if TYPE_CHECKING:
    from ._engine import Engine
    from ._null_engine import NullEngine


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


class Batching(NamedTuple):
    """How calls are put together: their function takes lists, and returns a list of results."""

    size: int
    """The most items of a batch."""
    splits: bool
    """Where they raise together, each half is tried by itself, down to single calls."""


async def outcome_of(engine: Engine | NullEngine, call: Call, *, replace: bool = False) -> Outcome:
    """Run a call that has no stored result, and tell what came of it."""
    try:
        if call.function.is_async:
            return Returned(await engine.run_async(call, replace=replace))
        return Returned(engine.run(call, replace=replace))
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        return Raised(engine.failure(call, error), error)


async def run_batch(
    engine: Engine | NullEngine, calls: Sequence[Call], *, splits: bool, replace: bool = False
) -> list[Outcome]:
    """Run calls together, but for those that were stored meanwhile or that somebody else computes.

    Args:
        engine: Keeps the results.
        calls: Of one function, that takes a list for each of their arguments, and returns a list of their results.
            Of those with one key, one is run.
        splits: Where they raise together, each half is tried by itself, down to single calls.
        replace: Run them even if there are stored results, and replace those.

    Raises:
        BatchLengthError: There are more or fewer results than calls; none of these is kept.
    """
    outcomes: dict[Key, Outcome] = {}
    busy: list[Call] = []
    missing: list[Attempt] = []

    def claim() -> None:
        claimed: list[Call] = []
        for call in {call.key: call for call in calls}.values():
            held = engine.claim(call)
            if held is None:
                busy.append(call)
            else:
                claims.enter_context(held)
                claimed.append(call)
        for record, attempt in engine.look_again(*claimed):
            call = attempt.call
            value = MISS if record is None or replace else engine.hit(record, call.function, call.id)
            if value is MISS:
                missing.append(attempt)
            else:
                outcomes[call.key] = Returned(value)

    claims = ExitStack()
    try:
        await _beside(engine, calls, claim)
        if missing:
            outcomes |= await _run_together(engine, missing, splits=splits, replace=replace)
    finally:
        await _beside(engine, calls, claims.close)
    for call in busy:  # only now, with no claim held: whoever computes one of them may wait for one of ours
        outcome = await outcome_of(engine, alone(call), replace=replace)
        if isinstance(outcome, Raised) and isinstance(outcome.error, BatchLengthError):
            raise outcome.error
        outcomes[call.key] = outcome
    return [outcomes[call.key] for call in calls]


def alone(call: Call) -> Call:
    """Return the same call, made with lists of one item, whose result is that item's."""

    async def run_async(*_: object) -> object:
        return (await _results_of([call]))[0]

    def run(*_: object) -> object:
        return at_once(run_async())

    # The arguments stay, for its record to tell them.
    return call._replace(method=run_async if call.function.is_async else run)


async def _run_together(
    engine: Engine | NullEngine, attempts: Sequence[Attempt], *, splits: bool, replace: bool
) -> dict[Key, Outcome]:
    calls = [attempt.call for attempt in attempts]
    try:
        with engine.traced("run", calls[0], len(calls)), all_under_way(attempts):
            results = await _results_of(calls)
    except BatchLengthError:
        raise
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        if splits and len(attempts) > 1:
            half = len(attempts) // 2
            parts = [[each.again() for each in part] for part in (attempts[:half], attempts[half:])]
            first, second = [await _run_together(engine, part, splits=True, replace=replace) for part in parts]
            return first | second
        failed: dict[Key, Outcome] = await _beside(engine, calls, _failed, engine, attempts, error)
        return failed

    def save() -> list[Outcome]:
        return [_saved(engine, *one, replace=replace) for one in zip(attempts, results, strict=True)]

    outcomes: Any = await in_thread(save) if calls[0].function.is_async else save()
    return dict(zip([call.key for call in calls], outcomes, strict=True))


def _failed(engine: Engine | NullEngine, attempts: Sequence[Attempt], error: Exception) -> dict[Key, Outcome]:
    for attempt in attempts:
        engine.failed(attempt, error)
    return {attempt.call.key: Raised(engine.failure(attempt.call, error), error) for attempt in attempts}


def _saved(engine: Engine | NullEngine, attempt: Attempt, result: object, *, replace: bool) -> Outcome:
    try:
        return Returned(engine.succeeded(attempt, result, replace))
    except Exception as error:  # noqa: BLE001 - with on_save_error="raise"
        return Raised(engine.failure(attempt.call, error), error)


async def _results_of(calls: Sequence[Call]) -> list[Any]:
    """Call the function with a list of each argument, and return a result for each call."""
    first = calls[0]
    returned = first.method(*map(list, zip(*(call.args for call in calls), strict=True)))
    results = list(await returned if first.function.is_async else returned)
    if len(results) != len(calls):
        message = (
            f"{first.function.name} returned {len(results)} results for {len(calls)} items (the first of them is "
            f"{first}): return one for each, in the same order; none of these was kept"
        )
        raise BatchLengthError(message)
    return results


async def _beside(
    engine: Engine | NullEngine, calls: Sequence[Call], function: Callable[..., Any], *args: object
) -> Any:
    """Ask the store: beside the event loop, if there is one and it may take long."""
    return await engine._beside(function, *args) if calls[0].function.is_async else function(*args)
