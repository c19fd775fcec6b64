"""Origins by number, as rows of the local store name them."""

from __future__ import annotations

from collections.abc import Callable

from ..._record import Origin

NO_ORIGIN = Origin("", "", "unknown", b"", "", "", 0)  # of a record whose origin cannot be read


class Origins(dict[int, Origin]):
    """Origins by number, read when they are first asked for."""

    def __init__(self, read: Callable[[int], Origin | None]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, number: int) -> Origin:
        origin = self._read(number)
        if origin is None:
            return NO_ORIGIN
        self[number] = origin
        return origin
