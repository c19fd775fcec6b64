"""Keep records in one file to be taken elsewhere: written once from beginning to end, and read in any order.

The file is a sequence of frames, each at a multiple of 64 bytes: a header of 64 bytes, and the content.

    4 bytes     SKX1
    4 bytes     `head`, `rec ` or `end `
    8 bytes     the same random bytes in all frames of a file
    16 bytes    the record's key
    8 bytes     length of the content, unsigned, little-endian
    8 bytes     XXH3-64 digest of the content, seeded with the key
    8 bytes     zeros
    8 bytes     XXH3-64 digest of the header so far
                the content: a record as bytes, see `_envelope`; in `head` and `end`, JSON

While the file is being written, its name ends in `.part`. An export that finds such a file continues it after its last
whole frame. In a file that was damaged or cut, all whole frames are read: the next one after damage is recognized by
its first bytes.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from xxhash import xxh3_64, xxh3_64_digest, xxh3_64_intdigest

from .._errors import StoreFormatError, StoreUnavailableError
from .._record import Buffer, Key, Payload, Record, RecordInfo, size_of
from ._envelope import HEAD_BYTES, Head, head_bytes, packed, read_head, unpacked
from ._file_system import network_file_system
from ._folder import sync_folder
from ._values import write_all

PART = ".part"

_FRAME = struct.Struct("<4s4s8s16sQ8s8x8s")
_MAGIC, _HEAD, _RECORD, _END = b"SKX1", b"head", b"rec ", b"end "
_FORMAT = 1
_ALIGNMENT = 64
_NO_KEY = bytes(16)
_CHUNK_BYTES = 1 << 20
_MAP_FROM_BYTES = 8 << 20
_KEYS_PER_QUERY = 500


class _Frame(NamedTuple):
    kind: bytes
    key: Key
    size_bytes: int
    digest: bytes
    starts_at: int
    """Offset of the content."""

    @property
    def ends_at(self) -> int:
        return _aligned(self.starts_at + self.size_bytes)


class ExportFile:
    """A file of records, with the methods of a store, for one thread of one process. Nothing can be deleted from it."""

    def __init__(self, path: str, descriptor: int) -> None:
        """Use an open file, without looking for its frames yet."""
        self.path = path
        self.problems: list[str] = []
        """What is wrong with the file, for people."""
        self._descriptor = descriptor
        self.lost = 0
        """How many of the records that were written are missing now."""
        self._end = 0
        self._own = b""
        self._may_map = network_file_system(os.path.dirname(os.path.abspath(path))) is None
        # SQLite moves this index to a temporary file once it is large. A dictionary would take 100 bytes for each key.
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.execute("CREATE TABLE frames (key BLOB PRIMARY KEY, at INTEGER, size INTEGER) WITHOUT ROWID")

    @classmethod
    def to_write(cls, path: str) -> ExportFile:
        """Begin a file, or continue one that was begun before.

        Raises:
            StoreUnavailableError: Another export is writing the file.
            OSError: The file cannot be written.
        """
        file = cls(path, _locked(path + PART))
        file._find_end()
        os.ftruncate(file._descriptor, file._end)
        if not file._end:
            file.begin_anew()
        return file

    @classmethod
    def to_read(cls, path: str) -> ExportFile:
        """Open a file and find its records; `problems` says what is wrong with it.

        Raises:
            StoreFormatError: The file is no export, or a newer skipstone wrote it.
            OSError: The file cannot be read.
        """
        file = cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        file._find_all()
        if not file._end:
            file.close()
            message = f"{path} is no export of skipstone"
            raise StoreFormatError(message)
        return file

    def __enter__(self) -> ExportFile:
        """Return the file itself, which is closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
        self._index.close()

    def begin_anew(self) -> None:
        """Drop what was written before."""
        self._index.execute("DELETE FROM frames")
        os.ftruncate(self._descriptor, 0)
        self._end = 0
        self._own = os.urandom(8)
        self._append([(_HEAD, _NO_KEY, [json.dumps({"skipstone export": _FORMAT}).encode()])])

    def finish(self) -> None:
        """Mark the file as whole, sync it, and give it its final name."""
        self._append([(_END, _NO_KEY, [json.dumps({"records": self._count()}).encode()])])
        os.fsync(self._descriptor)
        os.replace(self.path + PART, self.path)
        sync_folder(os.path.dirname(os.path.abspath(self.path)))

    def _count(self) -> int:
        return int(self._index.execute("SELECT count(*) FROM frames").fetchone()[0])

    def _append(self, contents: Iterable[tuple[bytes, Key, Payload]]) -> list[tuple[Key, int, int]]:
        parts: list[Buffer] = []
        end, places = self._end, []
        for kind, key, content in contents:
            size, digest = size_of(content), xxh3_64(seed=xxh3_64_intdigest(key))
            for part in content:
                digest.update(part)
            start = _FRAME.pack(_MAGIC, kind, self._own, key, size, digest.digest(), bytes(8))[:-8]
            parts += [start + xxh3_64_digest(start), *content, bytes(-size % _ALIGNMENT)]
            places.append((key, end + _FRAME.size, size))
            end = _aligned(end + _FRAME.size + size)
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        write_all(self._descriptor, [part for part in parts if part])
        self._end = end
        return places

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """Append records. The first record of a key wins."""
        assert not replace
        there = self.present([record.key for record in records])
        new = [record for record in records if record.key not in there]
        places = self._append((_RECORD, record.key, packed(record)) for record in new)
        self._index.executemany("INSERT INTO frames VALUES (?, ?, ?)", places)
        return {record.key for record in new}

    def delete(self, keys: Iterable[Key], /) -> int:
        """Delete nothing, and return 0: useless records are left out by whoever reads the file."""
        del keys
        return 0

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        return set(self._places(keys))

    def _places(self, keys: Sequence[Key]) -> dict[Key, tuple[int, int]]:
        found: dict[Key, tuple[int, int]] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            some = keys[start : start + _KEYS_PER_QUERY]
            query = f"SELECT key, at, size FROM frames WHERE key IN ({', '.join('?' * len(some))})"
            found.update((key, (at, size)) for key, at, size in self._index.execute(query, some))
        return found

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`. A damaged record has a checksum that cannot fit."""
        return {key: self._record(key, at, size) for key, (at, size) in self._places(keys).items()}

    def _record(self, key: Key, at: int, size: int) -> Record:
        frame = self._frame(at - _FRAME.size)
        content = self._mapped(at, size) if self._may_map and size >= _MAP_FROM_BYTES else self._read(at, size)
        record = unpacked(key, content)
        fits = frame is not None and xxh3_64_digest(content, xxh3_64_intdigest(key)) == frame.digest
        return record if fits else record._replace(checksum=b"")

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`. A record with a damaged head is yielded whatever the function, since its own is unknown."""
        found = self._index.execute("SELECT key, at, size FROM frames ORDER BY at")
        for key, at, size in found:
            head = self._head(key, at, size)
            if function in (None, head.info.function) or not head.starts_at:
                yield head.info

    def infos(self, keys: Sequence[Key]) -> dict[Key, RecordInfo]:
        """See `Store`."""
        return {key: self._head(key, at, size).info for key, (at, size) in self._places(keys).items()}

    def _head(self, key: Key, at: int, size: int) -> Head:
        start = self._read(at, min(size, HEAD_BYTES))
        if head_bytes(start) > len(start):
            start = self._read(at, min(size, head_bytes(start)))
        return read_head(key, start)

    def _read(self, at: int, size: int) -> bytearray:
        content = bytearray(size)
        view, done = memoryview(content), 0
        while done < size and (count := os.preadv(self._descriptor, [view[done:]], at + done)):
            done += count
        view.release()
        del content[done:]
        return content

    def _mapped(self, at: int, size: int) -> memoryview:
        before = at % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self._descriptor, before + size, access=mmap.ACCESS_READ, offset=at - before)
        return memoryview(mapped)[before:]

    def _note(self, frame: _Frame) -> None:
        place = (frame.key, frame.starts_at, frame.size_bytes)
        self._index.execute("INSERT OR IGNORE INTO frames VALUES (?, ?, ?)", place)

    def _find_end(self) -> None:
        """Index the records up to the first frame that is not whole, which was being written when the writer died."""
        self._index.execute("BEGIN")
        while (frame := self._frame(self._end)) is not None and frame.kind != _END and self._fits(frame):
            if frame.kind == _RECORD:
                self._note(frame)
            self._end = frame.ends_at
        self._index.execute("COMMIT")

    def _find_all(self) -> None:
        """Index all records, and note what is damaged between them."""
        size, at, is_cut = os.fstat(self._descriptor).st_size, 0, True
        self._index.execute("BEGIN")
        while at < size:
            frame = self._frame(at)
            if frame is None:
                found = self._next_mark(at + _ALIGNMENT, size)
                self.problems.append(f"bytes {at} to {found} are damaged")
                at = found
                continue
            if frame.kind == _HEAD:
                self._check_format(frame)
            elif frame.kind == _RECORD:
                self._note(frame)
            else:
                is_cut = False
                self.lost = max(0, int(self._said(frame).get("records", 0)) - self._count())
            self._end = at = frame.ends_at
        self._index.execute("COMMIT")
        if is_cut:
            self.problems.append("its end is missing")

    def _frame(self, at: int) -> _Frame | None:
        """Return the frame of this file that begins here, or None. Its header is intact; its content may be damaged."""
        start = self._read(at, _FRAME.size)
        if len(start) < _FRAME.size or xxh3_64_digest(start[:-8]) != start[-8:]:
            return None
        magic, kind, own, key, size, digest, _ = _FRAME.unpack(start)
        frame = _Frame(kind, key, size, digest, at + _FRAME.size)
        # A result may itself be the content of an export, whose frames are not ours.
        if magic != _MAGIC or (self._end and own != self._own):
            return None
        self._own = own
        return frame if frame.ends_at <= os.fstat(self._descriptor).st_size else None

    def _fits(self, frame: _Frame) -> bool:
        digest = xxh3_64(seed=xxh3_64_intdigest(frame.key))
        for at in range(0, frame.size_bytes, _CHUNK_BYTES):
            digest.update(self._read(frame.starts_at + at, min(_CHUNK_BYTES, frame.size_bytes - at)))
        return digest.digest() == frame.digest

    def _next_mark(self, at: int, size: int) -> int:
        while at < size:
            chunk = self._read(at, _CHUNK_BYTES)
            for offset in range(0, len(chunk), _ALIGNMENT):
                if chunk.startswith(_MAGIC, offset) and self._frame(at + offset) is not None:
                    return at + offset
            at += len(chunk)
        return size

    def _said(self, frame: _Frame) -> dict[str, Any]:
        if not self._fits(frame):
            self.problems.append(f"what its {frame.kind.decode().strip()} says is damaged")
            return {}
        return cast("dict[str, Any]", json.loads(self._read(frame.starts_at, frame.size_bytes)))

    def _check_format(self, frame: _Frame) -> None:
        written = self._said(frame).get("skipstone export", _FORMAT)
        if written > _FORMAT:
            message = (
                f"{self.path} is an export of format {written}; this skipstone reads up to {_FORMAT}: upgrade it"
            )
            raise StoreFormatError(message)


def _aligned(offset: int) -> int:
    return offset + -offset % _ALIGNMENT


def _locked(path: str) -> int:
    """Open a file and lock it, so that nobody else writes it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            message = f"{path} is being written by another export"
            raise StoreUnavailableError(message) from error
        os.close(descriptor)  # another export has just finished and renamed it
