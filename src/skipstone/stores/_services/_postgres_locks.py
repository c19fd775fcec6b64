"""Claims as advisory locks of PostgreSQL. A session holds them, and they end with its connection, however that ends.

All threads of a process use one session. Threads that ask at the same time share a request, so that claims take no
longer with many threads than with one. Threads and tasks first claim among themselves, because PostgreSQL would grant
a session a lock that it already has.

When the connection is lost, so are the locks. The next session takes again those that this process still holds, unless
somebody else was quicker. That costs time and nothing else, because records are put create-only.
"""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

import psycopg

from ... import _log
from ..._digest import blake2b
from ..._errors import StoreUnavailableError
from ..._record import Key
from .._base import Claim, HeldClaim, ThreadClaims
from .._forks import begin_in_children
from .._remote import Remote
from ._postgres_connections import Connection, Connections
from ._together import Together

_CHANGE = """
    SELECT CASE WHEN takes THEN pg_try_advisory_lock(number) ELSE pg_advisory_unlock(number) END
    FROM unnest(%b::bigint[], %b::boolean[]) AS change(number, takes)
"""
_TAKE_AGAIN = "SELECT number FROM unnest(%b::bigint[]) AS held(number) WHERE pg_try_advisory_lock(number)"
# The server shall soon notice that a machine with claims has vanished, and shall never end an idle session.
_SETTINGS = """
    SELECT set_config(wanted.name, value, false)
    FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
                 ('idle_session_timeout', '0')) AS wanted(name, value)
    JOIN pg_settings ON pg_settings.name = wanted.name
"""


class _Change(NamedTuple):
    """A lock to be taken or given back."""

    number: int
    takes: bool


class Locks:
    """The claims of one scope in one process."""

    def __init__(self, scope: str, connections: Connections, remote: Remote) -> None:
        self._scope = scope.encode()
        self._connections = connections
        self._remote = remote
        self._changes = Together(self._make, at_once=1)
        begin_in_children(self)

    def begin(self) -> None:
        """Start without claims, as a new process does."""
        self._claims = ThreadClaims()
        self._held: set[int] = set()
        self._left: list[_Change] = []
        self._session: Connection | None = None
        self._at_work: int | None = None

    @property
    def are_held(self) -> bool:
        """Whether there are claims that would end with the session."""
        return bool(self._held)

    def claim(self, key: Key) -> Claim | None:
        """Claim a key, or return None if somebody has it, in this process or another.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        word = blake2b(key, digest_size=8, key=blake2b(self._scope, digest_size=32).digest()).digest()
        number = int.from_bytes(word, "big", signed=True)
        claim = self._claims.claim(word)  # not of the key: two keys with one number share a lock
        if claim is None:
            return None
        process = os.getpid()
        try:
            is_taken = self._remote.answer(lambda _: self._take(number))
        except BaseException:
            self._give_back(number, claim, process)
            raise
        if not is_taken:
            claim.__exit__()
            return None
        return HeldClaim(key, lambda _: self._give_back(number, claim, process))

    def _take(self, number: int) -> bool:
        if self._at_work == threading.get_ident():
            message = "a generator was dropped while a claim was taken, and asks for one itself"
            raise StoreUnavailableError(message)
        return self._changes.ask(_Change(number, takes=True))

    def _give_back(self, number: int, claim: HeldClaim, process: int) -> None:
        if process != os.getpid():
            return
        change = _Change(number, takes=False)
        try:
            if self._at_work == threading.get_ident():  # a finalizer runs during this thread's own request
                self._left.append(change)
            elif number in self._held:
                # Tried even while the database counts as away: if this fails, the session ends, and the lock with it.
                self._changes.ask(change)
        except psycopg.Error as error:
            _log.debug("cannot give back a claim: %s", self._remote.without_secrets(str(error)))
        finally:
            claim.__exit__()

    def _make(self, changes: list[_Change]) -> list[bool]:
        """Make the changes of all who ask, and then those that finalizers left during this thread's request."""
        self._at_work = threading.get_ident()
        try:
            answers = self._request(changes)
            while self._left:
                left, self._left = self._left, []
                self._request(left)
        finally:
            self._at_work = None
        return answers

    def _request(self, changes: list[_Change]) -> list[bool]:
        numbers, takes = zip(*changes, strict=True)
        # First: if the request fails, the session ends, and these locks with it.
        self._held -= {change.number for change in changes if not change.takes}
        connection = self._connections.take(session=True)
        try:
            is_new = connection is not self._session
            if is_new:
                self._begin_session(connection)
            rows = connection.execute(_CHANGE, ([*numbers], [*takes]), binary=True).fetchall()
        except BaseException:
            connection.close()  # there is no telling what it holds
            raise
        finally:
            self._connections.give_back(connection)
        answers = [is_so for (is_so,) in rows]
        self._held |= {
            change.number for change, is_so in zip(changes, answers, strict=True) if is_so and change.takes
        }
        if not is_new and not all(is_so or change.takes for change, is_so in zip(changes, answers, strict=True)):
            _log.warning(
                "claims at %s were lost: where a pooler stands in front of the database, it must keep sessions",
                self._remote.shown_url,
            )
        return answers

    def _begin_session(self, connection: Connection) -> None:
        connection.execute(_SETTINGS)
        held = [*self._held]
        if held:
            self._held = {number for (number,) in connection.execute(_TAKE_AGAIN, (held,), binary=True)}
        self._session = connection
