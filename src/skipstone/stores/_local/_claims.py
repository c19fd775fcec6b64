"""Claims of a local store: byte-range locks, which the kernel frees when a process dies.

A claim locks one byte of a file, at an offset taken from the key. POSIX record locks belong to a process, and closing
any descriptor of the file drops all of them. So a process has one descriptor per lock file, which all stores that use
the file share, and a table of what its own threads and tasks hold, since the locks do not keep these apart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from ..._record import Key
from .._base import Claim
from .._folder import open_inner

_OFFSET_BITS = 62  # an offset is a signed 64-bit integer; two keys share one with probability 2**-62
_IN_USE = 1 << _OFFSET_BITS  # a byte above those of all keys: every process with the file open shares a lock on it
_RECOVERY = _IN_USE + 1
_AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB
_number = struct.Struct("<Q").unpack_from


class _HeldByte:
    """The claim of a key. It is made just before its byte is locked, and can be given back from then on."""

    __slots__ = ("_file", "key", "offset")

    def __init__(self, key: Key, file: LockFile) -> None:
        self.key: Key = key
        self.offset: int = _number(key)[0] >> (64 - _OFFSET_BITS)
        self._file = file

    def __enter__(self) -> None:
        """Do nothing: the claim is held already."""

    def __exit__(self, *_: object) -> None:
        """Give the claim back."""
        self._file.release(self)


class LockFile:
    """The claims of all stores of this process that use one file."""

    _open: dict[str, LockFile] = {}  # noqa: RUF012 - one per process is the idea
    _open_lock = threading.RLock()

    def __init__(self, path: str) -> None:
        self._path = path
        self._users = 0
        self.is_alone = False
        """Whether no other user had the file open when it was last opened."""
        self._held: dict[Key, _HeldByte] = {}
        self._lock = (
            threading.RLock()
        )  # reentrant: garbage collection may drop a generator, and its claim, at any time
        self._descriptor = open_inner(path, os.O_RDWR | os.O_CREAT)

    @classmethod
    def open(cls, path: str) -> LockFile:
        """Return this process's lock file for a path. It must be closed as often as it was opened.

        Raises:
            OSError: The file can be neither opened nor created.
        """
        with cls._open_lock:
            found = cls._open.get(path)
            if found is None or not found.is_in_place():
                found = cls._open[path] = cls(path)
            found.is_alone = found._users == 0 and _lock(found._descriptor, _IN_USE)
            fcntl.lockf(found._descriptor, fcntl.LOCK_SH, 1, _IN_USE)
            found._users += 1
            return found

    @classmethod
    @contextmanager
    def exclusively(cls, path: str) -> Generator[bool]:
        """Keep everybody else out of a lock file for the `with` block; yield False if somebody is using it."""
        with cls._open_lock:
            if path in cls._open:
                yield False
                return
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                yield _lock(descriptor, _IN_USE)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """End one use of the file; the last one closes its descriptor."""
        with self._open_lock:
            self._users -= 1
            if self._users == 0:
                self._held.clear()
                os.close(self._descriptor)
                if self._open.get(self._path) is self:
                    del self._open[self._path]

    def is_in_place(self) -> bool:
        """Tell whether the path still leads to this file, which may have been deleted with its folder."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except OSError:
            return False

    def is_marked(self) -> bool:
        """Tell whether there has ever been a database beside this file."""
        return os.fstat(self._descriptor).st_size > 0

    def mark(self) -> None:
        """Note that there is a database beside this file."""
        if not self.is_marked():
            os.pwrite(self._descriptor, b"\n", 0)

    def claim(self, key: Key) -> Claim | None:
        """Return the claim of a key, or None if somebody has it, in this process or another.

        Raises:
            OSError: The file system refuses locks.
        """
        claims: dict[Key, Claim] = {}
        self.claim_many([key], claims)
        return claims.get(key)

    def claim_many(self, keys: Sequence[Key], claims: dict[Key, Claim]) -> None:
        """Claim those of these keys that nobody has, and add their claims to `claims`.

        Each claim is added before its byte is locked, so that wherever Ctrl-C comes, the caller can give it back.

        Raises:
            OSError: The file system refuses locks; no claim is held then.
        """
        held = self._held
        with self._lock:
            try:
                for key in keys:
                    if key not in held:
                        claims[key] = held[key] = claim = _HeldByte(key, self)
                        if not _lock(self._descriptor, claim.offset):
                            del held[key], claims[key]
            except OSError:
                for key in keys:
                    if key in claims:
                        claims.pop(key).__exit__(None, None, None)
                raise

    def release(self, claim: _HeldByte) -> None:
        """Give a claim back if it is held: a child after fork does not hold the claims of its parent."""
        with self._lock:
            if self._held.get(claim.key) is claim:
                del self._held[claim.key]
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, claim.offset)

    @contextmanager
    def recovering(self) -> Generator[None]:
        """Let one thread of one process at a time mend the database."""
        with self._open_lock:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, _RECOVERY)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _RECOVERY)

    @classmethod
    def after_fork(cls) -> None:
        """Forget the parent's claims: record locks are not inherited."""
        cls._open_lock = threading.RLock()
        for lock_file in cls._open.values():
            lock_file._lock = threading.RLock()
            lock_file._held = {}


def _lock(descriptor: int, offset: int) -> bool:
    try:
        fcntl.lockf(descriptor, _AT_ONCE, 1, offset)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


os.register_at_fork(after_in_child=LockFile.after_fork)
