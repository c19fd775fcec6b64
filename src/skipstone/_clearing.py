"""Delete the checkpoint data below a folder, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress

from ._errors import StoreError, StoreUnavailableError
from .stores._folder import CHECKPOINT_FOLDER, MARKER, RUNS
from .stores._local._removal import remove_step


def clear_checkpoints(artifacts_dir: str) -> list[str]:
    """Delete all checkpoints below `<artifacts_dir>/checkpoint/`.

    Only files that skipstone made are deleted, and then folders that are empty; anything else stays.

    Returns:
        The folders of the steps that were deleted.

    Raises:
        StoreError: The folder is no checkpoint folder, a running process uses it, or it cannot be deleted.
    """
    root = os.path.join(artifacts_dir, CHECKPOINT_FOLDER)
    try:
        return _clear(root) if os.path.isdir(root) else []
    except PermissionError as error:
        message = f"cannot delete {root}: {error}"
        raise StoreUnavailableError(message) from error


def _clear(root: str) -> list[str]:
    marker = os.path.join(root, MARKER)
    if MARKER not in os.listdir(root):
        message = f"{root} is no checkpoint folder (it has no file {MARKER}): nothing was deleted"
        raise StoreError(message)
    removed: list[str] = []
    for index in _folders(root):
        removed.extend(step for step in _folders(index) if remove_step(step) and not step.endswith(RUNS))
        with suppress(OSError):  # the folder holds something else
            os.rmdir(index)
    if os.listdir(root) == [MARKER]:
        os.unlink(marker)
        os.rmdir(root)
    return removed


def clear_step(folder: str) -> None:
    """Delete a step's folder and the folder of its runs, and then the index's folder if it is empty.

    Raises:
        StoreError: A running process uses the step, or it cannot be deleted.
    """
    remove_step(folder)
    remove_step(folder + RUNS)
    with suppress(OSError):  # the index has other steps
        os.rmdir(os.path.dirname(folder))


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
