"""Claims as advisory locks of PostgreSQL, held by a session: they end with its connection, however that ends.

All threads of a process use one session. Those who ask at the same time share a request, so that claims take no longer
with many threads than with one. Threads and tasks claim among themselves first: a session gets a lock again that it has.

When the connection is lost, so are the locks. The next session takes those again that are still held here, unless
somebody else was quicker: that costs time and nothing else, because records are put create-only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from weakref import WeakSet

import psycopg

from .. import _log
from .._digest import blake2b
from .._errors import StoreUnavailableError
from .._record import Key
from ._base import Claim, HeldClaim, ThreadClaims
from ._postgres_connections import Connection, Connections
from ._remote import Remote

_CHANGE = """
    SELECT CASE WHEN takes THEN pg_try_advisory_lock(number) ELSE pg_advisory_unlock(number) END
    FROM unnest(%b::bigint[], %b::boolean[]) AS change(number, takes)
"""
_TAKE_AGAIN = "SELECT number FROM unnest(%b::bigint[]) AS held(number) WHERE pg_try_advisory_lock(number)"
# The server is to notice soon when a machine that holds claims has vanished, and never to end a session that is idle.
_SETTINGS = """
    SELECT set_config(wanted.name, value, false)
    FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
                 ('idle_session_timeout', '0')) AS wanted(name, value)
    JOIN pg_settings ON pg_settings.name = wanted.name
"""


class _Change:
    """A lock that is to be taken or given back, and whether it was."""

    __slots__ = ("error", "is_done", "number", "succeeded", "takes")

    def __init__(self, number: int, *, takes: bool) -> None:
        self.number = number
        self.takes = takes
        self.is_done = False
        self.succeeded = False
        self.error: psycopg.Error | None = None


class Locks:
    """The claims of one scope in one process."""

    def __init__(self, scope: str, connections: Connections, remote: Remote) -> None:
        self._scope = scope.encode()
        self._connections = connections
        self._remote = remote
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Hold nothing: this is a new process."""
        self._claims = ThreadClaims()
        self._held: set[int] = set()
        self._session: Connection | None = None
        self._waiting: list[_Change] = []
        # Reentrant: a generator may be dropped, and its claim with it, at any time.
        self._turn = threading.RLock()
        self._is_at_work = False
        self._is_behind = False

    @property
    def are_held(self) -> bool:
        """Whether there are claims that would end with the session."""
        return bool(self._held)

    def claim(self, key: Key) -> Claim | None:
        """Claim a key, or return None where somebody has it, in this process or another.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        word = blake2b(key, digest_size=8, key=blake2b(self._scope, digest_size=32).digest()).digest()
        number = int.from_bytes(word, "big", signed=True)
        claim = self._claims.claim(word)  # not of the key: two keys of one number are one lock
        if claim is None:
            return None
        try:
            is_taken = self._remote.answer(lambda _: self._change(_Change(number, takes=True)))
        except BaseException:
            claim.__exit__()
            raise
        if not is_taken:
            claim.__exit__()
            return None
        process = os.getpid()
        return HeldClaim(key, lambda _: self._give_back(number, claim, process))

    def _give_back(self, number: int, claim: HeldClaim, process: int) -> None:
        if process != os.getpid():
            return
        try:
            # Also while the database is said to be away: where this fails, the session ends, and the lock with it.
            if number in self._held:
                self._change(_Change(number, takes=False))
        except psycopg.Error as error:
            _log.debug("cannot give back a claim: %s", self._remote.without_secrets(str(error)))
        finally:
            claim.__exit__()

    def _change(self, change: _Change) -> bool:
        """Make a change, together with those of others who have come meanwhile."""
        self._waiting.append(change)
        with self._turn:
            if self._is_at_work:  # on another change, in this very thread
                if change.takes:
                    self._waiting.remove(change)
                    message = "a generator was dropped while a claim was taken, and claims something itself"
                    raise StoreUnavailableError(message)
                self._is_behind = True
                return True
            self._is_at_work = True
            try:
                while not change.is_done or self._is_behind:
                    self._is_behind = False
                    self._make(change)
            finally:
                self._is_at_work = False
        if change.error is not None:
            raise change.error
        return change.succeeded

    def _make(self, mine: _Change) -> None:
        changes, self._waiting = self._waiting, []
        try:
            answers = self._answers(changes)
        except psycopg.Error as error:
            for each in changes:
                each.error, each.is_done = error, True
                if not each.takes:
                    self._held.discard(each.number)  # with its session
        except BaseException:  # Ctrl-C is meant for this thread alone
            self._waiting[:0] = [each for each in changes if each is not mine]
            raise
        else:
            for each, succeeded in zip(changes, answers, strict=True):
                (self._held.add if each.takes and succeeded else self._held.discard)(each.number)
                each.succeeded, each.is_done = succeeded, True

    def _answers(self, changes: Sequence[_Change]) -> list[bool]:
        numbers, takes = [each.number for each in changes], [each.takes for each in changes]
        with self._connections.lent(session=True) as connection:
            try:
                if connection is not self._session:
                    self._begin_session(connection)
                rows = connection.execute(_CHANGE, (numbers, takes), binary=True).fetchall()
            except BaseException:
                connection.close()  # nobody knows what it holds
                raise
        answers = [succeeded for (succeeded,) in rows]
        if any(
            each.number in self._held and not succeeded for each, succeeded in zip(changes, answers, strict=True)
        ):
            _log.warning(
                "claims at %s are lost: where a pooler stands in front of the database, it must keep sessions",
                self._remote.shown_url,
            )
        return answers

    def _begin_session(self, connection: Connection) -> None:
        connection.execute(_SETTINGS)
        held = [*self._held]
        if held:
            self._held = {number for (number,) in connection.execute(_TAKE_AGAIN, (held,), binary=True)}
        self._session = connection


_all: WeakSet[Locks] = WeakSet()


def _after_fork() -> None:
    """The locks are the parent's."""
    for locks in _all:
        locks._begin()


os.register_at_fork(after_in_child=_after_fork)
