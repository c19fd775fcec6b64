"""Whether a write-ahead log has lost committed transactions.

After a crash SQLite replays the log up to the first frame that is damaged and drops the rest without a word. So the
commits that stand in the log are counted before, and compared with what SQLite found. The layout is that of
https://www.sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import sqlite3
import struct

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


def last_commit_in(log_path: str) -> int:
    """Return the number of the last frame that ends a transaction, 0 where there is none.

    A log whose header is damaged counts as one with a commit. Nobody else may write to it meanwhile.

    Raises:
        OSError: It cannot be read.
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
        # SQLite writes no zeros: they are damage.
        if (header[8:16] == salts and header[4:8] != bytes(4)) or not any(header):
            last = number
    return last


def frames_found(connection: sqlite3.Connection) -> int:
    """Return how many frames of the log SQLite uses, after a checkpoint."""
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
