"""The one connection of a process to a step's database: opened when needed, and watched.

A process has one connection per store, shared by its threads under a lock: SQLite admits one writer anyway, and
a connection does not see its own commits as changes made elsewhere.
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
from ._read_only import NoLocks, can_be_written, check_room, connect_to_read, forbids_writing, standing
from ._recovery import is_damage, recover
from ._schema import prepare
from ._writers import Log, connect

DATABASE = "records.sqlite3"
LOCKS = "claims.lock"

P = ParamSpec("P")
R = TypeVar("R")

_WAIT_BEFORE_FORK_SECONDS = 60
_LONGEST_PATH_BYTES = 504  # 512 with what SQLite adds to it
_abandoned: list[object] = []
_told: set[str] = set()


class StoreMendedError(StoreUnavailableError):
    """The database was damaged, and is not any more."""


def again_when_mended(method: Callable[P, R]) -> Callable[P, R]:
    """Call a method once more if it met a damaged database, which has been mended meanwhile."""

    @wraps(method)
    def act(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except StoreMendedError:
            return method(*args, **kwargs)

    return act


class Connection:
    """Opens a step's database, and opens it again when that is needed."""

    def __init__(
        self,
        folder: str,
        *,
        sync_each: bool,
        trusted: bool,
        forget: Callable[[], None],
        only_looks: bool = False,
    ) -> None:
        """Use a folder.

        Args:
            folder: Absolute path of the step's folder; it is made when it is not there.
            sync_each: Every commit survives a power loss.
            trusted: Open it even if others own it or can write to it.
            forget: Called when the database is another one than before, or may be.
            only_looks: Nothing in the folder is made, changed or mended; whose it is does not matter then.
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
        """Hold the connection; errors of SQLite and the system become StoreError."""
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
        """Turn errors of SQLite and the system into StoreError, without holding the connection."""
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
        """Return the lock file; call it while holding the connection."""
        if self._is_read_only:
            self.in_place()
        return self._locks or NoLocks()

    def in_place(self) -> sqlite3.Connection:
        """While holding the connection, return it, anew if the path leads elsewhere than when it was opened.

        The database was deleted then, or set aside by another process: what is written to it would be lost. Anew
        also if it could only be read, and was changed, or can be written now.
        """
        self._leave_if_elsewhere()
        return self.opened()

    def opened(self) -> sqlite3.Connection:
        """While holding the connection, return it."""
        return self._connection or self._open()

    def _leave_if_elsewhere(self) -> None:
        if self._connection is None:
            return
        if self._is_read_only:
            locks = f"{self._folder}/{LOCKS}"
            could_write = not self._only_looks and can_be_written(self._path, locks)
            if self._identity != _identity(self._path, standing) or could_write:
                self._close()
        elif self._identity != _identity(self._path):
            # Closing it might delete the log of the database that is there now, which has the same name.
            _abandoned.append(self._connection)
            self._leave()

    def wrote(self, rows: int, content_bytes: int) -> None:
        """Note what was committed. The log of the database is written back in time, by a thread that need not wait for it."""
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
        """Close what was dropped while it was open: from Python 3.13 on, SQLite's connections complain if nobody does."""
        with suppress(Exception):
            self.close()

    def pause(self) -> bool:
        """Keep threads out of SQLite until `resume`; tell whether that was possible."""
        return self._mutex.acquire(timeout=_WAIT_BEFORE_FORK_SECONDS)

    def resume(self) -> None:
        """Let threads go on."""
        self._mutex.release()

    def after_fork(self) -> None:
        """Open a connection of the child's own: SQLite forbids even to close an inherited one."""
        _abandoned.append(self._connection)
        self._mutex = threading.RLock()  # a thread that is not here may hold the other
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
        connection, self._connection = self._connection, None  # first: Ctrl-C may come while it is closed
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
                    self._check()  # whose it is tells more
                raise
        return self._open_to_read()

    def _open_to_read(self) -> sqlite3.Connection:
        if not self._only_looks:
            self._check()
        self._leave()
        self._identity = standing(self._path)
        connection = connect_to_read(self._path)
        connection.text_factory = _text
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
                self._tell(
                    f"the log of the database in {self._folder} was damaged: the records that were saved last"
                )
        if is_missing:
            self._tell(f"the database in {self._folder} was deleted: its records")
        locks.mark()
        self._connection = connection
        return connection

    def _tell(self, what: str) -> None:
        warn(f"{what} are lost, and will be computed again", DamagedStoreWarning)

    def _connect(self) -> sqlite3.Connection:
        is_new = not os.path.exists(self._path)
        connection = connect(self._path)
        connection.text_factory = _text
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
        if kind is not None and step not in _told:
            _told.add(step)
            message = (
                f"{self._folder} is on a network file system ({kind}), where SQLite's log and locks cannot be trusted: "
                f"use an artifacts_dir on a local disk"
            )
            warn(message, NetworkFileSystemWarning)

    def _set_aside(self, error: BaseException) -> None:
        """Put a new database in the place of the damaged one, unless somebody else has done so."""
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
        """Look once more: it may have been another process that has put a new one there meanwhile."""
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
    """What is done before and after a fork: SQLite's own locks, held by a thread that the child lacks, would never be free."""

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

_text = partial(str, encoding="utf-8", errors="replace")  # a damaged text must not keep a row from being read


def _file(path: str) -> tuple[int, ...]:
    facts = os.stat(path)
    return (facts.st_dev, facts.st_ino)


def _identity(path: str, facts_of: Callable[[str], tuple[object, ...]] = _file) -> tuple[object, ...]:
    try:
        return facts_of(path)
    except FileNotFoundError:
        return (0, 0)
