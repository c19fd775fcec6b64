"""Much at a time: keys, records and large payloads in portions that a request can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from ..._record import Buffer, Payload, Record, size_of

MOST_IN_REQUEST = 500

_MOST_BYTES = 8 << 20

_T = TypeVar("_T")


def portions(many: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield a few of many at a time."""
    rest = iter(many)
    while portion := list(islice(rest, MOST_IN_REQUEST)):
        yield portion


def batches(records: Iterable[Record], large_bytes: int) -> Iterator[list[Record]]:
    """Yield a few records at a time, and each whose payload is larger than `large_bytes` alone."""
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
    """Yield a payload in pieces of this size, the last one of what is left, copying one at a time."""
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
    """Return parts as one, without a copy where there is one."""
    return parts[0] if len(parts) == 1 else b"".join(parts)
