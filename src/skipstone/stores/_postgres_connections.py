"""Connections to a PostgreSQL database: few, for all threads of a process, one of them its session.

What belongs to a session, such as locks, is done on that one connection, and nothing else ends it. Whoever needs no
session gets it, too, while nobody else uses it: a process with one thread has one connection.

Not `psycopg_pool`: its threads do not survive a fork, and it knows of no session.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

MOST_CONNECTIONS = 8

_ANSWER_SECONDS = 60.0
_SETTINGS: dict[str, Any] = {
    "application_name": "skipstone",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """One that does not wait for an answer for ever."""

    def __del__(self, *_: object) -> None:
        """Say nothing: where it was left open, it ends with the process that made it."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **settings: Any) -> Any:
        """Do what psycopg does to wait, for so long."""
        return super().wait(_for_so_long(gen), *args, **settings)


def _for_so_long(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Go through the steps of a request. They are told now and then that nothing has come yet."""
    end = time.monotonic() + _ANSWER_SECONDS
    try:
        awaited = next(steps)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() > end:
                message = f"the server has not answered for {_ANSWER_SECONDS:.0f} s"
                raise psycopg.OperationalError(message)
            awaited = steps.send(ready)
    except StopIteration as over:
        return over.value


class Connections:
    """Connections of one process to one database. They are opened when they are needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        # Reentrant: where a generator is dropped while the lock is held, what it leaves is tidied up then and there.
        self._changed = threading.Condition(threading.RLock())
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._session: Connection | None = None
        self._opening = 0
        self._most = MOST_CONNECTIONS

    @contextmanager
    def lent(self, *, session: bool = False) -> Generator[Connection]:
        """Lend a connection, in autocommit mode; where it is given back in the middle of something, it is closed.

        Args:
            session: The one that is the same each time, for as long as it lives. One asks for it at a time.

        Raises:
            psycopg.Error: None can be opened.
        """
        connection = self._taken(session=session)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _taken(self, *, session: bool) -> Connection:
        while True:
            with self._changed:
                connection = self._idle_one(session=session)
                if connection is None:
                    self._opening += 1
            connection = connection or self._opened()
            if connection is None:
                continue
            if session:
                self._session = connection
            return connection

    def _idle_one(self, *, session: bool) -> Connection | None:
        """Wait for a connection that nobody uses; return None where another one may be opened."""
        while True:
            if session and self._session is not None:
                if self._session in self._idle:
                    self._idle.remove(self._session)
                    return self._session
            else:
                while self._idle:
                    connection = self._idle.pop()
                    if connection is self._session or not _is_readable(connection):
                        return connection
                    self._drop(connection)
                if len(self._open) + self._opening < self._most:
                    return None
            self._changed.wait()

    def _opened(self) -> Connection | None:
        """Open a connection; return None where that is refused and there are others: these must do."""
        try:
            settings = make_conninfo("", **(_SETTINGS | conninfo_to_dict(self._url)))
            connection = Connection.connect(settings, autocommit=True)
        except BaseException as error:
            with self._changed:
                self._opening -= 1
                self._most = len(self._open) or MOST_CONNECTIONS
                self._changed.notify_all()
                if self._open and isinstance(error, psycopg.OperationalError):
                    return None
            raise
        with self._changed:
            self._opening -= 1
            self._open.add(connection)
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._changed:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self._drop(connection)
            elif connection is self._session:
                self._idle.insert(0, connection)  # the last to be used for something else
            else:
                self._idle.append(connection)
            self._changed.notify_all()

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection is self._session:
            self._session = None
        connection.close()

    def close(self, *, but_session: bool) -> None:
        """Close those that nobody uses just now."""
        with self._changed:
            kept = [each for each in self._idle if but_session and each is self._session]
            for connection in self._idle:
                if connection not in kept:
                    self._drop(connection)
            self._idle = kept

    def _leave_to_parent(self) -> None:
        """Close what a child has inherited, without a word to the server: a session ends with its own process."""
        for connection in self._open:
            with suppress(OSError, psycopg.Error):
                os.close(connection.fileno())
        self._begin()


def _is_readable(connection: Connection) -> bool:
    """Tell whether something has come on an idle connection: that is its end."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except psycopg.Error:
        return True


_all: WeakSet[Connections] = WeakSet()


def _after_fork() -> None:
    for connections in _all:
        connections._leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
