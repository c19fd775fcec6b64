"""Load the stored results of a map, many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._engine._engine import Engine
from .._engine._outcomes import Returned, Stored
from .._functions._function import KnownFunction
from .._record import Key
from ._pieces import Found, Piece

_MOST_RECORDS, _MOST_BYTES = 500, 4 << 20


class Loader:
    """Turns calls with an outcome into results, several together if they are small."""

    def __init__(self, engine: Engine, function: KnownFunction) -> None:
        self._engine = engine
        self._function = function
        self._at_once = 1

    def load(self, piece: Piece) -> Iterator[tuple[Piece, list[Any]]]:
        """Yield parts of a piece, each with its results and failures, and MISS for a result that cannot be loaded."""
        if not self.reads(piece):
            yield piece, [_given(item.outcome) for item in piece]
            return
        start = 0
        while start < len(piece):
            part = piece[start : start + self._at_once]
            start += len(part)
            yield part, self._results(part)

    @staticmethod
    def reads(piece: Piece) -> bool:
        """Tell whether a result of this piece must be read from the store."""
        return isinstance(piece, Found) or any(type(item.outcome) is Stored for item in piece)

    def _results(self, part: Piece) -> list[Any]:
        if isinstance(part, Found):
            return self._stored(part.keys, part.ids, are_hits=True)
        stored = [item for item in part if type(item.outcome) is Stored]
        keys, ids = [item.key for item in stored], [item.id for item in stored]
        loaded = iter(self._stored(keys, ids, are_hits=False) if keys else ())  # a worker process ran them
        return [_given(item.outcome) if type(item.outcome) is not Stored else next(loaded) for item in part]

    def _stored(self, keys: Sequence[Key], ids: Sequence[object], *, are_hits: bool) -> list[object]:
        results, loaded_bytes = self._engine.load_many(self._function, keys, ids, are_hits=are_hits)
        most = min(_MOST_RECORDS, max(1, _MOST_BYTES * len(keys) // max(1, loaded_bytes)))
        self._at_once = min(2 * self._at_once, most)
        return results


def _given(outcome: Any) -> Any:
    """Return the result or the failure in an outcome."""
    return outcome.value if type(outcome) is Returned else outcome.failure
