"""Every error and warning of skipstone.

SkipstoneError(Exception)
├── CheckpointNotInitializedError      no checkpoint is current
├── ConfigError(ValueError)            a setting has the wrong type or value
├── IdExpressionError(ValueError)      an id expression does not fit its function
├── UnstableIdError(TypeError)         a value cannot be an id, or a function has no name of its own
├── ReentrantCallError(RuntimeError)   a call asked for its own result
├── ClaimTimeoutError(TimeoutError)    somebody else computed the key for longer than `wait_timeout`
├── BatchLengthError(ValueError)       a batch returned more or fewer results than it got items
├── SaveError                          a result could not be kept; it is in `.result`
├── StoreError                         a store failed
│   ├── StoreUnavailableError(ConnectionError)
│   ├── StoreFormatError               written by a newer skipstone
│   └── UnsafeStoreError(PermissionError)
└── MissingExtraError(ImportError)     an optional dependency is not installed

SkipstoneWarning(UserWarning)
├── SaveWarning                        a result was returned but not kept
├── LoadWarning                        a stored result could not be used; the call runs again
│   └── DamagedRecordWarning           because its bytes changed
├── DamagedStoreWarning                a database was damaged; its readable records were carried over
├── CodeChangedWarning                 a stored result was made by other code
├── CheckWarning                       `check_calls` or `audit` found something
│   ├── DifferentArgumentsWarning      one id was used for different arguments
│   ├── ChangedArgumentWarning         a function changed its arguments in place
│   ├── ChangedGlobalWarning           a global variable that a function reads has another value now
│   ├── RoundTripWarning               a result does not come back as it was
│   └── AuditWarning                   a call was run again, and its result differs
├── UnsafeStoreWarning                 pickles of a shared store are loaded, and nobody vouches for them
├── NetworkFileSystemWarning           a local store is on a network file system
└── StoreUnavailableWarning            the store does not answer; the run goes on without it

None of them defines `__init__`, so all of them pickle: a process pool can raise them in its parent.
"""

from __future__ import annotations

import sys
import warnings


class SkipstoneError(Exception):
    """Base of every error that skipstone raises."""


class CheckpointNotInitializedError(SkipstoneError):
    """No checkpoint is current: `init_checkpoint` was not called."""


class ConfigError(SkipstoneError, ValueError):
    """A setting has the wrong type or value."""


class IdExpressionError(SkipstoneError, ValueError):
    """An id expression has a syntax error or names something that is no parameter."""


class UnstableIdError(SkipstoneError, TypeError):
    """A value has no form that is the same in every process, so it cannot identify a call."""


class ReentrantCallError(SkipstoneError, RuntimeError):
    """A call asked, from within itself, for its own result."""


class ClaimTimeoutError(SkipstoneError, TimeoutError):
    """Another thread, process or machine computed the key for longer than `wait_timeout`."""


class BatchLengthError(SkipstoneError, ValueError):
    """A function of many items returned more or fewer results than it got items; none of them was kept."""


class SaveError(SkipstoneError):
    """A result could not be kept. Raised only with `on_save_error="raise"`."""

    result: object = None
    """What the function returned: it need not be computed again."""


class StoreError(SkipstoneError):
    """A store failed. The client's own error is the `__cause__`."""


class StoreUnavailableError(StoreError, ConnectionError):
    """A store did not do what was asked, now: disk full, locked, gone, no permission."""


class StoreFormatError(StoreError):
    """A store was written by a newer version of skipstone."""


class UnsafeStoreError(StoreError, PermissionError):
    """Others can write to a store, so they could plant a pickle that runs code."""


class MissingExtraError(SkipstoneError, ImportError):
    """An optional dependency is needed and not installed."""


class SkipstoneWarning(UserWarning):
    """Base of every warning that skipstone gives."""


class SaveWarning(SkipstoneWarning):
    """A result was returned but could not be kept."""


class LoadWarning(SkipstoneWarning):
    """A stored result could not be used, so the call runs again."""


class DamagedRecordWarning(LoadWarning):
    """The bytes of a stored result are not those that were saved."""


class DamagedStoreWarning(SkipstoneWarning):
    """A store's database was damaged; what could be read of it was carried over into a new one."""


class CodeChangedWarning(SkipstoneWarning):
    """A stored result was made by other code than the present."""


class CheckWarning(SkipstoneWarning):
    """Base of what `check_calls` and `audit` find."""


class DifferentArgumentsWarning(CheckWarning):
    """A call got the result of one with other arguments, for both have the same id."""


class ChangedArgumentWarning(CheckWarning):
    """A function changed its arguments in place, which a stored result will not do."""


class ChangedGlobalWarning(CheckWarning):
    """A function reads a global variable that had another value when its stored result was made."""


class RoundTripWarning(CheckWarning):
    """A result does not come back from the store as it was."""


class AuditWarning(CheckWarning):
    """A call was run again, and its result is not the stored one."""


class UnsafeStoreWarning(SkipstoneWarning):
    """Pickles are loaded from a store that others may write to: whoever can, can have code run here."""


class NetworkFileSystemWarning(SkipstoneWarning):
    """A local store is on a network file system."""


class NoteWarning(SkipstoneWarning):
    """Numbers were noted where no call is under way."""


class StoreUnavailableWarning(SkipstoneWarning):
    """The store does not answer; calls run and their results are returned all the same."""


def warn(message: str, category: type[SkipstoneWarning]) -> None:
    """Give a warning that points at the line of the user's that led here, not at one of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{_PACKAGE}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


_PACKAGE = __name__.partition(".")[0]
