"""The stored results of a map, loaded many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ._batch import Returned, Stored
from ._engine import MISS, Engine
from ._function import KnownFunction
from ._record import Key, Record
from ._window import Item

_MOST_RECORDS, _MOST_BYTES = 500, 4 << 20


class Loader:
    """Turns items with an outcome into results: together, as far as they are small."""

    def __init__(self, engine: Engine, function: KnownFunction) -> None:
        self._engine = engine
        self._function = function
        self._at_once = 1

    def load(self, items: Sequence[Item]) -> Iterator[list[tuple[Item, Any]]]:
        """Yield items in order, some at a time, each with its result, its failure, or MISS where it cannot be loaded."""
        while items:
            some, items = items[: self._at_once], items[self._at_once :]
            keys = [item.key for item in some if type(item.outcome) is Stored]
            records = self._engine.fetch(keys) if keys else {}
            loaded_bytes = sum(len(record.payload) for record in records.values())
            most = min(_MOST_RECORDS, max(1, _MOST_BYTES * len(some) // max(1, loaded_bytes)))
            self._at_once = min(2 * self._at_once, most)
            yield [(item, self._result(item, records)) for item in some]

    def _result(self, item: Item, records: dict[Key, Record]) -> Any:
        outcome: Any = item.outcome
        if type(outcome) is Stored:
            record = records.get(item.key)
            return MISS if record is None else self._engine.hit(record, self._function, item.id)
        return outcome.value if type(outcome) is Returned else outcome.failure
