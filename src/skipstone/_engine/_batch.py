"""Run several calls, in one run of their function or one after another, with a record or a failure for each.

Plain functions and coroutine functions share this code. For plain functions it awaits nothing; see `_call.at_once`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._errors import BatchLengthError
from .._record import Key
from ._beside import in_thread
from ._call import Attempt, Call, all_under_way, at_once
from ._group import Group, watched
from ._outcomes import Outcome, Raised, outcome_of

if TYPE_CHECKING:
    from ._engine import Engine
    from ._null_engine import NullEngine


_LARGEST_GROUP = 128
_GROUP_SECONDS = 0.005


class Batching(NamedTuple):
    """How calls are combined into one run of their function, which takes lists and returns a list of results."""

    size: int
    """How many items a batch has at most."""
    splits: bool
    """If a batch raises, each half is tried by itself, and so on down to single calls."""


async def run_batch(
    engine: Engine | NullEngine, calls: Sequence[Call], *, splits: bool, replace: bool = False
) -> list[Outcome]:
    """Run calls together, except those that were stored meanwhile or that somebody else is computing.

    Args:
        engine: Keeps the results.
        calls: Calls of one function, which takes a list for each argument and returns a list of results. If several
            have the same key, the first one runs.
        splits: If the calls raise together, try each half by itself, and so on down to single calls.
        replace: Run calls even if they have stored results, and replace those.

    Raises:
        BatchLengthError: There are more or fewer results than calls; no result is kept.
    """
    group = Group(engine, replace=replace)
    try:
        missing = await _beside(engine, calls, group.claim, _first_of_each(calls))
        if missing:
            await _run_together(engine, group, missing, splits=splits)
    finally:
        await _beside(engine, calls, group.end)
    # Only now, without holding claims: whoever computes one of these calls may be waiting for one of ours.
    for call in group.busy:
        outcome = await outcome_of(engine, alone(call), replace=replace)
        if isinstance(outcome, Raised) and isinstance(outcome.error, BatchLengthError):
            raise outcome.error
        group.outcomes[call.key] = outcome
    return [group.outcomes[call.key] for call in calls]


async def run_each(engine: Engine | NullEngine, calls: Sequence[Call], *, stops_at_error: bool) -> list[Outcome]:
    """Run calls of one function one after another; with `stops_at_error`, none after one that raised.

    Quick calls of a plain function are put into groups.
    """
    outcomes: list[Outcome] = []
    most = _LARGEST_GROUP if engine.takes_groups and not calls[0].function.is_async else 0
    while len(outcomes) < len(calls):
        some = calls[len(outcomes) : len(outcomes) + most] if most else calls
        began = time.monotonic()
        done = _run_group(engine, some, stops_at_error=stops_at_error) if most and len(some) > 1 else {}
        for call in some:
            # If two calls have the same key, the group has the first; the second is a hit, with an object of its own.
            outcomes.append(done.pop(call.key) if call.key in done else await outcome_of(engine, call))
            if stops_at_error and isinstance(outcomes[-1], Raised):
                return outcomes
        if most:
            quick = int(len(some) * _GROUP_SECONDS / (time.monotonic() - began))
            most = max(1, min(_LARGEST_GROUP, quick))
    return outcomes


def _run_group(engine: Engine | NullEngine, calls: Sequence[Call], *, stops_at_error: bool) -> dict[Key, Outcome]:
    """Run quick calls as a group; return the outcomes of those that are over, which may not be all."""
    group = Group(engine)
    try:
        missing = group.claim(_first_of_each(calls))
        with watched(group):
            for attempt in missing:
                call = attempt.call
                if not group.begin(attempt):
                    break
                try:
                    with engine.running(attempt):
                        value = call.method(*call.args, **call.kwargs)
                except Exception as error:  # noqa: BLE001 - the function raises what it likes
                    group.fail(attempt, error)
                else:
                    group.finish(attempt, value)
                if stops_at_error and group.has_failed:
                    break  # with on_save_error="raise", also if the result could not be kept
    finally:
        group.end()
    return group.outcomes


def _first_of_each(calls: Sequence[Call]) -> list[Call]:
    """Return the first call of each key."""
    firsts: dict[Key, Call] = {}
    for call in calls:
        firsts.setdefault(call.key, call)
    return list(firsts.values())


def alone(call: Call) -> Call:
    """Return a call that runs the function with lists of one item, and whose result is that of the item."""

    async def run_async(*_: object) -> object:
        return (await _results_of([call]))[0]

    def run(*_: object) -> object:
        return at_once(run_async())

    # The arguments stay as they are: the record describes them.
    return call._replace(method=run_async if call.function.is_async else run)


async def _run_together(
    engine: Engine | NullEngine, group: Group, attempts: Sequence[Attempt], *, splits: bool
) -> None:
    calls = [attempt.call for attempt in attempts]
    try:
        with engine.traced("run", calls[0], len(calls)), all_under_way(attempts):
            results = await _results_of(calls)
    except BatchLengthError:
        raise
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        if splits and len(attempts) > 1:
            half = len(attempts) // 2
            for part in (attempts[:half], attempts[half:]):
                await _run_together(engine, group, [each.again() for each in part], splits=True)
            return
        await _beside(engine, calls, _failed, group, attempts, error)
        return

    def save() -> None:
        for attempt, result in zip(attempts, results, strict=True):
            group.finish(attempt, result)
        group.save()

    if calls[0].function.is_async:
        await in_thread(save)
    else:
        save()


def _failed(group: Group, attempts: Sequence[Attempt], error: Exception) -> None:
    for attempt in attempts:
        group.fail(attempt, error)


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
    """Call a function that asks the store: beside the event loop, if there is one and it may take long."""
    return await engine._beside(function, *args) if calls[0].function.is_async else function(*args)
