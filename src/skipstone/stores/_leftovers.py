"""What crashes leave behind in the folder of a store: files that no record names, and half-written ones."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol, runtime_checkable


class Leftovers(NamedTuple):
    """Files that are of no use."""

    number: int
    """How many files."""
    size_bytes: int
    """How many bytes they take together."""


@runtime_checkable
class HasLeftovers(Protocol):
    """A store in which something may be left behind, and which may take more room than it needs."""

    def remove_leftovers(self, *, older_than_seconds: float, dry_run: bool) -> Leftovers:
        """Remove useless files, except those so young that somebody may be about to name them."""
        ...

    def compact(self) -> None:
        """Give room that is no longer needed back to the file system, which may take long."""
        ...


def remove_files(
    folder: str, is_useless: Callable[[str], bool], *, older_than_seconds: float, dry_run: bool
) -> Leftovers:
    """Remove files below a folder, given by their names relative to it."""
    number = size_bytes = 0
    latest = time.time() - older_than_seconds
    for path, facts in _files(folder):
        if facts.st_mtime < latest and is_useless(os.path.relpath(path, folder)):
            if not dry_run:
                with suppress(FileNotFoundError):
                    os.unlink(path)
            number += 1
            size_bytes += facts.st_size
    return Leftovers(number, size_bytes)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):
                facts = os.lstat(path)
                if stat.S_ISREG(facts.st_mode):
                    yield path, facts
