"""Decide which results have to go if there is no room for all: those that were used least recently."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from .._record import Key
from ..stores._sifting import Sieve, Sifting, Stretch

_Moment: TypeAlias = tuple[float, float]
"""When a result was last used, and when it was saved."""


class Result(NamedTuple):
    """The properties of a result that decide whether it stays."""

    created_at_seconds: float
    size_bytes: int
    key: Key


def least_used(results: Iterable[Result], uses: Mapping[Key, float], excess_bytes: float) -> list[Result]:
    """Return the results to remove in order to free so many bytes: those that were used least recently.

    A run notes only once which results it has used, so many have the same last use: among these, the oldest go first.
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
    """Return how many results would have to go, and their size, having looked at few results one by one.

    Args:
        sifting: Finds and sums up the results of the store.
        sieve: Finds the results that must be looked at one by one.
        results: The results that the sieve found.
        uses: When results were last used.
        max_bytes: How much all results may take.
    """
    stretches = list(sifting.stretches(sieve, uses))
    bounds = [(_first(each), _last(each), each.size_bytes) for each in stretches]
    bounds += [(moment, moment, each.size_bytes) for each in results for moment in (_moment(each, uses),)]
    excess_bytes = sum(size_bytes for _, _, size_bytes in bounds) - max_bytes
    if excess_bytes <= 0:
        return 0, 0
    begun = _bytes_up_to([(first, size_bytes) for first, _, size_bytes in bounds], bisect_right)
    ended = _bytes_up_to([(last, size_bytes) for _, last, size_bytes in bounds], bisect_left)
    # A stretch goes as a whole if removing everything up to its last use does not suffice, and stays as a whole if
    # removing everything before its first use suffices. Only the few stretches in between are looked into.
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
    """Return a moment that is not after the moment of any result in the stretch."""
    return (stretch.first_used_at, stretch.first_saved_at)


def _last(stretch: Stretch) -> _Moment:
    return (stretch.last_used_at, stretch.last_saved_at)


def _bytes_up_to(
    sizes: Sequence[tuple[_Moment, int]], bisect: Callable[[Sequence[_Moment], _Moment], int]
) -> Callable[[_Moment], int]:
    """Given sizes at moments, return a function that says how many bytes there are up to a moment."""
    in_order = sorted(sizes)
    moments = [moment for moment, _ in in_order]
    sums = [0, *accumulate(size_bytes for _, size_bytes in in_order)]
    return lambda moment: sums[bisect(moments, moment)]
