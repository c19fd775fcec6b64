"""Serializers: pickle, MessagePack and JSON."""

from __future__ import annotations

import pickle
import struct
from enum import Enum
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from .._functions._objects import attributes_of, field_names_of
from .._record import Buffer, Payload, size_of


@runtime_checkable
class Serializer(Protocol):
    """Turns results into bytes and back. Its name is written into each record."""

    name: str

    def dumps(self, value: Any, result_type: Any, /) -> Payload:
        """Return a result as one or more parts.

        Args:
            value: What the function returned.
            result_type: The function's return annotation, or `typing.Any`.

        Raises:
            Exception: Any error, if the value cannot be serialized so that `loads` returns it.
        """
        ...

    def loads(self, payload: Buffer, result_type: Any, /) -> Any:
        """Return a fresh result.

        Args:
            payload: The parts that `dumps` returned, joined.
            result_type: The function's return annotation, or `typing.Any`.

        Raises:
            Exception: Any error, if that is not possible; the call then runs again.
        """
        ...


class PickleSerializer:
    """Serializes any picklable result. Loading runs code that the pickle names, so use it only for stores you trust.

    Large bytes and texts are written without a copy. So are large arrays, which travel outside the pickle (protocol 5,
    PEP 574), aligned to 64 bytes, and are loaded in place from a copy-on-write memory map. A payload with such buffers
    is, each part padded to a multiple of 64 bytes: a header (the magic, the number of blocks, and their lengths, as
    unsigned 64-bit little-endian integers), the pickle, and the buffers.
    """

    name = "pickle"

    def dumps(self, value: object, _result_type: object, /) -> Payload:
        pickled, outside = _pickled(value)
        if not outside:
            return pickled
        blocks: list[Payload] = [pickled, *([buffer.raw()] for buffer in outside)]
        lengths = [size_of(block) for block in blocks]
        header = _MAGIC + struct.pack(f"<{1 + len(blocks)}Q", len(blocks), *lengths)
        parts: list[Buffer] = [header, _padding(len(header))]
        for block, length in zip(blocks, lengths, strict=True):
            parts += [*block, _padding(length)]
        return [part for part in parts if part]

    def loads(self, payload: Buffer, _result_type: object, /) -> Any:
        if payload[0] != _MAGIC[0]:
            return pickle.loads(payload)
        view = memoryview(payload)
        if view.readonly:  # arrays must be writable
            view = memoryview(bytearray(view))
        count = struct.unpack_from("<Q", view, 8)[0]
        lengths = struct.unpack_from(f"<{count}Q", view, 16)
        start = _padded(16 + 8 * count)
        blocks = []
        for length in lengths:
            blocks.append(view[start : start + length])
            start += _padded(length)
        return pickle.loads(blocks[0], buffers=blocks[1:])


class _Parts(list[Buffer]):
    """Collects what a pickler writes, without copying it."""

    write = list.append


class _Pickler:
    """A pickler that writes into a list. When pickle writes to a file, it passes large bytes and texts on uncopied."""

    idle: ClassVar[list[_Pickler]] = []
    """Picklers for reuse: making one takes longer than making a small pickle."""

    def __init__(self) -> None:
        self.parts = _Parts()
        self.outside: list[pickle.PickleBuffer] = []
        self.pickler = pickle.Pickler(self.parts, protocol=5, buffer_callback=self.outside.append)


def _pickled(value: object) -> tuple[list[Buffer], list[pickle.PickleBuffer]]:
    """Return the parts of a pickle, and the buffers outside it."""
    try:
        own = _Pickler.idle.pop()
    except IndexError:
        own = _Pickler()
    own.pickler.dump(value)
    parts, outside = own.parts[:], own.outside[:]
    if len(parts) == 1 and len(parts[0]) <= _SMALL_BYTES:  # after a large value, its memo table would slow it down
        parts[0] = _unframed(parts[0])
        own.pickler.clear_memo()
        own.parts.clear()
        own.outside.clear()
        _Pickler.idle.append(own)
    return parts, outside


