"""A record as bytes, outside of SQL: in an object, a file, a value of Redis, an export.

    4 bytes     SKR1
    4 bytes     length of the header, unsigned, little-endian
    8 bytes     XXH3-64 digest of the header, seeded with the key
                the header: a MessagePack array of everything but key and payload
                zeros, up to a multiple of 64 bytes
                the payload

The head has all that a listing needs, so that no payload is read for it. If its bytes have changed, or are found under
another key, the record is returned with a checksum that cannot fit, so that it is computed again and replaced.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from .._record import Buffer, Key, Origin, Record, RecordInfo, info_of, parts_of, size_of

HEAD_BYTES = 2048
"""Reading this much of a record nearly always reads its whole head."""

_PREFIX = struct.Struct("<4sI8s")
_MAGIC = b"SKR1"
_ALIGNMENT = 64  # so that arrays in the payload are aligned
_LONGEST_HEAD_BYTES = 1 << 20  # a longer one is a damaged length


class _Header(msgspec.Struct, array_like=True, frozen=True):
    """The header. Later versions may add fields with defaults at the end."""

    checksum: bytes
    origin: Origin
    duration_seconds: float
    call_id: str
    created_at_seconds: float
    size_bytes: int
    value: str = ""
    details: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Header).decode
_DAMAGED = _Header(b"", Origin("", "", "unknown", b"", "", "", 0), 0.0, "", 0.0, 0)


class Head(NamedTuple):
    """A head as it was read."""

    record: Record
    """Its payload is empty."""
    size_bytes: int
    """The size of the payload."""
    starts_at: int
    """Offset of the payload; 0 if the head is damaged."""
    value: str
    """The store's name for the place of the payload; empty if it follows the head."""

    @property
    def info(self) -> RecordInfo:
        """What a listing tells."""
        return info_of(self.record)._replace(size_bytes=self.size_bytes)


def packed(record: Record, *, value: str = "") -> list[Buffer]:
    """Return a record as bytes: the head, then the parts of the payload as they are.

    Args:
        record: Can only be read again under the same key.
        value: The store's name for a place where the payload is kept. If given, only the head is returned.
    """
    payload = parts_of(record.payload)
    header = _encode(
        _Header(
            record.checksum,
            record.origin,
            record.duration_seconds,
            record.call_id,
            record.created_at_seconds,
            size_of(payload),
            value,
            record.details,
        )
    )
    head = _PREFIX.pack(_MAGIC, len(header), _digest(record.key, header)) + header
    return [head + bytes(-len(head) % _ALIGNMENT), *(() if value else payload)]


def unpacked(key: Key, content: Buffer) -> Record:
    """Return the record that these bytes hold; its payload is a view of them."""
    head = read_head(key, content)
    payload = memoryview(content)[head.starts_at :] if head.starts_at else b""
    return head.record._replace(payload=payload)


def head_bytes(start: Buffer) -> int:
    """Return the length of the head that begins with these bytes, or 0 if none does."""
    if len(start) < _PREFIX.size:
        return 0
    magic, length, _ = _PREFIX.unpack_from(start)
    bytes_ = _PREFIX.size + length
    return bytes_ + -bytes_ % _ALIGNMENT if magic == _MAGIC and length <= _LONGEST_HEAD_BYTES else 0


def read_head(key: Key, start: Buffer) -> Head:
    """Return the head of a record, given at least its first `HEAD_BYTES`, or as many as `head_bytes` says."""
    starts_at = head_bytes(start)
    header = _DAMAGED
    if 0 < starts_at <= len(start):
        _, length, digest = _PREFIX.unpack_from(start)
        encoded = memoryview(start)[_PREFIX.size : _PREFIX.size + length]
        if digest == _digest(key, encoded):
            header = _decoded(encoded)
    record = Record(
        key,
        header.checksum,
        header.origin,
        header.duration_seconds,
        b"",
        header.call_id,
        header.created_at_seconds,
        header.details,
    )
    return Head(record, header.size_bytes, 0 if header is _DAMAGED else starts_at, header.value)


def _decoded(encoded: Any) -> _Header:
    try:
        return _decode(encoded)
    except msgspec.MsgspecError:  # intact, but not written by skipstone
        return _DAMAGED


def _digest(key: Key, header: Buffer) -> bytes:
    return xxh3_64_digest(header, xxh3_64_intdigest(key))
