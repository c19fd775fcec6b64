"""Keep large payloads, each in its own file.

A file is written under a unique name, and belongs to a record once a row names it. So no file is ever overwritten, a
reader's memory map stays whole, and a crash leaves at most a file that no row names.
"""

from __future__ import annotations

import mmap
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Container
from contextlib import suppress
from weakref import WeakSet

from .._record import Buffer, Key, Payload, size_of
from ._folder import make_inner, open_inner, sync_folder
from ._leftovers import Leftovers, remove_files

_MAP_FROM_BYTES = 1 << 20  # below this, reading is as fast and keeps no descriptor open
_MOST_MAPS, _SHARE_OF_DESCRIPTORS = (
    256,
    4,
)  # if a map keeps a descriptor open, maps take a quarter of those allowed at most
_SUFFIX = ".value"
_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}-[0-9a-f]{8}\.value")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_MOST_PARTS = 512  # in one writev; the limit is 1024
_SECONDS_FOR_A_FOLDER = 256

_maps: WeakSet[mmap.mmap] = WeakSet()
"""The maps of this process that keep a descriptor open."""


class Values:
    """The value files of one store's folder."""

    def __init__(self, folder: str, *, sync: bool) -> None:
        """Use a folder, which need not exist; with `sync`, a written file survives a power loss."""
        self._folder = folder
        self._sync = sync

    def write(self, key: Key, payload: Payload) -> str:
        """Write a payload, and return the new file's name, relative to the folder.

        Raises:
            OSError: The file could not be written, and none is left behind.
        """
        name = f"{_folder_of_now()}/{key.hex()[2:]}-{os.urandom(4).hex()}{_SUFFIX}"
        path = self._path(name)
        try:
            descriptor = open_inner(path, _NEW_FILE)
        except FileNotFoundError:
            make_inner(self._folder)
            make_inner(os.path.dirname(path))
            descriptor = open_inner(path, _NEW_FILE)
        try:
            try:
                write_all(descriptor, payload)
                if self._sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if self._sync:
                for folder in (os.path.dirname(path), self._folder, os.path.dirname(self._folder)):
                    sync_folder(folder)
        except BaseException:
            self.remove(name)
            raise
        return name

    def read(self, name: str, size_bytes: int) -> Buffer | None:
        """Return a file's content, writable, in memory or as a copy-on-write map.

        Returns None if the file is missing or its size is not the one that was written.
        """
        if not _NAME.fullmatch(name):  # damaged, or planted to lead out of the folder
            return None
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if os.fstat(descriptor).st_size != size_bytes:
                return None
            if size_bytes >= _MAP_FROM_BYTES and len(_maps) < _most_maps():
                return _map(descriptor, size_bytes)
            content = bytearray(size_bytes)
            view, done = memoryview(content), 0
            while count := os.readv(descriptor, [view[done:]]):
                done += count
            return content if done == size_bytes else None
        finally:
            os.close(descriptor)

    def remove_all_but(
        self, named: Callable[[], Container[str]], *, older_than_seconds: float, dry_run: bool
    ) -> Leftovers:
        """Remove the files that are not named; `named` is called only once such a file is found."""
        return remove_files(
            self._folder,
            lambda name: _NAME.fullmatch(name) is not None and name not in named(),
            older_than_seconds=older_than_seconds,
            dry_run=dry_run,
        )

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError):
            if _NAME.fullmatch(name):
                os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


def _most_maps() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        _MOST_MAPS
        if descriptors == resource.RLIM_INFINITY
        else min(_MOST_MAPS, descriptors // _SHARE_OF_DESCRIPTORS)
    )


def _map(descriptor: int, size_bytes: int) -> Buffer:
    if sys.version_info >= (3, 13):
        return memoryview(mmap.mmap(descriptor, size_bytes, access=mmap.ACCESS_COPY, trackfd=False))
    mapped = mmap.mmap(descriptor, size_bytes, access=mmap.ACCESS_COPY)
    _maps.add(mapped)
    return memoryview(mapped)


def _folder_of_now() -> str:
    """Return the name of the folder that files are written to now: one of 256, which take turns.

    Files written within the same few minutes share a folder, whoever writes them. So few folders are made (making one
    takes as long as making a dozen files), and none grows for ever.
    """
    return f"{int(time.time()) // _SECONDS_FOR_A_FOLDER % 256:02x}"


def write_all(descriptor: int, payload: Payload) -> None:
    """Write all parts of a payload, without joining them."""
    parts = [memoryview(part).cast("B") for part in payload]
    left = size_of(parts)
    while left:
        written = os.writev(descriptor, parts[:_MOST_PARTS])
        left -= written
        while parts and written >= parts[0].nbytes:
            written -= parts.pop(0).nbytes
        if written:
            parts[0] = parts[0][written:]
