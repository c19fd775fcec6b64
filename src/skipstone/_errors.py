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
├── NoteWarning                        numbers were noted where no call is under way
├── NetworkFileSystemWarning           a local store is on a network file system
└── StoreUnavailableWarning            the store does not answer; the run goes on without it

None of them defines `__init__`, so all of them pickle: a process pool can raise them in its parent.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any


class SkipstoneError(Exception):
    """Base of every error that skipstone raises."""


class CheckpointNotInitializedError(SkipstoneError):
    """No checkpoint is current: `init_checkpoint` was not called.

    Call it once, before the first call of a decorated function; in a worker process of your own, there as well, or use
    `checkpoint.wrap`. In tests, `use_checkpoint(Checkpoint(MemoryStore()))` or `NullCheckpoint()` will do.
    """


class ConfigError(SkipstoneError, ValueError):
    """A setting has the wrong type or value.

    The message names the setting, where it comes from (the config, an environment variable, a file), its value, and what
    was expected.
    """


class IdExpressionError(SkipstoneError, ValueError):
    """An id expression has a syntax error or names something that is not a parameter.

    Raised when the function is decorated, or when a map begins. The message shows the expression and the parameters:
    name one of these, or give a callable with the same parameters.
    """


class UnstableIdError(SkipstoneError, TypeError):
    """A value has no form that is the same in every process, so it cannot identify a call.

    Let the id mention what identifies the value (`id="model.name"`), or define that for its class, with a method
    `__skipstone_id__` or with `register_id`. A function that was made by another one needs `name=`.
    """


class ReentrantCallError(SkipstoneError, RuntimeError):
    """A call asked, from within itself, for its own result.

    It would wait for itself for ever. Usually the id is too coarse, such as that of a recursive function if it does not
    mention what differs from level to level.
    """


class ClaimTimeoutError(SkipstoneError, TimeoutError):
    """Another thread, process or machine computed the key for longer than `wait_timeout`.

    Try again later, or wait longer. If the other one has died, its claim is taken over without your doing.
    """


class BatchLengthError(SkipstoneError, ValueError):
    """A function of many items returned more or fewer results than it got items; none of the results was kept.

    Return one result for each item, in the same order, even for items without one.
    """


class SaveError(SkipstoneError):
    """A result could not be kept. Raised only with `on_save_error="raise"`.

    Use `error.result`. The message says what failed: a part that cannot be serialized, or the store, whose error is the
    `__cause__`.
    """

    result: object = None
    """What the function returned, so that it need not be computed again."""


class StoreError(SkipstoneError):
    """A store failed. The client's own error is the `__cause__`.

    Raised by operations other than calls: listing, clearing, exporting. A call itself never fails because of its store.
    """


class StoreUnavailableError(StoreError, ConnectionError):
    """A store could not do what it was asked to do: disk full, locked, gone, no permission.

    The message and the `__cause__` say why. Once that is fixed, the store works again by itself.
    """


class StoreFormatError(StoreError):
    """A store was written by a newer version of skipstone.

    Install the version that the message names, or a newer one. Nothing was changed.
    """


class UnsafeStoreError(StoreError, PermissionError):
    """Others can write to a store, so they could plant a pickle that runs code.

    If you made the folder, run the command in the message; if you trust those who did, set `trust_store=True`. Nothing
    was loaded from it.
    """


class MissingExtraError(SkipstoneError, ImportError):
    """An optional dependency is needed and not installed.

    The message says what to install: `pip install "skipstone[...]"`.
    """


class SkipstoneWarning(UserWarning):
    """Base of every warning that skipstone gives."""


class SaveWarning(SkipstoneWarning):
    """A result was returned but could not be kept.

    Given once for each function and cause. The message names the part of the result that cannot be serialized, or what is
    wrong with the store. Return plain data, choose another serializer, or free disk space. With `on_save_error="raise"`,
    this is an error instead.
    """


