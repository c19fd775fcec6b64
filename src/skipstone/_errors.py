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

    Call it once, before the first call of a decorated function. Call it in each worker process of your own, too, or use
    `checkpoint.wrap`. In tests, use `use_checkpoint(Checkpoint(MemoryStore()))` or `NullCheckpoint()`.
    """


class ConfigError(SkipstoneError, ValueError):
    """A setting has the wrong type or value.

    The message names the setting, where it was set (the config, an environment variable, a file), its value, and what was
    expected.
    """


class IdExpressionError(SkipstoneError, ValueError):
    """An id expression has a syntax error or names something that is not a parameter.

    Raised when the function is decorated, or when a map begins. The message shows the expression and the parameters: name
    one of them, or give a callable with the same parameters.
    """


class UnstableIdError(SkipstoneError, TypeError):
    """A value has no form that is the same in every process, so it cannot identify a call.

    Let the id mention what identifies the value (`id="model.name"`), or define it for the class, with a method
    `__skipstone_id__` or with `register_id`. A function that another function made needs `name=`.
    """


class ReentrantCallError(SkipstoneError, RuntimeError):
    """A call asked, from inside itself, for its own result.

    It would wait for itself for ever. Usually an id is too coarse: a recursive function's id does not mention what differs
    from level to level.
    """


class ClaimTimeoutError(SkipstoneError, TimeoutError):
    """Another thread, process or machine computed the key for longer than `wait_timeout`.

    Try again later, or wait longer. If the other one dies, somebody else takes over without your help.
    """


class BatchLengthError(SkipstoneError, ValueError):
    """A function of many items returned more or fewer results than it got items; none of them was kept.

    Return one result for each item, in their order, even for items that have none.
    """


class SaveError(SkipstoneError):
    """A result could not be kept. Raised only with `on_save_error="raise"`.

    Use `error.result`. The message says what failed: a part that cannot be serialized, or the store, whose error is the
    `__cause__`.
    """

    result: object = None
    """What the function returned, so that you need not compute it again."""


class StoreError(SkipstoneError):
    """A store failed. The client's own error is the `__cause__`.

    Raised by operations on more than a call's result: listing, clearing, exporting. A call itself never fails because of
    its store.
    """


class StoreUnavailableError(StoreError, ConnectionError):
    """A store could not do what was asked at this moment: disk full, locked, gone, no permission.

    The message and the `__cause__` say why. Fix the cause, and try again: the store recovers by itself.
    """


class StoreFormatError(StoreError):
    """A store was written by a newer version of skipstone.

    Install the version that the message names, or a newer one. Nothing was changed.
    """


class UnsafeStoreError(StoreError, PermissionError):
    """Others can write to a store, so they could plant a pickle that runs code.

    If you made the folder, run the command that the message shows; if you trust those who did, set `trust_store=True`. Nothing
    of it was loaded.
    """


class MissingExtraError(SkipstoneError, ImportError):
    """An optional dependency is needed and not installed.

    The message says what to install: `pip install "skipstone[...]"`.
    """


class SkipstoneWarning(UserWarning):
    """Base of every warning that skipstone gives."""


class SaveWarning(SkipstoneWarning):
    """A result was returned but could not be kept.

    Given once per function and cause. The message names the part of the result that cannot be serialized, or the
    store's problem. Return plain data, choose another serializer, or free the disk; `on_save_error="raise"` turns it into an
    error.
    """


class LoadWarning(SkipstoneWarning):
    """A stored result could not be used, so the call runs again.

    The message says why: a class that no longer exists, another `signing_key` or `encryption_key`, a serializer that is not
    at hand. If a key is missing, the stored result stays, and is found again with the key; otherwise the new result
    replaces it.
    """


class DamagedRecordWarning(LoadWarning):
    """The bytes of a stored result are not those that were saved.

    If one of several stores has an intact copy, the copy replaces it. Otherwise the call runs again, and its result
    replaces it. Look for more damage with `skipstone verify`, and check the disk.
    """


class DamagedStoreWarning(SkipstoneWarning):
    """A store's database was damaged; what could be read was carried over into a new one.

    Missing results are computed again. The damaged database stays beside the new one, as `records.damaged-<time>.sqlite3`:
    delete it when you no longer need it.
    """


class CodeChangedWarning(SkipstoneWarning):
    """A stored result was made by other code than the present.

    Given once per function, with what changed. If the stored results are still right, call `checkpoint.accept(function)`. If
    not, set `on_code_change="rerun"`, give another `version=`, or call `checkpoint.clear(function)`.
    """


class CheckWarning(SkipstoneWarning):
    """Base of the warnings of `check_calls` and `audit`.

    In tests, turn it into an error: `warnings.simplefilter("error", CheckWarning)`.
    """


class DifferentArgumentsWarning(CheckWarning):
    """A call got the result of a call with other arguments, because both have the same id.

    The message names what differs. Mention it in the id, or `ignore` it if it does not matter; then clear the results of
    the function.
    """


class ChangedArgumentWarning(CheckWarning):
    """A function changed its arguments in place, which a hit does not do.

    Return the changed value instead, or work on a copy.
    """


class ChangedGlobalWarning(CheckWarning):
    """A function reads a global variable that had another value when its stored result was made.

    Pass it as an argument and mention it in the id, or make it a constant.
    """


class RoundTripWarning(CheckWarning):
    """A result does not come back from the store as it was.

    Annotate the function's return type, return something that the serializer can restore, or use the pickle serializer.
    """


class AuditWarning(CheckWarning):
    """A call was run again, and its result is not the stored one.

    The function is not deterministic, or it reads something that its id does not mention: a file, the clock, a service.
    Mention that in the id, or give the function `expires_seconds`.
    """


class UnsafeStoreWarning(SkipstoneWarning):
    """Pickles are loaded from a store that others may write to: anyone who can write there can run code here.

    Set a `signing_key` or an `encryption_key`, or `serializer="msgpack"` or `"json"`. If only people can write there whom you
    would let run code on your machine, set `trust_store=True`.
    """


class NetworkFileSystemWarning(SkipstoneWarning):
    """A local store is on a network file system.

    It works, with one file per record, and leases instead of locks. If only one machine uses it, point `artifacts_dir`
    to a local disk, which is quicker.
    """


class NoteWarning(SkipstoneWarning):
    """Numbers were noted while no call is under way.

    Call `note` inside a decorated function, or inside one that `load_or_run` or `map` calls. In a thread that a call starts,
    run the function by `contextvars.copy_context().run`.
    """


class StoreUnavailableWarning(SkipstoneWarning):
    """The store does not answer; calls run and their results are still returned.

    Given once per cause. Results are not kept in the store meanwhile, unless a nearer store notes them. Fix the cause: the
    store is used again as soon as it answers.
    """


def warn(message: str, category: type[SkipstoneWarning]) -> None:
    """Give a warning that points at the line of the user's that led here, not at one of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{_PACKAGE}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


_PACKAGE = __name__.partition(".")[0]


def check_count(name: str, count: Any) -> None:
    """Refuse what is no number of things.

    Raises:
        ValueError: It is not a whole number of at least 1.
    """
    if not hasattr(type(count), "__index__") or count < 1:
        message = f"{name} is {count!r}, expected a whole number, at least 1"
        raise ValueError(message)
