"""Read rows directly from the pages of a database file, without the tree that leads to them.

This is for damaged databases: SQLite itself cannot reach rows below a page that it cannot read. The layout of pages is
described at https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_TABLE_LEAF = 13
_FILE_HEADER_BYTES, _LEAF_HEADER_BYTES = 100, 8
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_FIRST_BLOB = 12
_FEWEST_COLUMNS = 2


class Pages:
    """The pages of a database file."""

    def __init__(self, path: str) -> None:
        """Read a file, whose log must have been written back.

        Raises:
            OSError: The file cannot be read.
        """
        with open(path, "rb") as file:
            self._data = file.read()
        size = int.from_bytes(self._data[16:18], "big")
        size = 65536 if size == 1 else size
        if size in {1 << power for power in range(9, 17)}:
            self._page_bytes, reserved_bytes = size, self._data[20] if len(self._data) > 20 else 0  # noqa: PLR2004 - its place
        else:  # the header is damaged: assume SQLite's default
            self._page_bytes, reserved_bytes = 4096, 0
        self._usable_bytes = self._page_bytes - reserved_bytes

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield all intact rows of two columns or more, of whatever table, each beginning with its row number."""
        for number in range(len(self._data) // self._page_bytes):
            page = self._page(number + 1)
            start = _FILE_HEADER_BYTES if number == 0 else 0
            if page[start] != _TABLE_LEAF:
                continue
            count = int.from_bytes(page[start + 3 : start + 5], "big")
            pointers = page[start + _LEAF_HEADER_BYTES : start + _LEAF_HEADER_BYTES + 2 * count]
            for (pointer,) in struct.iter_unpack(">H", pointers[: len(pointers) // 2 * 2]):
                try:
                    row = self._row(page, pointer)
                except (IndexError, ValueError, struct.error):
                    continue  # damaged
                if len(row) >= _FEWEST_COLUMNS:
                    yield row

    def _page(self, number: int) -> bytes:
        if number < 1:
            message = "pages are counted from 1"
            raise ValueError(message)
        page = self._data[(number - 1) * self._page_bytes : number * self._page_bytes]
        if len(page) < self._page_bytes:
            message = "the page is not there"
            raise ValueError(message)
        return page

    def _row(self, page: bytes, at: int) -> tuple[Any, ...]:
        size, at = _varint(page, at)
        number, at = _varint(page, at)
        content = self._content(page, at, size)
        header_bytes, at = _varint(content, 0)
        values: list[Any] = []
        start = header_bytes
        while at < header_bytes:
            kind, at = _varint(content, at)
            value, start = _value(content, kind, start)
            values.append(value)
        return (number, *values[1:])  # the number stands for the primary key, which is stored as NULL

    def _content(self, page: bytes, at: int, size: int) -> bytes:
        """Return the bytes of a row, which may continue in overflow pages."""
        usable = self._usable_bytes
        most, least = usable - 35, (usable - 12) * 32 // 255 - 23
        if size <= most:
            return page[at : at + size]
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
        parts = [page[at : at + local]]
        left = size - local
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while left > 0:
            overflow = self._page(following)
            parts.append(overflow[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
            following = int.from_bytes(overflow[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for length in range(8):
        byte = data[at + length]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at + length + 1
    return value << 8 | data[at + 8], at + 9


def _value(data: bytes, kind: int, start: int) -> tuple[Any, int]:
    """Return the value of serial type `kind` that begins at `start`, and where it ends."""
    if kind == 0:
        return None, start
    if kind in _INTEGER_BYTES:
        stop = start + _INTEGER_BYTES[kind]
        return int.from_bytes(data[start:stop], "big", signed=True), stop
    if kind == 7:  # noqa: PLR2004 - a number of the format
        return struct.unpack_from(">d", data, start)[0], start + 8
    if kind in (8, 9):
        return kind - 8, start
    stop = start + (kind - _FIRST_BLOB) // 2
    if kind < _FIRST_BLOB or stop > len(data):
        message = "no such type, or longer than the row"
        raise ValueError(message)
    content = data[start:stop]
    return content.decode("utf-8", "replace") if kind % 2 else content, stop
