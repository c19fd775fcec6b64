"""Log to `logging.getLogger("skipstone")`, but only if somebody has imported logging: otherwise nobody listens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_DEBUG, _INFO, _WARNING = 10, 20, 30  # logging.DEBUG, …: importing logging costs 10 ms
_logger: logging.Logger | None = None


def is_debugging() -> bool:
    """Tell whether DEBUG messages are wanted."""
    if "logging" not in sys.modules:
        return False  # as for every hit in most programs
    logger = _logger or _find()
    return logger is not None and logger.isEnabledFor(_DEBUG)


def debug(message: str, *args: object, **about: object) -> None:
    """Log about one call; `about` becomes attributes of the log record."""
    _write(_DEBUG, message, args, about)


def info(message: str, *args: object, **about: object) -> None:
    """Log about a step."""
    _write(_INFO, message, args, about)


def warning(message: str, *args: object) -> None:
    """Log what somebody should see. If logging is not set up, it goes to standard error."""
    import logging

    logging.getLogger("skipstone").warning(message, *args)


def _write(level: int, message: str, args: tuple[object, ...], about: dict[str, object]) -> None:
    logger = _logger or _find()
    if logger is not None:
        logger.log(level, message, *args, extra=about)


def _find() -> logging.Logger | None:
    global _logger  # noqa: PLW0603 - looked up only once
    if "logging" in sys.modules:
        _logger = sys.modules["logging"].getLogger("skipstone")
    return _logger
