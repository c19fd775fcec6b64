"""Reset objects in a child after a fork: threads of the parent may hold their locks, and some state is the parent's."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class _Beginner(Protocol):
    def begin(self) -> None:
        """Set the state that a new process starts with."""
        ...


_all: WeakSet[_Beginner] = WeakSet()


def begin_in_children(each: _Beginner) -> None:
    """Call `begin` of an object now, and again in each child process after a fork."""
    each.begin()
    _all.add(each)


def _begin() -> None:
    for each in list(_all):
        each.begin()


os.register_at_fork(after_in_child=_begin)
