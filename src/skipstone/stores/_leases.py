"""Claims on stores without locks: leases, which are taken and taken over by compare-and-swap.

The lease of a key is a short text in the store that names its holder. A process is a holder for as long as it has any
lease, and gives a sign of life every third of the lease time, however many leases it has. Whoever wants a lease that
is taken watches its holder, and takes the lease over once there has been no new sign for the lease time. The watcher
measures that by its own clock, so clocks of different machines are never compared. A holder that died on the
watcher's own machine is noticed at once.

A holder that was suspended and resumes may have lost its leases. That costs time and nothing else, because records are
put create-only.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from .. import _log
from .._digest import blake2b
from .._errors import StoreError
from .._record import Key
from ._base import Claim, HeldClaim, ThreadClaims
from ._forks import begin_in_children
from ._liveness import process_of, this_process
from ._sleep import Sleep

LEASE_SECONDS = 15.0

_LONGEST_PAUSE_SECONDS = 1.0
_PAUSE_SHARE = 0.25  # of the time waited so far
_END_SECONDS = 5.0  # time for the last request of the thread


class Cells(Protocol):
    """Where a store keeps leases and signs of life, as short texts. Its methods raise StoreUnavailableError only."""

    def lease(self, key: Key, /) -> tuple[str, Any] | None:
        """Return the lease of a key and its version, or None if there is none."""
        ...

    def swap_lease(self, key: Key, text: str, version: Any, /) -> Any:
        """Write the lease of a key if it still has this version, or, with None, if there is no lease.

        Returns:
            The new version, or None if it was not written.
        """
        ...

    def remove_lease(self, key: Key, version: Any, /) -> None:
        """Remove the lease of a key. It is all but certain to have this version; a store need not check that."""
        ...

    def sign(self, holder: str, /) -> str | None:
        """Return the latest sign of life of a holder, or None if there is none."""
        ...

    def write_sign(self, holder: str, text: str, /) -> None:
        """Replace the sign of life of a holder."""
        ...

    def remove_sign(self, holder: str, /) -> None:
        """Remove the sign of life of a holder."""
        ...


class Leases:
    """The leases of one store in one process."""

    def __init__(self, cells: Cells, lease_seconds: float = LEASE_SECONDS) -> None:
        self._cells = cells
        self._lease_seconds = lease_seconds
        begin_in_children(self)

    def begin(self) -> None:
        """Start without leases, as a new process does."""
        self._claims = ThreadClaims()
        self._holder: _Holder | None = None
        self._watched: dict[str, _Sign] = {}
        self._refused: dict[Key, _Refusal] = {}

    def claim(self, key: Key) -> Claim | None:
        """Take the lease of a key, or return None if somebody has it, in this process or another.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        refused, now = self._refused.get(key), time.monotonic()
        if refused is not None and now < refused.look_again_at:
            return None
        claim = self._claims.claim(key)
        if claim is None:
            return None
        holder = self._joined()
        try:
            lease = self._take(key, holder)
        except BaseException:
            holder.leave(retire=True)
            claim.__exit__()
            raise
        if lease is not None:
            holder.live()
            self._refused.pop(key, None)
            return HeldClaim(key, lambda _: self._give_back(lease, holder, claim))
        holder.leave()
        claim.__exit__()
        since = now if refused is None else refused.since
        pause_seconds = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SHARE * (now - since))
        self._refused[key] = _Refusal(since, now + pause_seconds)
        return None

    def close(self) -> None:
        """End the thread and remove the sign of life, unless a lease is held."""
        if self._holder is not None:
            self._holder.end()

    def _joined(self) -> _Holder:
        while self._holder is None or not self._holder.join():
            self._holder = _Holder(self._cells, self._lease_seconds / 3)
        return self._holder

    def _take(self, key: Key, holder: _Holder) -> _Lease | None:
        text = holder.lease()
        taken_at = time.monotonic()
        version = self._cells.swap_lease(key, text, None)
        if version is None:
            found = self._cells.lease(key)
            if found is None:
                return None  # it has just been given back
            there, version = found
            if there != text:  # else it is ours, and only the answer to our request was lost
                if not self._is_abandoned(there):
                    return None
                version = self._cells.swap_lease(key, text, version)
        return None if version is None else _Lease(key, version, taken_at)

    def _is_abandoned(self, text: str) -> bool:
        """Tell whether the holder of a lease has died, or has given no sign of life for the lease time."""
        sign = _sign_in(text)
        process = process_of(sign.holder)
        if process is not None and process.is_dead():
            return True
        latest = self._cells.sign(_cell_of(sign.holder))
        if latest is not None:
            sign = max(sign, _sign_in(latest), key=lambda each: each.number)
        watched = self._watched.get(sign.holder)
        if watched is None or watched.number < sign.number:
            self._watched[sign.holder] = sign
            return False
        return time.monotonic() - watched.seen_at >= self._lease_seconds

    def _give_back(self, lease: _Lease, holder: _Holder, claim: HeldClaim) -> None:
        if not holder.is_of_this_process():
            return
        is_left_behind = False
        try:
            version = lease.version
            if time.monotonic() - lease.taken_at > self._lease_seconds / 2:
                # Others may take us for dead and take the lease over at any moment. If it is still ours, renewing it
                # gives it a version that nobody is about to replace, so that it is safe to remove.
                version = self._cells.swap_lease(lease.key, holder.lease(), version)
            if version is not None:
                self._cells.remove_lease(lease.key, version)
        except StoreError as error:
            is_left_behind = True
            _log.debug("cannot give back a claim: %s", error)
        finally:
            holder.leave(retire=is_left_behind)
            claim.__exit__()


