"""Results that others have stored are taken over: one pickle per call, joblib.Memory, diskcache.

They are pickles, so importing them runs whatever code they name: only for folders that you trust. A result goes to the
call that the function as it is now would make; where the arguments cannot be told from what was stored, it is left out.
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
    """How many results were passed over, because the call already has one."""
    not_there: int
    """How many ids have no stored result; only for `import_pickles`."""
    left_out: int
    """How many results were left out, because their call cannot be told or they cannot be loaded."""
    reasons: list[str]
    """Why, for the first twenty of these."""


def import_pickles(
    folder: str | os.PathLike[str],
    function: Callable[..., Any],
    ids: Iterable[str],
    *,
    checkpoint: Checkpoint | None = None,
) -> Imported:
    """Import results that are stored as one pickle per call: `<function>___<SHA-256 of the id>.pkl`.

    A file does not reveal its id, so you have to give the ids of your data.

    Args:
        folder: Where the files are. They are unpickled, which runs whatever code they name.
        function: The function as your code has it now, decorated or not. The files' names contain its name.
        ids: The ids that the calls had, and have.
        checkpoint: The checkpoint to import into; by default the current one.

    Raises:
        TypeError: `function` is a generator function.
        SkipstoneError: The folder does not exist.
        StoreError: The store does not do what is asked.
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
    """Import results of a `joblib.Memory`.

    joblib keeps the arguments of a call as the texts that `repr` made of them. If these are literals (numbers, texts, lists,
    dicts, …), the call can be told; if they are not (arrays, models, objects), it cannot. An ignored argument is not stored
    at all: the call can be told if its id does not need it.

    Args:
        folder: The `location` of the Memory. Its results are unpickled, which runs whatever code they name.
        function: The function as your code has it now, decorated or not; found there by its name and module.
        checkpoint: The checkpoint to import into; by default the current one.

    Raises:
        MissingExtraError: joblib is not installed.
        SkipstoneError: The folder has nothing of this function, or has several functions that it could be.
    """
    return _imported(function, in_joblib(os.fspath(folder), known(function)[1]), checkpoint)


def import_diskcache(
    folder: str | os.PathLike[str],
    function: Callable[..., Any],
    *,
    name: str | None = None,
    checkpoint: Checkpoint | None = None,
) -> Imported:
    """Import results of `diskcache.Cache.memoize`.

    diskcache keeps the arguments of a call, so the call can be told, unless `ignore` left some out that its id needs. Values
    stored by `cache[key] = value` belong to no function, and are not looked at; nor are expired values, or those of a
    `Disk` of your own.

    Args:
        folder: The folder of the Cache or FanoutCache. Keys and values are unpickled, which runs whatever code they name.
        function: The function as your code has it now, decorated or not.
        name: The name that was given to `memoize`; by default the function's full name.
        checkpoint: The checkpoint to import into; by default the current one.

    Raises:
        SkipstoneError: The folder is not one of diskcache, or has nothing of this name.
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
        except Exception as error:  # noqa: BLE001 - an id is whatever the user's code makes of arguments
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
