"""A store's connection to its step's database: opened when first needed, reopened when the database was replaced.

Each store has one connection per process, which threads share under a lock. More would gain nothing, since SQLite
admits one writer at a time; and a single connection can tell commits made elsewhere from its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import ClassVar, ParamSpec, TypeVar
from weakref import WeakSet

from ..._errors import (
    DamagedStoreWarning,
    NetworkFileSystemWarning,
    StoreError,
    StoreUnavailableError,
    UnsafeStoreError,
    warn,
)
from .._file_system import network_file_system
from .._folder import RUNS, make_step_folder, open_as_its_folder, unsafe_step
from ._claims import LockFile
from ._log_check import frames_found, last_commit_in
from ._read_only import NoLocks, can_be_written, check_room, connect_to_read, forbids_writing, stamp_of
from ._recovery import is_damage, recover
from ._schema import prepare
from ._writers import Log, connect

DATABASE = "records.sqlite3"
LOCKS = "claims.lock"

P = ParamSpec("P")
R = TypeVar("R")

_WAIT_BEFORE_FORK_SECONDS = 60
_LONGEST_PATH_BYTES = 504  # SQLite's limit is 512, with the suffixes that it adds
_abandoned: list[object] = []
_warned_steps: set[str] = set()


class StoreMendedError(StoreUnavailableError):
    """The database was damaged and has been mended, so the operation can be tried again."""


def again_when_mended(method: Callable[P, R]) -> Callable[P, R]:
    """Call a method a second time if the first call met a damaged database, which has been mended by then."""

    @wraps(method)
    def act(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except StoreMendedError:
            return method(*args, **kwargs)

    return act


class Connection:
    """Opens a step's database, and reopens it after a close, a fork, damage or deletion."""

    def __init__(
        self,
        folder: str,
        *,
        sync_each: bool,
        trusted: bool,
        forget: Callable[[], None],
        only_looks: bool = False,
    ) -> None:
        """Use a folder, without opening anything yet.

        Args:
            folder: Absolute path of the step's folder, which is made if it does not exist.
            sync_each: Whether every commit must survive a power loss.
            trusted: Whether to open the folder even if others own it or can write to it.
            forget: Called whenever the database may have been replaced by another, so that what was read is stale.
            only_looks: Make, change and mend nothing in the folder; who owns it does not matter then.
        """
        self._folder = folder
        self._path = f"{folder}/{DATABASE}"
        self._sync_each = sync_each
        self._trusted = trusted
        self._forget = forget
        self._only_looks = only_looks
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._locks: LockFile | None = None
        self._log = Log()
        self._identity: tuple[object, ...] = (0, 0)
        self._is_read_only = False
        _Fork.connections.add(self)

    def __enter__(self) -> sqlite3.Connection:
        """Take the lock and return the connection; errors of SQLite and the system become StoreError."""
        self._mutex.acquire()
        try:
            return self._connection or self._open()
        except BaseException as error:
            self._mutex.release()
            self._translate(error)
            raise

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            if error is not None:
                self._translate(error)
        finally:
            self._mutex.release()

    @contextmanager
    def translating(self) -> Generator[None]:
        """Turn errors of SQLite and the system into StoreError, without taking the lock."""
        try:
            yield
        except BaseException as error:
            self._translate(error)
            raise

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, StoreError) or not isinstance(error, (sqlite3.Error, OSError)):
            return
        might_write = self._is_read_only and not self._only_looks
        trouble = "can be read, but not written" if might_write else "does not work"
        message = f"the store in {self._folder} {trouble}: {error}"
        if len(os.fsencode(self._path)) > _LONGEST_PATH_BYTES:
            message += f", because the path is longer than {_LONGEST_PATH_BYTES} bytes, which SQLite cannot open"
        if is_damage(error) and not self._only_looks:
            try:
                self._set_aside(error)
            except (sqlite3.Error, OSError) as another:
                message += f"; nor can it be mended: {another}"
            else:
                raise StoreMendedError(message) from error
        raise StoreUnavailableError(message) from error

    def locks(self) -> LockFile | NoLocks:
        """Return the lock file. The caller holds the connection."""
        if self._is_read_only:
            self.in_place()
        return self._locks or NoLocks()

    def in_place(self) -> sqlite3.Connection:
        """Return the connection, reopened if the path no longer leads to the open database. The caller holds it.

        If the path leads elsewhere, the database was deleted, or set aside by another process, and whatever is
        written to it would be lost. A read-only connection is also reopened once the database has changed or has
        become writable.
        """
        self._leave_if_elsewhere()
        return self.opened()

    def opened(self) -> sqlite3.Connection:
        """Return the connection, opened if it is not. The caller holds it."""
        return self._connection or self._open()

    def _leave_if_elsewhere(self) -> None:
        if self._connection is None:
            return
        if self._is_read_only:
            locks = f"{self._folder}/{LOCKS}"
            could_write = not self._only_looks and can_be_written(self._path, locks)
            if self._identity != _identity(self._path, stamp_of) or could_write:
                self._close()
        elif self._identity != _identity(self._path):
            # Never closed: closing might delete the log of the new database, which has the same path.
            _abandoned.append(self._connection)
            self._leave()

    def wrote(self, rows: int, content_bytes: int) -> None:
        """Count a commit, and write the log back if it is due, unless another thread holds the connection."""
        if self._log.grew(rows, content_bytes) and self._mutex.acquire(blocking=False):
            try:
                if self._connection is not None:
                    self._log.write_back(self._connection)
            finally:
                self._mutex.release()

    def close(self) -> None:
        """Close the connection; a later use opens it again."""
        with self._mutex:
            self._leave_if_elsewhere()
            if self._connection is not None:
                self._close()

    def __del__(self) -> None:
        """Close a connection that was dropped while open: since Python 3.13, sqlite3 warns about unclosed ones."""
        with suppress(Exception):
            self.close()

    def pause(self) -> bool:
        """Keep other threads out of SQLite until `resume`; return False if the lock could not be had in time."""
        return self._mutex.acquire(timeout=_WAIT_BEFORE_FORK_SECONDS)

    def resume(self) -> None:
        """Undo `pause`."""
        self._mutex.release()

    def after_fork(self) -> None:
        """Abandon the parent's connection, so that the child opens its own: SQLite forbids even closing it here."""
        _abandoned.append(self._connection)
        self._mutex = threading.RLock()  # the old one may be held by a thread that the child lacks
        self._connection = self._locks = None
        self._log = Log()
        self._is_read_only = False
        self._forget()

    def _close(self) -> None:
        try:
            self._drop()
        finally:
            self._leave()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None  # unset first: Ctrl-C may come during close()
        if connection is not None:
            connection.close()

    def _leave(self) -> None:
        if self._locks is not None:
            self._locks.close()
        self._connection = self._locks = None
        self._is_read_only = False
        self._forget()

    def _open(self) -> sqlite3.Connection:
        if self._only_looks:
            return self._open_to_read()
        try:
            make_step_folder(self._folder, sync=self._sync_each)
            check_room(self._folder)
            return self._open_to_write()
        except (sqlite3.Error, OSError) as error:
            if not forbids_writing(error) or not os.path.exists(self._path):
                if isinstance(error, PermissionError):
                    self._check()  # raises a better error if the store is somebody else's
                raise
        return self._open_to_read()

    def _open_to_read(self) -> sqlite3.Connection:
        if not self._only_looks:
            self._check()
        self._leave()
        self._identity = stamp_of(self._path)
        connection = connect_to_read(self._path)
        connection.text_factory = _lenient_text
        self._connection, self._is_read_only = connection, True
        return connection

    def _open_to_write(self) -> sqlite3.Connection:
        self._check()
        self._locks = locks = LockFile.open(f"{self._folder}/{LOCKS}")
        log_path = f"{self._path}-wal"
        last_commit = last_commit_in(log_path) if locks.is_alone else 0
        is_missing = locks.is_marked() and not os.path.exists(self._path)
        try:
            connection = self._connect()
        except BaseException as error:
            if not is_damage(error):
                self._leave()
                raise
            self._set_aside(error)
            self._locks = locks = self._locks or LockFile.open(f"{self._folder}/{LOCKS}")
            connection = self._connect()
        else:
            if last_commit and last_commit > frames_found(connection):
                what = f"the log of the database in {self._folder} was damaged: the records that were saved last"
                self._warn_of_loss(what)
        if is_missing:
            self._warn_of_loss(f"the database in {self._folder} was deleted: its records")
        locks.mark()
        self._connection = connection
        return connection

    def _warn_of_loss(self, what: str) -> None:
        warn(f"{what} are lost, and will be computed again", DamagedStoreWarning)

    def _connect(self) -> sqlite3.Connection:
        is_new = not os.path.exists(self._path)
        connection = connect(self._path)
        connection.text_factory = _lenient_text
        try:
            if is_new:
                open_as_its_folder(self._path)
            prepare(connection, self._path, sync_each=self._sync_each)
            self._identity = _identity(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self) -> None:
        if not self._trusted:
            self._check_owner()
        self._check_file_system()

    def _check_owner(self) -> None:
        problem = unsafe_step(self._folder, self._path)
        if problem is not None:
            message = (
                f"{problem}. Whoever can write there can plant a pickle that runs code when it is loaded; "
                f"to open it all the same, set trust_store=True"
            )
            raise UnsafeStoreError(message)

    def _check_file_system(self) -> None:
        kind = network_file_system(self._folder)
        step = self._folder.removesuffix(RUNS)
        if kind is not None and step not in _warned_steps:
            _warned_steps.add(step)
            message = (
                f"{self._folder} is on a network file system ({kind}), where SQLite's log and locks cannot be trusted: "
                f"use an artifacts_dir on a local disk"
            )
            warn(message, NetworkFileSystemWarning)

    def _set_aside(self, error: BaseException) -> None:
        """Replace the damaged database with a new one, unless another process has done so already."""
        with self._mutex:
            locks, self._locks = self._locks or LockFile.open(f"{self._folder}/{LOCKS}"), None
            try:
                with locks.recovering():
                    before = self._identity
                    self._drop()
                    self._forget()
                    if before not in ((0, 0), _identity(self._path)) or not self._is_damaged():
                        return
                    aside, carried = recover(self._path)
            finally:
                locks.close()
        message = (
            f"the database in {self._folder} was damaged ({error}). It was set aside as {os.path.basename(aside)}, and "
            f"{carried:,} readable records were carried over; others will be computed again"
        )
        warn(message, DamagedStoreWarning)

    def _is_damaged(self) -> bool:
        """Check again: another process may have replaced the database since the error."""
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            return is_damage(error)
        try:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
        except sqlite3.Error as error:
            return is_damage(error)
        finally:
            connection.close()


