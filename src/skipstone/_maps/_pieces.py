"""The calls that a map holds: one by one, or, if their results are stored, many as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, overload

from .._engine._outcomes import Outcome, Stored
from .._record import Key

_STORED = Stored()


class Item:
    """One call of a map. Its outcome is None until it has run, or `Stored` from the beginning if it need not run."""

    __slots__ = ("args", "id", "key", "outcome")

    def __init__(self, args: tuple[Any, ...], call_id: object, key: Key, outcome: Outcome | None = None) -> None:
        self.args: tuple[Any, ...] = args
        self.id: object = call_id
        self.key: Key = key
        self.outcome: Outcome | None = outcome


class Found(Sequence[Item]):
    """Consecutive calls whose results are stored. There may be millions, so an `Item` is made only when asked for."""

    __slots__ = ("_args", "ids", "keys")

    def __init__(self, args: Sequence[tuple[Any, ...]], ids: Sequence[object], keys: Sequence[Key]) -> None:
        self._args = args
        self.ids: Sequence[object] = ids
        self.keys: Sequence[Key] = keys

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Found: ...
    def __getitem__(self, index: int | slice) -> Item | Found:
        if isinstance(index, slice):
            return Found(self._args[index], self.ids[index], self.keys[index])
        return Item(self._args[index], self.ids[index], self.keys[index], _STORED)


Piece: TypeAlias = "Found | list[Item]"
"""Consecutive calls with an outcome."""


def runs_of(
    args: Sequence[tuple[Any, ...]], ids: Sequence[object], keys: Sequence[Key], stored: set[Key]
) -> Iterator[Found | Item]:
    """Yield calls in order: consecutive stored ones together, and every other one by itself."""
    if len(stored) == len(keys):  # by far the most common case: all were done before
        yield Found(args, ids, keys)
        return
    first = 0
    for number, key in enumerate(keys):
        if key not in stored:
            if first < number:
                yield Found(args[first:number], ids[first:number], keys[first:number])
            yield Item(args[number], ids[number], key)
            first = number + 1
    if first < len(keys):
        yield Found(args[first:], ids[first:], keys[first:])