def _unframed(pickled: Buffer) -> Buffer:
    """Leave out the frame (PEP 3154) of a small pickle, 9 bytes that only help those who read from a file."""
    return b"".join((pickled[:2], pickled[11:])) if pickled[2] == _FRAME else pickled


_SMALL_BYTES = 1024
_FRAME = pickle.FRAME[0]
_MAGIC = b"OUTSIDE5"  # pickles of protocol 5 begin with 0x80
_ALIGNMENT = 64


def _padded(length: int) -> int:
    return -length % _ALIGNMENT + length


def _padding(length: int) -> bytes:
    return bytes(-length % _ALIGNMENT)


class _MsgspecSerializer:
    """Serializes plain data and values of an annotated type, in a format that runs no code when loaded."""

    name: str

    def dumps(self, value: object, result_type: object, /) -> Payload:
        encoded: bytes = self._format().encode(value)
        decoded = self.loads(encoded, result_type)
        if not _same(value, decoded):
            message = (
                f"it would come back from {self.name} as {type(decoded).__name__} instead of {type(value).__name__}, "
                f"or with other content: annotate the function's return type, or use the pickle serializer"
            )
            raise TypeError(message)
        return (encoded,)

    def loads(self, payload: Buffer, result_type: object, /) -> Any:
        return self._format().decode(payload, type=result_type)

    def _format(self) -> Any:
        raise NotImplementedError


class MsgpackSerializer(_MsgspecSerializer):
    """MessagePack, decoded to the function's return annotation."""

    name = "msgpack"

    def _format(self) -> Any:
        import msgspec.msgpack

        return msgspec.msgpack


class JsonSerializer(_MsgspecSerializer):
    """JSON, decoded to the function's return annotation."""

    name = "json"

    def _format(self) -> Any:
        import msgspec.json

        return msgspec.json


def _same(value: Any, decoded: Any) -> bool:
    """Tell whether a value came back the same, with the same types throughout."""
    if isinstance(value, int) and type(decoded) is float:  # annotated as float
        return not isinstance(value, bool) and value == decoded
    if type(value) is not type(decoded):
        return False
    if isinstance(value, (list, tuple)):
        return len(value) == len(decoded) and all(map(_same, value, decoded))
    if isinstance(value, dict):
        return _same(list(value), list(decoded)) and _same(list(value.values()), list(decoded.values()))
    if type(value) in (str, bytes, int, bool) or isinstance(value, Enum):
        return bool(value == decoded)
    if isinstance(value, (set, frozenset)):  # their order in memory depends on how they were filled
        return _same(sorted(value, key=repr), sorted(decoded, key=repr))
    if (parts := _parts_of(value)) is not None:
        return _same(parts, _parts_of(decoded))
    # Equality is too strict for NaN, and not strict enough for times of one instant in two zones.
    has_repr = cast("object", type(value).__repr__) is not object.__repr__
    return repr(value) == repr(decoded) or (not has_repr and bool(value == decoded))


def _parts_of(value: Any) -> dict[str, object] | None:
    """Return all fields and attributes of an object, shown by its `repr` or not; None if its class declares none."""
    fields = field_names_of(type(value))
    if fields is None:
        return None
    own = {name: getattr(value, name, None) for name in fields[1]}
    return own | (attributes_of(value, (), own.keys()) or {})


_BUILT_IN: dict[str, Serializer] = {
    serializer.name: serializer for serializer in (PickleSerializer(), MsgpackSerializer(), JsonSerializer())
}

SERIALIZERS = tuple(_BUILT_IN)
"""The names of the built-in serializers."""


def serializer_named(name: str) -> Serializer | None:
    """Return the built-in serializer of this name, or None if there is none."""
    return _BUILT_IN.get(name)
