"""The origins of records: what those of one function in one run have in common."""

from __future__ import annotations

import os

from .._functions._function import KnownFunction
from .._record import Origin
from ._runs import HOST, Runs

_MOST = 1000  # a function that is made again for each call has a new origin each time


class Origins:
    """The origins of the records of one run."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: dict[tuple[KnownFunction, str, int], Origin] = {}

    def of(self, function: KnownFunction, encoding: str) -> Origin:
        """Return the origin for a record that this process is making."""
        process = os.getpid()
        origin = self._known.get((function, encoding, process))
        if origin is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            origin = Origin(function.name, function.version, encoding, function.code, self._runs.id, HOST, process)
            self._known[function, encoding, process] = origin
        return origin
