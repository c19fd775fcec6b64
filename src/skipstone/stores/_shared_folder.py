"""A store in a folder that several machines share (NFS, Lustre, SMB): a file for each record, and no locks.

    records/<2 digits>/<30 digits>              a record, named by its key
    records/<2 digits>/<30 digits>.claim<n>     its lease: the file with the highest n, each created only once
    records/<2 digits>/<30 digits>….part        a file being written
    holders/<word>                              a sign of life

A lease is in the same folder as its record for the sake of NFS: a machine that creates a file in a folder learns
whether others have changed that folder (RFC 1813, weak cache consistency). So a record that was saved while a machine
waited for its claim is not overlooked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .._errors import UnsafeStoreError
from .._record import Key, Record, RecordInfo
from ._base import BaseStore, Claim
from ._envelope import HEAD_BYTES, head_bytes, packed, read_head, unpacked
from ._folder import make_marker, make_shared, scopes_below, unsafe
from ._leases import LEASE_SECONDS, Leases
from ._leftovers import Leftovers, remove_files
from ._remote import Remote
from ._shared_files import PART, SharedFiles

_RECORD = re.compile(r"[0-9a-f]{30}")
_SHARD = re.compile(r"[0-9a-f]{2}")


class SharedFolderStore(BaseStore):
    """Keeps the records of one step of one index in a folder of a network file system."""

    def __init__(
        self,
        folder: str,
        *,
        trusted: bool = False,
        durability: str = "process",
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Use a folder, which is made when needed.

        Args:
            folder: Path of the step's folder.
            trusted: Use the folder even if others own it or can write to it. New files and folders are then as open
                as the folder that they are in, so that a group can share them; otherwise they are private.
            durability: With "power", acknowledged records also survive a power loss of the server.
            lease_seconds: How long a holder of claims may give no sign of life before others take its claims over.
        """
        super().__init__()
        self.folder = os.path.abspath(folder)
        self._settings = {"trusted": trusted, "durability": durability, "lease_seconds": lease_seconds}
        self._is_private = not trusted
        self._is_safe = trusted
        self._files = SharedFiles(private=not trusted, sync=durability == "power")
        self._remote = Remote(self.folder, (OSError,), refusals=(OSError,))
        self._leases = Leases(_Cells(self.folder, self._files, self._remote), lease_seconds)

    def __reduce__(self) -> tuple[Callable[..., SharedFolderStore], tuple[str, dict[str, Any]]]:
        """Pickle the settings."""
        return _reopened, (self.folder, self._settings)

    def open(self) -> None:
        """Make the folder now rather than when needed, and mark the `checkpoint` folder above it.

        Raises:
            StoreUnavailableError: The folder cannot be made.
            UnsafeStoreError: Others own the folder or can write to it.
        """
        with self._remote.asked():
            self._check()
            make_shared(self.folder, private=self._is_private)
            make_marker(os.path.dirname(os.path.dirname(self.folder)))

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        with self._remote.asked():
            self._check()
            content = self._files.read(_path(self.folder, key))
        return unpacked(key, content) if content else None  # an empty file is one that is just being created

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        with self._remote.asked():
            self._check()
            return {key for key in keys if _is_there(_path(self.folder, key))}

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        path, content = _path(self.folder, record.key), packed(record)
        with self._remote.asked():
            self._check()
            if not replace:
                return self._files.create(path, content)
            self._files.replace(path, content)
            return True

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        with self._remote.asked():
            self._check()
            return sum(self._files.remove(_path(self.folder, key)) for key in keys)

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`; in no order."""
        for shard in self._names("records", _SHARD):
            for name in self._names(f"records/{shard}", _RECORD):
                with self._remote.asked():
                    info = self._info(bytes.fromhex(shard + name))
                if info is not None and function in (None, info.function):
                    yield info

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`."""
        with self._remote.asked():
            self._check()
            infos = {key: self._info(key) for key in keys}
        return {key: info for key, info in infos.items() if info is not None}

    def _names(self, folder: str, pattern: re.Pattern[str]) -> list[str]:
        with self._remote.asked():
            self._check()
            try:
                return sorted(filter(pattern.fullmatch, os.listdir(f"{self.folder}/{folder}")))
            except FileNotFoundError:
                return []

    def _info(self, key: Key) -> RecordInfo | None:
        path = _path(self.folder, key)
        start = self._files.read(path, HEAD_BYTES)
        if start and head_bytes(start) > len(start):
            start = self._files.read(path, head_bytes(start))
        return read_head(key, start).info if start else None

    def remove_leftovers(self, *, older_than_seconds: float, dry_run: bool) -> Leftovers:
        """See `HasLeftovers`."""
        with self._remote.asked():
            self._check()
            return remove_files(
                self.folder,
                lambda name: name.endswith(PART),
                older_than_seconds=older_than_seconds,
                dry_run=dry_run,
            )

    def compact(self) -> None:
        """Do nothing: no file takes more room than its record."""

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        with self._remote.asked():
            self._check()
        return self._leases.claim(key)

    def close(self) -> None:
        """See `Store`."""
        self._leases.close()

    def _check(self) -> None:
        """Refuse a folder in which others could plant a pickle."""
        if self._is_safe:
            return
        for path in (os.path.dirname(self.folder), self.folder):
            problem = unsafe(path)
            if problem is not None:
                message = (
                    f"{path} {problem}. Whoever can write there can plant a pickle that runs code when it is loaded; "
                    f"where a group shares it, set trust_store=True, and better a signing_key, or the msgpack or "
                    f"json serializer, as well"
                )
                raise UnsafeStoreError(message)
        self._is_safe = os.path.isdir(self.folder)


def scopes(root: str) -> list[str]:
    """Return the `<index>/<step>` of every step below a folder, spelled as its folders are."""
    return scopes_below(root, "records")


class _Cells:
    """Leases as chains of files, each created once. The version of a lease is the number and text of its last file."""

    def __init__(self, folder: str, files: SharedFiles, remote: Remote) -> None:
        self._folder = folder
        self._files = files
        self._remote = remote

    def lease(self, key: Key, /) -> tuple[str, tuple[int, str]] | None:
        with self._remote.asked():
            number, last = 0, None
            while (text := self._text(self._link(key, number))) is not None:
                last = (text, (number, text))
                number += 1
            return last

    def swap_lease(self, key: Key, text: str, version: tuple[int, str] | None, /) -> tuple[int, str] | None:
        number, before = (-1, "") if version is None else version
        with self._remote.asked():
            if version is not None and self._text(self._link(key, number)) != before:
                return None  # it was given back and taken by somebody else
            is_made = self._files.create(self._link(key, number + 1), [text.encode()])
            return (number + 1, text) if is_made else None

    def remove_lease(self, key: Key, version: tuple[int, str], /) -> None:
        with self._remote.asked():
            for number in range(version[0] + 1):  # in this order: until the last file goes, the lease holds
                self._files.remove(self._link(key, number))

    def sign(self, holder: str, /) -> str | None:
        with self._remote.asked():
            return self._text(f"{self._folder}/holders/{holder}")

    def write_sign(self, holder: str, text: str, /) -> None:
        with self._remote.asked():
            self._files.replace(f"{self._folder}/holders/{holder}", [text.encode()])

    def remove_sign(self, holder: str, /) -> None:
        with self._remote.asked():
            self._files.remove(f"{self._folder}/holders/{holder}")

    def _link(self, key: Key, number: int) -> str:
        return f"{_path(self._folder, key)}.claim{number}"

    def _text(self, path: str) -> str | None:
        content = self._files.read(path)
        return None if content is None else content.decode("utf-8", "replace")


def _reopened(folder: str, settings: dict[str, Any]) -> SharedFolderStore:
    return SharedFolderStore(folder, **settings)


def _path(folder: str, key: Key) -> str:
    digits = key.hex()
    return f"{folder}/records/{digits[:2]}/{digits[2:]}"


def _is_there(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False
