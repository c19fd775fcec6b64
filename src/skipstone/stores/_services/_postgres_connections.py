"""Connections to a PostgreSQL database: a few, shared by all threads of a process, one of them its session.

Locks, which belong to a session, are taken on that one connection, which is kept open for them. While it is idle it
also serves requests that need no session, so that a process with one thread has one connection.

This is not `psycopg_pool`, whose threads do not survive a fork, and which has no such session.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from .._forks import begin_in_children

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
    """A connection that does not wait for an answer for ever."""

    def __del__(self, *_: object) -> None:
        """Do not warn about an open connection: it ends with the process that opened it."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **settings: Any) -> Any:
        """Wait as psycopg does, but not longer than `_ANSWER_SECONDS`."""
        return super().wait(_with_deadline(gen), *args, **settings)


def _with_deadline(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Pass on the steps of a request until time is up. psycopg resumes it at intervals even without an answer."""
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
    """The connections of one process to one database, opened when needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: set[Connection] = set()
        begin_in_children(self)

    def begin(self) -> None:
        """Start without connections. Inherited ones are closed without a word to the server: they are the parent's."""
        for connection in self._open:
            with suppress(OSError, psycopg.Error):
                os.close(connection.fileno())
        # Reentrant: if a generator is collected while this thread holds the lock, its cleanup runs right there.
        self._lock = threading.RLock()
        self._one_is_free = threading.Condition(self._lock)
        self._session_is_free = threading.Condition(self._lock)
        self._open = set()
        self._idle: list[Connection] = []
        self._session: Connection | None = None
        self._opening = 0
        self._most = MOST_CONNECTIONS

    def take(self, *, session: bool = False) -> Connection:
        """Take a connection in autocommit mode, to be given back with `give_back`.

        Args:
            session: Take the session, which is the same connection each time for as long as it lives. Only one thread
                may ask for it at a time.

        Raises:
            psycopg.Error: No connection can be opened.
        """
        while True:
            with self._lock:
                connection = self._idle_one(session=session)
                if connection is None:
                    self._opening += 1
            connection = connection or self._opened()
            if connection is not None:
                if session:
                    self._session = connection
                return connection

    def _idle_one(self, *, session: bool) -> Connection | None:
        """Wait for an idle connection; return None if another one may be opened instead."""
        while session and self._session is not None:
            if self._session in self._idle:
                self._idle.remove(self._session)
                return self._session
            self._session_is_free.wait()
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection is self._session or not _is_readable(connection):
                    return connection
                self._drop(connection)
            if len(self._open) + self._opening < self._most:
                return None
            self._one_is_free.wait()

    def _opened(self) -> Connection | None:
        """Open a connection; return None if that is refused but others are open, which must do then."""
        try:
            settings = make_conninfo("", **(_SETTINGS | conninfo_to_dict(self._url)))
            connection = Connection.connect(settings, autocommit=True)
        except BaseException as error:
            with self._lock:
                self._opening -= 1
                self._most = len(self._open) or MOST_CONNECTIONS
                self._one_is_free.notify_all()
                if self._open and isinstance(error, psycopg.OperationalError):
                    return None
            raise
        with self._lock:
            self._opening -= 1
            self._open.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Give a connection back; it is closed if it is in the middle of something."""
        with self._lock:
            if connection.pgconn.transaction_status != TransactionStatus.IDLE:
                self._drop(connection)
            elif connection is self._session:
                self._idle.insert(0, connection)  # so that other requests take it last
            else:
                self._idle.append(connection)
            self._session_is_free.notify()
            self._one_is_free.notify()

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection is self._session:
            self._session = None
        connection.close()

    def close(self, *, but_session: bool) -> None:
        """Close the idle connections."""
        with self._lock:
            kept = [each for each in self._idle if but_session and each is self._session]
            for connection in self._idle:
                if connection not in kept:
                    self._drop(connection)
            self._idle = kept


def _is_readable(connection: Connection) -> bool:
    """Tell whether the server has sent something on an idle connection, which means that it has ended."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except psycopg.Error:
        return True
