"""A thread's sleep, which others can end."""

from __future__ import annotations

import threading
from contextlib import suppress


class Sleep:
    """The sleep of one thread.

    Unlike `threading.Event`, it can be ended by a finalizer, which the garbage collector may run at any time, even in
    the sleeping thread itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Held until the thread is to wake up."""
        self._lock.acquire()

    def sleep(self, seconds: float) -> bool:
        """Sleep for this long at most; return whether somebody ended the sleep, during it or before it began."""
        return self._lock.acquire(timeout=seconds)

    def end(self) -> None:
        """Wake the thread up: now, or as soon as it is about to sleep."""
        with suppress(RuntimeError):  # it has been woken already
            self._lock.release()
