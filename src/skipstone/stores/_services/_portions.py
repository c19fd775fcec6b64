"""Divide keys, records and large payloads into portions that fit into a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from ..._record import Buffer, Payload, Record, size_of

MOST_IN_REQUEST = 500

_MOST_BYTES = 8 << 20

_T = TypeVar("_T")


def portions(many: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of at most `MOST_IN_REQUEST` items."""
    rest = iter(many)
    while portion := list(islice(rest, MOST_IN_REQUEST)):
        yield portion


def batches(records: Iterable[Record], large_bytes: int) -> Iterator[list[Record]]:
    """Yield some records at a time; a record with a payload larger than `large_bytes` comes alone."""
    batch: list[Record] = []
    total = 0
    for record in records:
        size = size_of(record.payload)
        if batch and (size > large_bytes or total + size > _MOST_BYTES or len(batch) == MOST_IN_REQUEST):
            yield batch
            batch, total = [], 0
        batch.append(record)
        total += size
        if size > large_bytes:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def in_pieces(payload: Payload, piece_bytes: int) -> Iterator[Buffer]:
    """Yield a payload in pieces of this size, the last one perhaps smaller, copying one piece at a time."""
    piece = bytearray()
    for part in payload:
        view = memoryview(part).cast("B")
        while len(view):
            room = piece_bytes - len(piece)
            piece += view[:room]
            view = view[room:]
            if len(piece) == piece_bytes:
                yield piece
                piece = bytearray()
    if piece:
        yield piece


def joined(parts: Sequence[Buffer]) -> Buffer:
    """Return parts as one buffer, without a copy if there is only one part."""
    return parts[0] if len(parts) == 1 else b"".join(parts)
