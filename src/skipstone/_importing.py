"""Import results that other libraries have stored: one pickle per call, joblib.Memory, diskcache.

They are pickles, so importing them runs whatever code they name: do so only from folders that you trust. A result is
stored for the call that the present function would make; if its arguments cannot be reconstructed, it is left out.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from ._checkpoint import Checkpoint
from ._current import get_checkpoint
from ._engine._engine import Engine
from ._engine._saving import CALL_ID_CHARACTERS
from ._errors import SkipstoneError
from ._foreign import Found, in_diskcache, in_joblib
from ._functions._function import KnownFunction, known
from ._naming import shortened
from ._record import Key, Record

_AT_ONCE = 200
_MOST_REASONS = 20


class Imported(NamedTuple):
    """What an import did."""

    results: int
    """How many results were imported."""
    already_there: int
    """How many were passed over because their call has a result already."""
    not_there: int
    """How many ids have no stored result; only for `import_pickles`."""
    left_out: int
    """How many were left out because their call is unclear or they cannot be loaded."""
    reasons: list[str]
    """The reasons for the first twenty of these."""


def import_pickles(
    folder: str | os.PathLike[str],
    function: Callable[..., Any],
    ids: Iterable[str],
    *,
    checkpoint: Checkpoint | None = None,
) -> Imported:
    """Import results kept as one pickle per call: `<function>___<SHA-256 of the id>.pkl`.

    A file does not contain its id, so give the ids of your data.

    Args:
        folder: The folder with the files. They are unpickled, which runs whatever code they name.
        function: The present function, decorated or not. Its name is expected in the names of the files.
        ids: The ids of the calls, then as now.
        checkpoint: Where the results go; by default the current checkpoint.

    Raises:
        TypeError: `function` is a generator function.
        SkipstoneError: There is no such folder.
        StoreError: The store does not work.
    """
    if not os.path.isdir(folder):
        message = f"{os.fspath(folder)} is no folder"
        raise SkipstoneError(message)
    name = known(function)[1].__name__

    def found() -> Iterator[Found | None]:
        for call_id in ids:
            digest = sha256(call_id.encode()).hexdigest()
            path = os.path.join(folder, f"{name}___{digest}.pkl")
            yield _pickled(path, call_id) if os.path.exists(path) else None

    return _imported(function, found(), checkpoint)


def import_joblib(
    folder: str | os.PathLike[str], function: Callable[..., Any], *, checkpoint: Checkpoint | None = None
) -> Imported:
    """Import the results of a `joblib.Memory`.

    It keeps the `repr` of a call's arguments. If these are literals (numbers, texts, lists, dicts, …), the call can be
    reconstructed; if they are not (arrays, models, objects), it cannot. Ignored arguments are not kept at all, so a call
    can be reconstructed only if its id does not need them.

    Args:
        folder: The `location` of the Memory. Its results are unpickled, which runs whatever code they name.
        function: The present function, decorated or not. Its results are found by its name and module.
        checkpoint: Where the results go; by default the current checkpoint.

    Raises:
        MissingExtraError: joblib is not installed.
        SkipstoneError: There is nothing of this function, or of more than one function that it could be.
    """
    return _imported(function, in_joblib(os.fspath(folder), known(function)[1]), checkpoint)


def import_diskcache(
    folder: str | os.PathLike[str],
    function: Callable[..., Any],
    *,
    name: str | None = None,
    checkpoint: Checkpoint | None = None,
) -> Imported:
    """Import the results of `diskcache.Cache.memoize`.

    It keeps the arguments of a call, so the call can be reconstructed unless its id needs some that `ignore` left out.
    Values stored by `cache[key] = value`, which belong to no function, expired values, and values of a custom `Disk` are
    passed over.

    Args:
        folder: The folder of the Cache or FanoutCache. Its keys and values are unpickled, which runs whatever code they
            name.
        function: The present function, decorated or not.
        name: The name that was given to `memoize`; by default the function's full name.
        checkpoint: Where the results go; by default the current checkpoint.

    Raises:
        SkipstoneError: The folder is not one of diskcache, or has nothing under this name.
    """
    return _imported(function, in_diskcache(os.fspath(folder), known(function)[1], name), checkpoint)


def _pickled(path: str, call_id: str) -> Found:
    def load() -> object:
        with open(path, "rb") as file:
            return pickle.load(file)

    return Found(path, lambda _: call_id, load, created_at_seconds=os.stat(path).st_mtime)


def _imported(
    function: Callable[..., Any], found: Iterable[Found | None], checkpoint: Checkpoint | None
) -> Imported:
    target, _ = known(function)
    if target.is_generator:
        message = f"{target.name} is a generator function: results of those are not imported"
        raise TypeError(message)
    engine = (checkpoint or get_checkpoint())._engine
    if not isinstance(engine, Engine):
        message = "this checkpoint stores nothing: use_checkpoints is off"
        raise SkipstoneError(message)
    taking = _Taking(engine, target)
    for each in found:
        taking.take(each)
    return taking.done()


class _Taking:
    """One import."""

    def __init__(self, engine: Engine, function: KnownFunction) -> None:
        self._engine = engine
        self._function = function
        self._waiting: dict[Key, tuple[Found, object]] = {}
        self._results = self._already_there = self._not_there = self._left_out = 0
        self._reasons: list[str] = []

    def take(self, found: Found | None) -> None:
        if found is None:
            self._not_there += 1
            return
        try:
            call_id = found.id_for(self._function)
            key = self._function.key(call_id)
        except Exception as error:  # noqa: BLE001 - making an id runs the user's code, which raises what it likes
            self._leave_out(found, f"its call cannot be told: {error}")
            return
        self._waiting[key] = (found, call_id)
        if len(self._waiting) >= _AT_ONCE:
            self._keep()

    def done(self) -> Imported:
        self._keep()
        return Imported(self._results, self._already_there, self._not_there, self._left_out, self._reasons)

    def _keep(self) -> None:
        there = self._engine._store.present(list(self._waiting))
        self._already_there += len(there)
        records: list[Record] = []
        for key, (found, call_id) in self._waiting.items():
            if key not in there and (record := self._record(key, found, call_id)) is not None:
                records.append(record)
        self._waiting = {}
        kept = self._engine._store.put_many(records)
        self._results += len(kept)
        self._already_there += len(records) - len(kept)

    def _record(self, key: Key, found: Found, call_id: object) -> Record | None:
        codec = self._engine._codec
        try:
            payload, encoding = codec.encode(found.load(), self._function)
        except Exception as error:  # noqa: BLE001 - a pickle raises what it likes
            self._leave_out(found, f"it cannot be loaded and kept: {type(error).__name__}: {error}")
            return None
        return codec.seal(
            Record(
                key,
                b"",
                self._engine._origins.of(self._function, encoding),
                found.duration_seconds,
                payload,
                shortened(call_id, CALL_ID_CHARACTERS),
                found.created_at_seconds or time.time(),
            )
        )

    def _leave_out(self, found: Found, reason: str) -> None:
        self._left_out += 1
        if len(self._reasons) < _MOST_REASONS:
            self._reasons.append(f"{found.where}: {shortened(reason, 300)}")


for _public in (Imported, import_pickles, import_joblib, import_diskcache):
    _public.__module__ = "skipstone"
