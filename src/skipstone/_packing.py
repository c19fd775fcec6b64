"""Plain values as MessagePack, written without msgspec, whose import would delay the first call that runs by 11 ms."""

from __future__ import annotations

import struct
from typing import Any

# A length below the first is one byte, with the second added to it; others follow a byte: that for 8, 16 or 32 bits.
_Header = tuple[int, int, bytes, bytes, bytes]

_TEXT = (32, 0xA0, b"\xd9", b"\xda", b"\xdb")
_BYTES = (0, 0, b"\xc4", b"\xc5", b"\xc6")
_LIST = (16, 0x90, b"", b"\xdc", b"\xdd")
_ONE_BYTE = [bytes((number,)) for number in range(256)]
_CONSTANTS = {None: b"\xc0", False: b"\xc2", True: b"\xc3"}
_MAP = (16, 0x80, b"", b"\xde", b"\xdf")


def packed(value: object) -> bytes:
    """Return None, a bool, number, text or bytes, or a list or dictionary of them, as MessagePack."""
    parts: list[bytes] = []
    _pack(value, parts)
    return b"".join(parts)


def unpacked(content: bytes) -> Any:
    """Return the value that was packed, or None where the bytes are no MessagePack."""
    import msgspec

    try:
        return msgspec.msgpack.decode(content)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):  # damaged
        return None


def map_in(content: bytes) -> dict[str, Any]:
    """Return the map that was packed, or an empty one."""
    value = unpacked(content) if content else None
    return value if type(value) is dict else {}


def _pack(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        try:
            content = value.encode()
        except UnicodeEncodeError:  # lone surrogates
            content = value.encode("utf-8", "backslashreplace")
        parts += (_header(len(content), _TEXT), content)
    elif kind is bytes:
        parts += (_header(len(value), _BYTES), value)
    elif kind is dict:
        parts.append(_header(len(value), _MAP))
        for key, item in value.items():
            _pack(key, parts)
            _pack(item, parts)
    elif kind is list:
        parts.append(_header(len(value), _LIST))
        for item in value:
            _pack(item, parts)
    elif kind is bool or value is None:
        parts.append(_CONSTANTS[value])
    elif kind is int or kind is float:
        parts.append(struct.pack(">Bq", 0xD3, value) if kind is int else struct.pack(">Bd", 0xCB, value))
    else:
        message = f"a {kind.__name__} is not packed"
        raise TypeError(message)


def _header(length: int, header: _Header) -> bytes:
    if length < header[0]:
        return _ONE_BYTE[header[1] + length]
    for mark, bits in zip(header[2:], (8, 16, 32), strict=True):
        if mark and length < 1 << bits:
            return mark + length.to_bytes(bits // 8)
    message = f"a length of {length} is not packed"
    raise ValueError(message)
