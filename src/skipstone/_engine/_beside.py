"""Functions that take too long for an event loop, run beside it."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

_REMOTE_THREADS = 64
"""They wait for a service nearly all of the time."""


async def in_thread(function: Callable[..., Any], *args: object, is_remote: bool = False) -> Any:
    """Run a function beside the event loop, or at once where it is none of asyncio's.

    Args:
        function: In a copy of the context, as `asyncio.to_thread` runs it.
        *args: For it.
        is_remote: It waits for a service, so that many such may run at once.
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
        await asyncio.wait([done])  # a thread cannot be stopped, and what it takes has to be given back
        raise


@lru_cache(maxsize=1)
def _remote_threads(_process: int) -> Executor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_REMOTE_THREADS, thread_name_prefix="skipstone-remote")