class LoadWarning(SkipstoneWarning):
    """A stored result could not be used, so the call runs again.

    The message says why: a class no longer exists, the record needs another `signing_key` or `encryption_key`, or its
    serializer is missing. If a key is missing, the stored result stays, and is found again with the key; otherwise the new
    result replaces it.
    """


class DamagedRecordWarning(LoadWarning):
    """The bytes of a stored result are not those that were saved.

    If one of several stores has an intact copy, it replaces the damaged one; otherwise the call runs again, and its new
    result does. Check the disk; `skipstone verify` looks for more damage.
    """


class DamagedStoreWarning(SkipstoneWarning):
    """A store's database was damaged; what could be read of it was carried over into a new one.

    What is missing is computed again. The damaged database stays beside the new one as
    `records.damaged-<time>.sqlite3`; delete it when you no longer need it.
    """


class CodeChangedWarning(SkipstoneWarning):
    """A stored result was made by other code than the present.

    Given once for each function, saying what changed. If the stored results are still right, call
    `checkpoint.accept(function)`; if not, use `on_code_change="rerun"`, another `version=`, or
    `checkpoint.clear(function)`.
    """


class CheckWarning(SkipstoneWarning):
    """Base of what `check_calls` and `audit` find.

    In tests, make it an error: `warnings.simplefilter("error", CheckWarning)`.
    """


class DifferentArgumentsWarning(CheckWarning):
    """A call got the result of a call with other arguments, because both have the same id.

    Let the id mention the argument that the message names, or `ignore` it if it does not matter; then clear the results
    of the function.
    """


class ChangedArgumentWarning(CheckWarning):
    """A function changed its arguments in place, which a stored result will not do.

    Return something new instead of changing what was given, or work on a copy.
    """


class ChangedGlobalWarning(CheckWarning):
    """A function reads a global variable that had another value when its stored result was made.

    Pass it as an argument and mention it in the id, or make it a constant.
    """


class RoundTripWarning(CheckWarning):
    """A result does not come back from the store as it was.

    Annotate what the function returns, return something that the serializer can restore, or use the pickle serializer.
    """


class AuditWarning(CheckWarning):
    """A call was run again, and its result is not the stored one.

    The function is not deterministic, or reads something that its id does not mention: a file, the clock, a service.
    Let the id mention it, or give the function `expires_seconds`.
    """


class UnsafeStoreWarning(SkipstoneWarning):
    """Pickles are loaded from a store that others may write to, and who could thereby run code here.

    Set a `signing_key` or an `encryption_key`, or `serializer="msgpack"` or `"json"`. Or set `trust_store=True`, if only
    people can write there whom you would let run code on your machine.
    """


class NetworkFileSystemWarning(SkipstoneWarning):
    """A local store is on a network file system.

    It works, with a file for each record, and leases in place of locks. If only one machine uses it, point
    `artifacts_dir` to a local disk, which is faster.
    """


class NoteWarning(SkipstoneWarning):
    """Numbers were noted where no call is under way.

    Call `note` inside a decorated function, or inside one that is called by `load_or_run` or `map`. In a thread that a
    call starts, run the function by `contextvars.copy_context().run`.
    """


class StoreUnavailableWarning(SkipstoneWarning):
    """The store does not answer; calls run and their results are returned nevertheless.

    Given once for each cause. Results are not kept there meanwhile, unless a nearer store notes them for later. Fix the
    cause: the store is used again as soon as it answers.
    """


def warn(message: str, category: type[SkipstoneWarning]) -> None:
    """Warn, pointing at the line of the user's code that led here rather than at one in this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{_PACKAGE}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


_PACKAGE = __name__.partition(".")[0]


def check_count(name: str, count: Any) -> None:
    """Check a setting that is a count.

    Raises:
        ValueError: `count` is not a whole number of at least 1.
    """
    if not hasattr(type(count), "__index__") or count < 1:
        message = f"{name} is {count!r}, expected a whole number, at least 1"
        raise ValueError(message)