class _Lease(NamedTuple):
    key: Key
    version: Any
    taken_at: float


class _Refusal(NamedTuple):
    since: float
    look_again_at: float


class _Sign(NamedTuple):
    """A sign of life. A holder counts its signs."""

    holder: str
    number: int
    seen_at: float


class _Holder:
    """A process as a holder of leases.

    If one of its leases may have been left in the store, it takes no more, and ends with the last lease that it has:
    the lease left behind can be taken over only when the signs of life stop.
    """

    def __init__(self, cells: Cells, every_seconds: float) -> None:
        self._cells = cells
        self._every_seconds = every_seconds
        self._process = this_process()
        self._word = f"{self._process}:{os.urandom(8).hex()}"
        self._number = 0
        self._leases = 0
        self._is_over = False
        self._thread: threading.Thread | None = None
        # Reentrant: garbage collection may end a generator at any time, here too, which gives its claim back.
        self._lock = threading.RLock()
        self._sleep = Sleep()

    def is_of_this_process(self) -> bool:
        """Tell whether it belongs to this process; after a fork, it may be the parent's."""
        return self._process.number == os.getpid()

    def join(self) -> bool:
        """Count a lease that is about to be taken; return False if this holder takes no more."""
        with self._lock:
            self._leases += not self._is_over
            return not self._is_over

    def leave(self, *, retire: bool = False) -> None:
        """Count a lease as gone, or, with `retire`, as one that may have been left in the store."""
        with self._lock:
            self._leases -= 1
            self._is_over = self._is_over or retire

    def lease(self) -> str:
        """Return the text for a new lease: the latest sign of life, and a random word that no other lease has."""
        return f"{self._word} {self._number} {os.urandom(8).hex()}"

    def live(self) -> None:
        """Give signs of life from now on."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._give_signs, name="skipstone leases", daemon=True)
        # Without the lock: start() waits for the thread to begin, and garbage may be collected in that thread first.
        self._thread.start()

    def end(self) -> None:
        """Take no more leases, and have the sign of life removed, unless there are leases."""
        with self._lock:
            if self._leases:
                return
            self._is_over = True
        self._sleep.end()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join(_END_SECONDS)

    def _give_signs(self) -> None:
        cell = _cell_of(self._word)
        while True:
            self._sleep.sleep(self._every_seconds)
            with self._lock:
                if not self._leases:
                    self._is_over = True
                    break
                self._number += 1
            try:
                self._cells.write_sign(cell, f"{self._word} {self._number}")
            except StoreError as error:
                _log.debug("cannot renew claims: %s", error)
        if self._number:
            with suppress(StoreError):
                self._cells.remove_sign(cell)


def _sign_in(text: str) -> _Sign:
    """Read a sign of life. Any other text gives a sign of a holder that never lives."""
    holder, _, rest = text.partition(" ")
    number = rest.partition(" ")[0]
    return _Sign(holder, int(number) if number.isdecimal() else 0, time.monotonic())


def _cell_of(holder: str) -> str:
    return f"holder-{blake2b(holder.encode(), digest_size=8).hexdigest()}"
