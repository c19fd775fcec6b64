"""Which checkpoint is current: the process's one, or another one for this context only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ._errors import CheckpointNotInitializedError

if TYPE_CHECKING:
    from ._checkpoint import Checkpoint

_of_process: Checkpoint | None = None
_of_context: ContextVar[Checkpoint | None] = ContextVar("skipstone_checkpoint", default=None)


def get_checkpoint() -> Checkpoint:
    """Return the current checkpoint.

    Raises:
        CheckpointNotInitializedError: `init_checkpoint` was not called.
    """
    current = _of_context.get() or _of_process
    if current is None:
        message = "no checkpoint is active: call init_checkpoint(checkpoint_name, config) first"
        raise CheckpointNotInitializedError(message)
    return current


def set_checkpoint(checkpoint: Checkpoint) -> Checkpoint | None:
    """Make a checkpoint the process's one, and return the one before."""
    global _of_process
    before, _of_process = _of_process, checkpoint
    return before


@contextmanager
def use_checkpoint(checkpoint: Checkpoint) -> Generator[Checkpoint]:
    """Make another checkpoint the current one inside a `with` block, for this thread or task only.

    Args:
        checkpoint: The checkpoint to use; it stays open afterwards.

    Yields:
        The same checkpoint.
    """
    token = _of_context.set(checkpoint)
    try:
        yield checkpoint
    finally:
        _of_context.reset(token)
