"""Files in a folder that several machines share: each whole or not there, created once or replaced.

A file is written aside and then named. A hard link never replaces a file, and a rename always does; both are atomic on
the server of a network file system, see link(2) and rename(2).
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
        """Make private files, or else such as are as open as their folder; with `sync`, they survive a power loss."""
        self._private = private
        self._sync = sync

    def read(self, path: str, most_bytes: int | None = None) -> bytearray | None:
        """Return the content of a file, or its beginning, or None where there is no such file."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._read(path, most_bytes)
            except FileNotFoundError:
                return None
            except OSError as error:  # NFS: it was replaced while it was open
                if error.errno != errno.ESTALE or attempt + 1 == _ATTEMPTS:
                    raise
        return None

    def _read(self, path: str, most_bytes: int | None) -> bytearray | None:
        # Not as a memory map: where another machine deletes the file, a map of it on NFS kills its reader.
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
        """Make a file, unless there is one of this name; tell whether it was made."""
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
            # The answer of a server that did it may have been lost: open(2) tells to count the names.
            return os.stat(aside).st_nlink > 1
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return True
        # No hard links here: an empty file is created exclusively, and then replaced.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        os.rename(aside, path)
        return True

    def replace(self, path: str, payload: Payload) -> None:
        """Make a file, in place of one of this name."""
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
                os.close(descriptor)  # NFS: what it could not write, it says here
        except BaseException:
            os.unlink(aside)
            raise
        return aside

    def _named(self, path: str) -> None:
        if self._sync:
            sync_folder(os.path.dirname(path))

    def remove(self, path: str) -> bool:
        """Remove a file; tell whether there was one."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True
