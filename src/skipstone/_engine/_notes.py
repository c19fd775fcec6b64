"""Numbers that a call adds to its own record: what it cost.

They stand behind the payload, where a hit finds them, and in the details of the record, where a listing does. Where there
are none, nothing is spent on them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from .._errors import NoteWarning, warn
from ..stores._forks import begin_in_children
from ._call import under_way

Number: TypeAlias = "int | float"


class _Noting:
    """Keeps others out while something is noted."""

    def __init__(self) -> None:
        begin_in_children(self)

    def begin(self) -> None:
        self.lock = (
            threading.RLock()
        )  # reentrant: garbage is collected at any time, and what ends then may note something


_noting = _Noting()


def note(**numbers: Number | Sequence[Number]) -> None:
    """Add numbers to the record of the call that is under way: `note(tokens=1234, usd=0.02)`.

    Notes with one name add up, within a call and over calls. They belong to the innermost call. `Stats` tells what calls that
    ran have spent, and what hits have saved. Tasks that a call starts note for it; threads do so only if they run in a copy of
    its context, `contextvars.copy_context()`.

    Args:
        **numbers: Numbers by name. If a function runs many items together, a number is divided among them; a list has one
            number for each item, in their order.

    Raises:
        TypeError: A value is not a number.
        ValueError: A number is not finite, or a list does not have one number per item.
    """
    attempts = under_way()
    if not attempts:
        names = ", ".join(numbers)
        message = (
            f"note({names}) has no effect: no call that is kept is under way here. In a thread that a call starts, run the "
            f"function by contextvars.copy_context().run"
        )
        warn(message, NoteWarning)
        return
    shares = {name: _shares(name, value, len(attempts)) for name, value in numbers.items()}
    with _noting.lock:
        for position, attempt in enumerate(attempts):
            for name, each in shares.items():
                attempt.notes.setdefault(name, 0)
                attempt.notes[name] += each[position]  # nothing is collected amid this


def _shares(name: str, value: Any, count: int) -> Sequence[Number]:
    if not isinstance(value, (list, tuple)):
        number = _number(name, value)
        return [number if count == 1 else number / count] * count
    if len(value) != count:
        message = f"note({name}=...) has {len(value)} numbers for {count} items: give one for each, in their order"
        raise ValueError(message)
    return [_number(name, each) for each in value]


def _number(name: str, value: Any) -> Number:
    if not hasattr(value, "__float__"):
        message = f"note({name}={value!r:.50}) is no number"
        raise TypeError(message)
    number: Number = value if type(value) is int else float(value)
    if not math.isfinite(number):
        message = f"note({name}={number}) is not finite: it would hide all others"
        raise ValueError(message)
    return number
