"""Read a store that cannot be written, such as a mounted artifact: its records are returned, and none is added."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ..._record import Key
from .._base import Claim, HeldClaim
from ._schema import check_format, prepare

_LOG = "-wal"
_PAGE_BYTES, _ROOM_FOR_INDEX_BYTES = (
    4096,
    128 << 10,
)  # an index takes 32 KiB; others may use some of the room meanwhile
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN_TO_SQLITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


class NoLocks:
    """Takes the place of the lock file where nothing can be locked: every claim is granted."""

    def claim(self, key: Key) -> HeldClaim:
        """Grant a claim. Waiting would be pointless: the holder could not save its result for the others."""
        return HeldClaim(key, lambda _key: None)

    def claim_many(self, keys: Sequence[Key], claims: dict[Key, Claim]) -> None:
        """Add a claim of each key."""
        claims.update((key, self.claim(key)) for key in keys)


def forbids_writing(error: BaseException) -> bool:
    """Tell whether an error says that a file or folder cannot be written, rather than that it is damaged."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _FORBIDDEN_TO_SQLITE
    return isinstance(error, OSError) and error.errno in _FORBIDDEN


def can_be_written(path: str, locks: str) -> bool:
    """Tell whether a database, its lock file and their folder may be written now."""
    folder = os.path.dirname(path)
    may_be = all(os.access(each, os.W_OK) for each in (folder, path)) and (
        os.access(locks, os.W_OK) or not os.path.exists(locks)
    )
    return may_be and _has_room_for_index(folder)


def check_room(folder: str) -> None:
    """Refuse to write on a full disk if SQLite would not report an error, but the system would kill the process.

    Raises:
        OSError: There is no room.
    """
    if not _has_room_for_index(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def _has_room_for_index(folder: str) -> bool:
    """Tell whether SQLite can make the index of its log.

    SQLite maps the index into memory after writing one byte into each page. If a page has several blocks, the system
    allocates the others at their first use. If the disk is full at that moment, the system kills the process (SIGBUS).
    """
    facts = os.statvfs(folder)
    is_told = facts.f_blocks > 0  # some file systems in user space report zero
    has_small_blocks = is_told and facts.f_frsize < _PAGE_BYTES
    return not has_small_blocks or facts.f_bavail * facts.f_frsize >= _ROOM_FOR_INDEX_BYTES


class Stamp(NamedTuple):
    """Differs once a process with write access has changed the database: SQLite does not tell all readers."""

    device: int
    inode: int
    time_ns: int
    size_bytes: int
    log_bytes: int
    log_time_ns: int
    """Needed beside the size: a log that restarts is overwritten from its beginning, and keeps its length."""

    @property
    def of_file(self) -> tuple[int, ...]:
        """The part that describes the database file alone, without its log."""
        return self[:4]


def stamp_of(path: str) -> Stamp:
    """Return the stamp of a database.

    Raises:
        OSError: There is no such file, or it cannot be looked at.
    """
    facts = os.stat(path)
    try:
        log = os.stat(path + _LOG)
    except FileNotFoundError:
        log_bytes = log_time_ns = 0
    else:
        log_bytes, log_time_ns = log.st_size, log.st_mtime_ns
    return Stamp(facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size, log_bytes, log_time_ns)


def connect_to_read(path: str) -> sqlite3.Connection:
    """Return a connection that writes nothing, not even the log and its index, which SQLite keeps beside a database.

    Raises:
        StoreFormatError: A newer skipstone wrote the database.
        sqlite3.Error: It is damaged, or cannot be read.
        OSError: There is no database, or no room for the copy that is needed.
    """
    # A log with content needs its index (the -shm file). SQLite can read it if it exists; otherwise SQLite would
    # have to write it, which fails here, and a copy is read instead.
    from urllib.parse import quote

    how = "mode=ro&readonly_shm=1" if stamp_of(path).log_bytes else "immutable=1"
    connection = _connect(f"file:{quote(os.fsencode(path))}?{how}")
    try:
        if not check_format(connection, path):
            connection.close()
            connection = _copied(path)
    except sqlite3.Error as error:
        connection.close()
        if not forbids_writing(error):
            raise
        connection = _copied(path)
    except BaseException:
        connection.close()
        raise
    connection.execute("PRAGMA query_only = ON")
    return connection


def _copied(path: str) -> sqlite3.Connection:
    """Return a copy of a database in memory, with its log replayed and its format brought up to date."""
    import shutil
    from tempfile import TemporaryDirectory

    memory = _connect("file::memory:")
    try:
        with TemporaryDirectory(prefix="skipstone-") as folder:
            copy = os.path.join(folder, "copy")
            for suffix in ("", _LOG):
                with suppress(FileNotFoundError):
                    shutil.copyfile(path + suffix, copy + suffix)
            source = sqlite3.connect(copy)
            try:
                source.backup(memory)
            finally:
                source.close()
        prepare(memory, path, sync_each=False)
    except BaseException:
        memory.close()
        raise
    return memory


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