class _Fork:
    """Pauses every connection during a fork.

    Otherwise the child could inherit one of SQLite's internal locks from a thread that it lacks, and wait for ever.
    """

    connections: ClassVar[WeakSet[Connection]] = WeakSet()
    _paused: ClassVar[list[Connection]] = []
    _lock = threading.Lock()

    @classmethod
    def before(cls) -> None:
        cls._lock.acquire()
        cls._paused = [connection for connection in list(cls.connections) if connection.pause()]

    @classmethod
    def in_parent(cls) -> None:
        for connection in cls._paused:
            connection.resume()
        cls._paused = []
        cls._lock.release()

    @classmethod
    def in_child(cls) -> None:
        cls._lock, cls._paused = threading.Lock(), []
        for connection in cls.connections:
            connection.after_fork()


os.register_at_fork(before=_Fork.before, after_in_parent=_Fork.in_parent, after_in_child=_Fork.in_child)

_lenient_text = partial(str, encoding="utf-8", errors="replace")  # damaged text must not make its row unreadable


def _device_and_inode(path: str) -> tuple[int, ...]:
    facts = os.stat(path)
    return (facts.st_dev, facts.st_ino)


def _identity(path: str, read: Callable[[str], tuple[object, ...]] = _device_and_inode) -> tuple[object, ...]:
    """Return what tells this database from another at the same path; (0, 0) if there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        return (0, 0)
