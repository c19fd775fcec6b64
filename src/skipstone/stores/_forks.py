"""What a child begins anew after a fork: locks that a thread of its parent may have held, and what is its parent's."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class _Beginner(Protocol):
    def begin(self) -> None:
        """Begin as in a new process."""
        ...


_all: WeakSet[_Beginner] = WeakSet()


def begin_in_children(each: _Beginner) -> None:
    """Begin now, and in each child after its fork."""
    each.begin()
    _all.add(each)


def _begin() -> None:
    for each in list(_all):
        each.begin()


os.register_at_fork(after_in_child=_begin)
