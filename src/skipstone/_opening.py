"""From a step's name and a config to a checkpoint."""

from __future__ import annotations

import atexit

from . import _current
from ._checkpoint import Checkpoint
from ._kinds import check_name, kind_for
from ._settings._config import ConfigLike, resolve


def open_checkpoint(checkpoint_name: str, config: ConfigLike = None) -> Checkpoint:
    """Open the checkpoint of a step without making it current.

    Args:
        checkpoint_name: The name of the step, not empty.
        config: A mapping, a CheckpointConfig, or any object that has some of its fields as attributes;
            `SKIPSTONE_<FIELD>` in the environment overrides it.

    Returns:
        The checkpoint. Pass it on, use it in a `with` block, which closes it at its end, or make it current for a block
        with `use_checkpoint`.

    Raises:
        ConfigError: The name is empty, or a setting has the wrong type or value; the message names the
            field, its value and what was expected.
        MissingExtraError: A setting needs a library that is not installed.
        StoreFormatError: A newer skipstone wrote the step's folder.
    """
    check_name(checkpoint_name)
    settings = resolve(config)
    return kind_for(settings)(checkpoint_name, settings)


def init_checkpoint(checkpoint_name: str, config: ConfigLike = None) -> Checkpoint:
    """Open the checkpoint of a step and make it the current one of this process; see `open_checkpoint`.

    It closes the previous checkpoint. This one is closed when the process exits.

    Args:
        checkpoint_name: The name of the step, not empty.
        config: See `open_checkpoint`.

    Returns:
        The checkpoint, which `get_checkpoint` returns from now on.

    Raises:
        ConfigError: See `open_checkpoint`.
        MissingExtraError: See `open_checkpoint`.
        StoreFormatError: See `open_checkpoint`.
    """
    checkpoint = open_checkpoint(checkpoint_name, config)
    before = _current.set_checkpoint(checkpoint)
    if before is None:
        atexit.register(_close_current)
    else:
        before.close()
    return checkpoint


def _close_current() -> None:
    _current.get_checkpoint().close()
