"""Some of a store's records, found faster than by a look at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from .._record import RecordInfo


@runtime_checkable
class Sifts(Protocol):
    """A store that finds some of its records faster than a listing gives them all."""

    def sift(self, *, saved_before: float, encodings: Sequence[str], details: bytes) -> Iterator[RecordInfo]:
        """Yield what is known of the records of which at least one holds, in the order of saving.

        Args:
            saved_before: They were saved before this Unix time.
            encodings: Their encoding begins with one of these.
            details: These bytes are somewhere in their details.
        """
        ...

    def size_bytes(self) -> int:
        """Return what all payloads take."""
        ...
