"""Some of a store's records, found faster than by a look at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class Result(NamedTuple):
    """What decides whether a result stays."""

    created_at_seconds: float
    size_bytes: int
    key: Key


class Sifting(Protocol):
    """Finds some of a store's records, and says little of the others."""

    def sift(self, sieve: Sieve) -> Iterator[RecordInfo]:
        """Yield what is known of the records that a sieve finds, in the order of saving."""
        ...

    def unsifted(self, sieve: Sieve) -> Iterator[Result]:
        """Yield all the results that a sieve does not find."""
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
