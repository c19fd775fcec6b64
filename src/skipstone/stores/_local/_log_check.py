"""Find out whether a damaged write-ahead log has lost committed transactions.

After a crash SQLite replays the log up to the first damaged frame, and silently drops the rest. So the last commit in
the log is looked for before SQLite opens it, and compared with how far SQLite came. The layout of the log is described
at https://www.sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import sqlite3
import struct

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


def last_commit_in(log_path: str) -> int:
    """Return the number of the last frame that ends a transaction, or 0 if there is none.

    A log with a damaged header counts as having a commit in frame 1. Nobody else may write to the log meanwhile.

    Raises:
        OSError: The log cannot be read.
    """
    try:
        with open(log_path, "rb") as file:
            log = file.read()
    except FileNotFoundError:
        return 0
    if len(log) <= _HEADER_BYTES or not any(log[:_HEADER_BYTES]):
        return 0
    page_bytes, salts = struct.unpack_from(">I", log, 8)[0], log[16:24]
    if not _is_header_intact(log) or not page_bytes:
        return 1
    last = 0
    starts = range(
        _HEADER_BYTES, len(log) - _FRAME_HEADER_BYTES - page_bytes + 1, _FRAME_HEADER_BYTES + page_bytes
    )
    for number, start in enumerate(starts, 1):
        header = log[start : start + _FRAME_HEADER_BYTES]
        # A frame header of zeros is damage, since SQLite writes none. It may have been a commit.
        if (header[8:16] == salts and header[4:8] != bytes(4)) or not any(header):
            last = number
    return last


def frames_found(connection: sqlite3.Connection) -> int:
    """Return how many frames SQLite found in the log."""
    return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


def _is_header_intact(log: bytes) -> bool:
    order = {0x377F0682: "<", 0x377F0683: ">"}.get(struct.unpack_from(">I", log)[0])
    if order is None:
        return False
    first = second = 0
    for one, other in struct.iter_unpack(f"{order}2I", log[:24]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack_from(">2I", log, 24)
