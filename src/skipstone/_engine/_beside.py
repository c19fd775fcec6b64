"""Run functions that take too long for an event loop in threads beside it."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

_REMOTE_THREADS = 64
"""Many, because they spend nearly all their time waiting for a service."""


async def in_thread(function: Callable[..., Any], *args: object, is_remote: bool = False) -> Any:
    """Run a function in a thread beside the event loop, or right here if asyncio runs no loop.

    Args:
        function: Runs in a copy of the context, as with `asyncio.to_thread`.
        *args: Arguments for the function.
        is_remote: Whether the function waits for a service, so that many may run at the same time.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return function(*args)
    threads = _remote_threads(os.getpid()) if is_remote else None
    run: Callable[..., Any] = contextvars.copy_context().run
    done = loop.run_in_executor(threads, run, function, *args)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])  # a thread cannot be stopped, and a claim that it takes must be given back
        raise


@lru_cache(maxsize=1)
def _remote_threads(_process: int) -> Executor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_REMOTE_THREADS, thread_name_prefix="skipstone-remote")
