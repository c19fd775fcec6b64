"""A call of a function with `each`: its items are looked up, and the missing ones run together."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from typing import Any, cast

from .._current import get_checkpoint
from .._engine._batch import run_batch
from .._engine._beside import in_thread
from .._engine._call import Call, at_once
from .._engine._hits import MISS
from .._engine._outcomes import Raised, Returned
from .._functions._call_id import compile_id, position_of
from .._functions._function import KnownFunction
from .._functions._unstable import check_ids, check_repeats
from ._loading import Loader
from ._pieces import Found


def decorated_each(
    function: types.FunctionType, known: KnownFunction, each: str, id_of: Callable[..., object]
) -> tuple[Any, Calls, Callable[..., Any]]:
    """Decorate a function that takes a list of items, each with an id and a result of its own.

    Args:
        function: The undecorated function.
        known: Its description.
        each: The parameter that takes the list.
        id_of: Returns the id of an item, given the same arguments with the item in the list's place.

    Returns:
        The decorated function; an object that divides a call into calls of its items; and a function that runs a call
        even if it is done.
    """
    known.each = each
    calls_of = Calls(function, known, id_of)

    async def results(args: tuple[Any, ...], kwargs: dict[str, Any], *, replace: bool = False) -> list[Any]:
        outcomes = await _outcomes(calls_of(args, kwargs), replace=replace)
        for outcome in outcomes:
            if isinstance(outcome, Raised):
                raise outcome.error
        return [outcome.value for outcome in outcomes]

    def rerun(*args: Any, **kwargs: Any) -> Any:
        running = results(args, kwargs, replace=True)
        return running if known.is_async else at_once(running)

    if known.is_async:

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            return await results(args, kwargs)

        return functools.wraps(function)(run_async), calls_of, rerun

    def run(*args: Any, **kwargs: Any) -> Any:
        return at_once(results(args, kwargs))

    return functools.wraps(function)(run), calls_of, rerun


class Calls:
    """Divides a call into one for each item, whose method takes a list of items."""

    def __init__(self, function: types.FunctionType, known: KnownFunction, id_of: Callable[..., object]) -> None:
        assert known.each is not None
        self._function = function
        self._known = known
        self._each = known.each
        self._id_of = id_of
        self._items_of = compile_id(function, self._each)
        self._position = position_of(function, self._each)
        self._is_first = True

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Call]:
        """Return a call for each item.

        Raises:
            TypeError: The arguments do not fit the function, or a text was given where a list is expected.
        """
        items: Any = self._items_of(*args, **kwargs)
        function = self._known.of_items
        if isinstance(items, (str, bytes)):
            message = f"{function.name} takes many {self._each}: give it a list, not {items!r:.50}"
            raise TypeError(message)

        def method(some: list[Any]) -> Any:
            given, named = self._with(some, args, kwargs)
            return self._function(*given, **named)

        calls: list[Call] = []
        for item in items:
            given, named = self._with(item, args, kwargs)
            call_id = self._id(given, named)
            calls.append(Call(function, function.key(call_id), call_id, method, (item,), {}))
        return calls

    def _id(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if self._is_first:
            self._is_first = False
            return check_repeats(self._known, self._id_of, args, kwargs)
        return self._id_of(*args, **kwargs)

    def _with(
        self, value: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with a value in the place of the list."""
        at = self._position
        if at is not None and at < len(args):
            return (*args[:at], value, *args[at + 1 :]), kwargs
        return args, {**kwargs, self._each: value}


async def _outcomes(calls: Sequence[Call], *, replace: bool = False) -> list[Any]:
    if not calls:
        return []
    engine, function = get_checkpoint()._engine, calls[0].function
    values = [MISS] * len(calls) if replace or engine.checks_all else await _loaded(engine, calls)
    missing = [call for call, value in zip(calls, values, strict=True) if value is MISS]
    check_ids(function, [call.id for call in missing], [call.args for call in missing])
    ran = iter(await run_batch(engine, missing, splits=False, replace=replace) if missing else ())
    return [next(ran) if value is MISS else Returned(value) for value in values]


async def _loaded(engine: Any, calls: Sequence[Call]) -> list[object]:
    """Return the stored results, with MISS for each that is missing."""
    function = calls[0].function
    found = Found([call.args for call in calls], [call.id for call in calls], [call.key for call in calls])
    parts = Loader(engine, function).load(found)
    values: list[object] = []
    while part := cast("Any", await in_thread(next, parts, None) if function.is_async else next(parts, None)):
        values.extend(part[1])
    return values
