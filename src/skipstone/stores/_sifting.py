"""Some of a store's records, found faster than by a look at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from .._record import Key, RecordInfo


class Sieve(NamedTuple):
    """Which records are found: those of which at least one holds."""

    saved_before: float
    """They were saved before this Unix time."""
    encodings: Sequence[str]
    """Their encoding begins with one of these."""
    details: bytes
    """These bytes are somewhere in their details."""


class Stretch(NamedTuple):
    """What some results come to that were saved one after the other; those that a sieve finds are not among them."""

    first: int
    last: int
    """Where it begins and ends: numbers that mean something to the store alone."""
    results: int
    size_bytes: int
    first_used_at: float
    """When the one was saved or used that was not used for longest."""
    last_used_at: float
    first_saved_at: float
    last_saved_at: float


class Sifting(Protocol):
    """Finds some of a store's records, or what others come to."""

    def sift(self, sieve: Sieve) -> Iterator[RecordInfo]:
        """Yield what is known of the records that a sieve finds, in the order of saving."""
        ...

    def stretches(self, sieve: Sieve, uses: Mapping[Key, float]) -> Iterator[Stretch]:
        """Yield what all the results come to that a sieve does not find.

        Args:
            sieve: Finds the others.
            uses: When results were used last, of those of which it is known.
        """
        ...

    def unsifted(self, sieve: Sieve, stretch: Stretch) -> Iterator[RecordInfo]:
        """Yield what is known of the results of a stretch."""
        ...

    def size_bytes(self) -> int:
        """Return what all payloads take."""
        ...


@runtime_checkable
class Sifts(Protocol):
    """A store that finds some of its records faster than a listing gives them all."""

    def sifting(self) -> Sifting:
        """Return what finds them."""
        ...
