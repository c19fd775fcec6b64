"""Find some of a store's records faster than by looking at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from .._record import Key, RecordInfo


class Sieve(NamedTuple):
    """Finds the records to which at least one of its conditions applies."""

    saved_before: float
    """The record was saved before this Unix time."""
    encodings: Sequence[str]
    """Its encoding begins with one of these."""
    details: bytes
    """Its details contain these bytes."""


class Stretch(NamedTuple):
    """Totals of some results that were saved one after another, without those that a sieve finds."""

    first: int
    last: int
    """Where it begins and ends, as numbers that mean something to the store alone."""
    results: int
    size_bytes: int
    first_used_at: float
    """The last use, or the saving, of the least recently used result."""
    last_used_at: float
    first_saved_at: float
    last_saved_at: float


class Sifting(Protocol):
    """Finds the records that a sieve lets through, and sums up or lists the others."""

    def sift(self, sieve: Sieve) -> Iterator[RecordInfo]:
        """Yield a description of each record that a sieve finds, in the order of saving."""
        ...

    def stretches(self, sieve: Sieve, uses: Mapping[Key, float]) -> Iterator[Stretch]:
        """Yield stretches that together cover all results that a sieve does not find.

        Args:
            sieve: Finds the records to leave out.
            uses: When results were last used, as far as that is known.
        """
        ...

    def unsifted(self, sieve: Sieve, stretch: Stretch) -> Iterator[RecordInfo]:
        """Yield a description of each result in a stretch."""
        ...

    def size_bytes(self) -> int:
        """Return the size of all payloads together."""
        ...


@runtime_checkable
class Sifts(Protocol):
    """A store that can find some of its records faster than by listing all."""

    def sifting(self) -> Sifting:
        """Return an object that finds them."""
        ...
