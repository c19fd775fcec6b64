"""Read and write files in a folder that several machines share, each file whole or not there.

A file is written under a temporary name, and then gets its own: to create it, by a hard link, which never replaces a
file; to replace it, by a rename, which always does. Both are atomic on the server of a network file system, see link(2)
and rename(2).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from .._record import Payload
from ._folder import make_shared, mode_of_inner, sync_folder
from ._values import write_all

PART = ".part"

_NO_LINKS = frozenset([errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
_ATTEMPTS = 3


class SharedFiles:
    """Reads and writes whole files. All methods raise OSError."""

    def __init__(self, *, private: bool, sync: bool) -> None:
        """Make files private, or else as open as their folder; with `sync`, they survive a power loss."""
        self._private = private
        self._sync = sync

    def read(self, path: str, most_bytes: int | None = None) -> bytearray | None:
        """Return the content of a file, or its first bytes; None if there is no such file."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._read(path, most_bytes)
            except FileNotFoundError:
                return None
            except OSError as error:  # ESTALE on NFS: the file was replaced while it was open
                if error.errno != errno.ESTALE or attempt + 1 == _ATTEMPTS:
                    raise
        return None

    def _read(self, path: str, most_bytes: int | None) -> bytearray | None:
        # Not as a memory map: on NFS, touching the map of a file that another machine has deleted kills the process.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            content = bytearray(size if most_bytes is None else min(size, most_bytes))
            view, done = memoryview(content), 0
            while done < len(content) and (count := os.readv(descriptor, [view[done:]])):
                done += count
        finally:
            os.close(descriptor)
        view.release()
        del content[done:]
        return content

    def create(self, path: str, payload: Payload) -> bool:
        """Make a file unless one of this name exists; tell whether it was made."""
        aside = self._write_aside(path, payload)
        try:
            made = self._link(aside, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)
        self._named(path)
        return made

    def _link(self, aside: str, path: str) -> bool:
        try:
            os.link(aside, path)
        except FileExistsError:
            # A server may have made the link, and its answer been lost: open(2) advises to count the file's names.
            return os.stat(aside).st_nlink > 1
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return True
        # This file system has no hard links: create an empty file exclusively, then replace it.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        os.rename(aside, path)
        return True

    def replace(self, path: str, payload: Payload) -> None:
        """Make a file, replacing any of this name."""
        os.rename(self._write_aside(path, payload), path)
        self._named(path)

    def _write_aside(self, path: str, payload: Payload) -> str:
        aside = f"{path}.{os.urandom(8).hex()}{PART}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(aside, flags, 0o600)
        except FileNotFoundError:
            make_shared(os.path.dirname(path), private=self._private)
            descriptor = os.open(aside, flags, 0o600)
        try:
            try:
                if not self._private:
                    os.fchmod(descriptor, mode_of_inner(path))
                write_all(descriptor, payload)
                if self._sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)  # NFS reports failed writes only here
        except BaseException:
            os.unlink(aside)
            raise
        return aside

    def _named(self, path: str) -> None:
        if self._sync:
            sync_folder(os.path.dirname(path))

    def remove(self, path: str) -> bool:
        """Remove a file; return False if there was none."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True
