"""How a thread sleeps until it is woken."""

from __future__ import annotations

import threading
from contextlib import suppress


class Sleep:
    """The sleep of one thread.

    Unlike with `threading.Event`, anybody may end it at any time: also what ends amid garbage collection, in that very thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Held, until the thread is to wake up."""
        self._lock.acquire()

    def sleep(self, seconds: float) -> bool:
        """Sleep so many seconds at most, and return whether somebody ended it, now or before."""
        return self._lock.acquire(timeout=seconds)

    def end(self) -> None:
        """Wake the thread up, now or when it is about to sleep."""
        with suppress(RuntimeError):  # it is woken already
            self._lock.release()
