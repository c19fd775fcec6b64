"""Write plain values as MessagePack without msgspec, whose import would delay the first call that runs by 11 ms."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# How a length is written. If it is below the first number, it is one byte, the sum of the second number and the length.
# Otherwise it follows one of the three marks, for a length of 8, 16 or 32 bits.
_Header = tuple[int, int, bytes, bytes, bytes]

_TEXT = (32, 0xA0, b"\xd9", b"\xda", b"\xdb")
_BYTES = (0, 0, b"\xc4", b"\xc5", b"\xc6")
_LIST = (16, 0x90, b"", b"\xdc", b"\xdd")
_MAP = (16, 0x80, b"", b"\xde", b"\xdf")
_int = struct.Struct(">Bq").pack
_float = struct.Struct(">Bd").pack


def packed(value: object) -> bytes:
    """Return None, a bool, number, text or bytes, or a list or dictionary of them, as MessagePack."""
    return _writers[type(value)](value)


def unpacked(content: bytes) -> Any:
    """Return the value that was packed, or None if the bytes are not MessagePack."""
    import msgspec

    try:
        return msgspec.msgpack.decode(content)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):  # damaged
        return None


def map_in(content: bytes) -> dict[str, Any]:
    """Return the map that was packed, or an empty one if it was not a map."""
    value = unpacked(content) if content else None
    return value if type(value) is dict else {}


def _head(length: int, header: _Header) -> bytes:
    if length < header[0]:
        return bytes((header[1] + length,))
    for mark, bits in zip(header[2:], (8, 16, 32), strict=True):
        if mark and length < 1 << bits:
            return mark + length.to_bytes(bits // 8)
    message = f"a length of {length} is not packed"
    raise ValueError(message)


_SHORT = 64
_text_heads, _bytes_heads, _list_heads, _map_heads = (
    [_head(length, header) for length in range(_SHORT)] for header in (_TEXT, _BYTES, _LIST, _MAP)
)


def _text(text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError:  # lone surrogates
        content = text.encode("utf-8", "backslashreplace")
    length = len(content)
    return (_text_heads[length] if length < _SHORT else _head(length, _TEXT)) + content


def _bytes(content: bytes) -> bytes:
    length = len(content)
    return (_bytes_heads[length] if length < _SHORT else _head(length, _BYTES)) + content


def _list(items: Sequence[Any]) -> bytes:
    parts = [_list_heads[len(items)] if len(items) < _SHORT else _head(len(items), _LIST)]
    for item in items:
        parts.append(_writers[type(item)](item))  # noqa: PERF401 - up to Python 3.11, a comprehension costs a call
    return b"".join(parts)


def _map(pairs: Mapping[Any, Any]) -> bytes:
    parts = [_map_heads[len(pairs)] if len(pairs) < _SHORT else _head(len(pairs), _MAP)]
    for key, item in pairs.items():
        parts += (_writers[type(key)](key), _writers[type(item)](item))
    return b"".join(parts)


class _Writers(dict[type, Callable[[Any], bytes]]):
    """Functions that write values, by type."""

    def __missing__(self, cls: type) -> Callable[[Any], bytes]:
        message = f"a {cls.__name__} is not packed"
        raise TypeError(message)


_writers = _Writers(
    {
        type(None): lambda _: b"\xc0",
        bool: lambda value: b"\xc3" if value else b"\xc2",
        int: lambda value: _int(0xD3, value),
        float: lambda value: _float(0xCB, value),
        str: _text,
        bytes: _bytes,
        list: _list,
        dict: _map,
    }
)
