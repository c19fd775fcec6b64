"""The outcomes that a call in a map can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._record import Failure
from ._call import Call

if TYPE_CHECKING:
    from ._engine import Engine
    from ._null_engine import NullEngine


class Stored(NamedTuple):
    """The result is in the store."""


class Returned(NamedTuple):
    """The result is at hand: the call ran in this process, or its result could not be kept."""

    value: object


class Raised(NamedTuple):
    """The call failed."""

    failure: Failure
    error: Exception


Outcome: TypeAlias = Stored | Returned | Raised


async def outcome_of(engine: Engine | NullEngine, call: Call, *, replace: bool = False) -> Outcome:
    """Run a call without a stored result, and return its outcome."""
    try:
        if call.function.is_async:
            return Returned(await engine.run_async(call, replace=replace))
        return Returned(engine.run(call, replace=replace))
    except Exception as error:  # noqa: BLE001 - the function raises what it likes
        return Raised(engine.failure(call, error), error)
