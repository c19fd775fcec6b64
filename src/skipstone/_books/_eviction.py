"""Which results have to go where there is not room for all: those that were used least recently."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from .._record import Key
from ..stores._sifting import Sieve, Sifting, Stretch

_Moment: TypeAlias = tuple[float, float]
"""When a result was used last, and when it was saved."""


class Result(NamedTuple):
    """What decides whether a result stays."""

    created_at_seconds: float
    size_bytes: int
    key: Key


def least_used(results: Iterable[Result], uses: Mapping[Key, float], excess_bytes: float) -> list[Result]:
    """Return the results that have to go, to have so many bytes less: those that were used least recently.

    A run tells once what it has used, so many were used at the same moment: of these, the ones that were saved first.
    """
    going: list[Result] = []
    if excess_bytes <= 0:
        return going
    for result in sorted(results, key=lambda each: (*_moment(each, uses), each.key)):
        going.append(result)
        excess_bytes -= result.size_bytes
        if excess_bytes <= 0:
            break
    return going


def number_that_would_go(
    sifting: Sifting, sieve: Sieve, results: Sequence[Result], uses: Mapping[Key, float], max_bytes: float
) -> tuple[int, int]:
    """Return how many results would have to go, and what they take, with a look at few of those that a sieve does not find.

    Args:
        sifting: Of the store.
        sieve: Finds what a stretch does not tell all of.
        results: Those that are found by the sieve.
        uses: When results were used last.
        max_bytes: How much all may take.
    """
    stretches = list(sifting.stretches(sieve, uses))
    bounds = [(_first(each), _last(each), each.size_bytes) for each in stretches]
    bounds += [(moment, moment, each.size_bytes) for each in results for moment in (_moment(each, uses),)]
    excess_bytes = sum(size_bytes for _, _, size_bytes in bounds) - max_bytes
    if excess_bytes <= 0:
        return 0, 0
    begun = _bytes_up_to([(first, size_bytes) for first, _, size_bytes in bounds], bisect_right)
    ended = _bytes_up_to([(last, size_bytes) for _, last, size_bytes in bounds], bisect_left)
    # All that was used no later than the last of a stretch does not suffice: the whole of it goes. Or what was used before
    # the first of it does suffice: the whole of it stays.
    whole = [each for each in stretches if begun(_last(each)) < excess_bytes]
    divided = [each for each in stretches if begun(_last(each)) >= excess_bytes > ended(_first(each))]
    looked_at = [
        Result(info.created_at_seconds, info.size_bytes, info.key)
        for each in divided
        for info in sifting.unsifted(sieve, each)
    ]
    whole_bytes = sum(each.size_bytes for each in whole)
    others = least_used([*results, *looked_at], uses, excess_bytes - whole_bytes)
    return (
        sum(each.results for each in whole) + len(others),
        whole_bytes + sum(each.size_bytes for each in others),
    )


def _moment(result: Result, uses: Mapping[Key, float]) -> _Moment:
    return (max(result.created_at_seconds, uses.get(result.key, 0.0)), result.created_at_seconds)


def _first(stretch: Stretch) -> _Moment:
    """Return a moment that none of its results is before."""
    return (stretch.first_used_at, stretch.first_saved_at)


def _last(stretch: Stretch) -> _Moment:
    return (stretch.last_used_at, stretch.last_saved_at)


def _bytes_up_to(
    sizes: Sequence[tuple[_Moment, int]], bisect: Callable[[Sequence[_Moment], _Moment], int]
) -> Callable[[_Moment], int]:
    """Return what tells how many bytes there are up to a moment, of sizes at moments."""
    in_order = sorted(sizes)
    moments = [moment for moment, _ in in_order]
    sums = [0, *accumulate(size_bytes for _, size_bytes in in_order)]
    return lambda moment: sums[bisect(moments, moment)]
