"""Find results that joblib.Memory and diskcache have stored, and the calls that they belong to."""

from __future__ import annotations

import ast
import glob
import inspect
import json
import os
import pickle
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from ._errors import MissingExtraError, SkipstoneError
from ._functions._call_id import compile_id
from ._functions._function import KnownFunction

_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4  # modes of diskcache.core


class Found(NamedTuple):
    """A stored result."""

    where: str
    """Where it was found, for people."""
    id_for: Callable[[KnownFunction], object]
    """Returns the call id.

    Raises:
        Exception: The id cannot be made from what was stored.
    """
    load: Callable[[], object]
    """Returns the result. It may run code.

    Raises:
        Exception: The result cannot be loaded.
    """
    duration_seconds: float = 0.0
    created_at_seconds: float = 0.0


class _Unknown:
    """Stands for an argument that was not stored, and raises if the id needs it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        return self.__skipstone_id__()

    def __skipstone_id__(self) -> object:
        message = f"the id needs {self._name}, which was not stored"
        raise LookupError(message)


def in_joblib(location: str, function: Callable[..., Any]) -> Iterator[Found]:
    """Yield the stored results of a function in a joblib.Memory."""
    try:
        import joblib
    except ImportError as error:
        message = "importing from joblib.Memory needs joblib: pip install joblib"
        raise MissingExtraError(message) from error
    for path in sorted(glob.glob("*/output.pkl", root_dir=_joblib_folder(location, function))):
        folder = os.path.join(_joblib_folder(location, function), os.path.dirname(path))
        try:
            with open(os.path.join(folder, "metadata.json"), encoding="utf-8") as file:
                metadata = json.load(file)
        except (OSError, ValueError):
            metadata = {}
        yield Found(
            folder,
            _id_from_texts(function, metadata.get("input_args")),
            partial(joblib.load, os.path.join(folder, "output.pkl")),
            float(metadata.get("duration", 0.0)),
            float(metadata.get("time", 0.0)),
        )


def _joblib_folder(location: str, function: Callable[..., Any]) -> str:
    """Return the folder of a function, whose path ends with the function's module and name."""
    marks = glob.glob(f"**/{glob.escape(function.__name__)}/func_code.py", root_dir=location, recursive=True)
    folders = [os.path.join(location, os.path.dirname(mark)) for mark in marks]
    if len(folders) > 1:
        module = os.path.join(*function.__module__.split("."))
        folders = [each for each in folders if os.path.dirname(each).endswith(module)] or folders
    if len(folders) == 1:
        return folders[0]
    there = ", ".join(sorted(folders)) or "nothing"
    message = (
        f"{location} has {there} of {function.__name__}: give the folder that joblib.Memory has of this function"
    )
    raise SkipstoneError(message)


def _id_from_texts(
    function: Callable[..., Any], texts: dict[str, str] | None
) -> Callable[[KnownFunction], object]:
    def id_for(known: KnownFunction) -> object:
        if texts is None:
            message = "its metadata.json is missing or damaged"
            raise LookupError(message)
        arguments: dict[str, object] = {}
        for name, text in texts.items():
            try:
                arguments[name] = ast.literal_eval(text)
            except (ValueError, SyntaxError) as error:
                message = f"{name} was kept as {text[:60]!r}, which is no literal"
                raise LookupError(message) from error
        return _id_of(known, function, (), arguments)

    return id_for


def _id_of(
    known: KnownFunction, function: Callable[..., Any], args: Sequence[object], kwargs: dict[str, object]
) -> object:
    """Return the id of a call; `_Unknown` stands for arguments that are missing."""
    signature = inspect.signature(function)
    bound = signature.bind_partial(
        *args, **{name: each for name, each in kwargs.items() if name in signature.parameters}
    )
    extra = {name: each for name, each in kwargs.items() if name not in signature.parameters}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[name] = {**bound.arguments.get(name, {}), **extra}
            extra = {}
        elif (
            name not in bound.arguments
            and parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            bound.arguments[name] = _Unknown(name)
    if extra:
        message = f"{function.__name__} has no parameter {', '.join(extra)} (any more)"
        raise LookupError(message)
    bound.arguments = {name: bound.arguments[name] for name in signature.parameters if name in bound.arguments}
    id_of = known.id_of or compile_id(cast("FunctionType", function), None)
    return id_of(*bound.args, **bound.kwargs)


def in_diskcache(folder: str, function: Callable[..., Any], name: str | None) -> Iterator[Found]:
    """Yield the results of a function that diskcache's `memoize` has stored."""
    databases = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "cache.db"), recursive=True))
    if not databases:
        message = f"{folder} is no folder of diskcache: it has no cache.db"
        raise SkipstoneError(message)
    names = (
        {name} if name else {f"{function.__module__}.{function.__qualname__}", f"__main__.{function.__qualname__}"}
    )
    is_any = False
    for path in databases:
        for found in _in_database(path, function, names):
            is_any = True
            yield found
    if not is_any:
        message = (
            f"{folder} has nothing, or only what has expired, that memoize stored under {' or '.join(sorted(names))}: "
            f"import_diskcache(..., name=...) says what memoize was given"
        )
        raise SkipstoneError(message)


def _in_database(path: str, function: Callable[..., Any], names: set[str]) -> Iterator[Found]:
    # Without a log, the database is read as immutable, since SQLite would otherwise create a log's index beside it.
    has_log = os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") > 0
    connection = sqlite3.connect(
        f"file:{quote(os.path.abspath(path))}?{'mode=ro' if has_log else 'immutable=1'}", uri=True
    )
    try:
        rows = connection.execute(
            "SELECT rowid, key, store_time, mode, filename, value FROM Cache WHERE raw = 0 "
            "AND (expire_time IS NULL OR expire_time > ?) ORDER BY rowid",
            (time.time(),),
        ).fetchall()
    except sqlite3.Error as error:
        message = f"{path} cannot be read: {error}"
        raise SkipstoneError(message) from error
    finally:
        connection.close()
    for number, pickled, stored_at, mode, filename, value in rows:
        try:
            key = pickle.loads(pickled)
        except Exception:  # noqa: BLE001, S112 - the key is not of memoize, or of another `Disk`
            continue
        if isinstance(key, tuple) and key and key[0] in names:
            yield Found(
                f"{path} row {number}",
                partial(_id_from_key, function=function, rest=key[1:]),
                _loader(os.path.dirname(path), mode, filename, value),
                created_at_seconds=float(stored_at or 0.0),
            )


def _loader(folder: str, mode: int, filename: str | None, value: Any) -> Callable[[], object]:
    def load() -> object:
        content = value
        if filename is not None:
            with open(os.path.join(folder, filename), "rb") as file:
                content = file.read()
        if mode == _PICKLE:
            return pickle.loads(content)
        if mode == _TEXT:
            return content.decode()
        if mode in (_RAW, _BINARY):
            return content
        message = f"its mode {mode} is not known"
        raise LookupError(message)

    return load


def _id_from_key(known: KnownFunction, *, function: Callable[..., Any], rest: tuple[object, ...]) -> object:
    """Return the id of a call from a key: positional arguments, None, names and values, and types with `typed`."""
    ids: list[object] = []
    for at in (number for number, each in enumerate(rest) if each is None):
        args, tail = rest[:at], rest[at + 1 :]
        for pairs in _pairs(tail, len(args)):
            try:
                inspect.signature(function).bind_partial(*args, **pairs)
            except TypeError:
                continue
            found = _id_of(known, function, args, pairs)
            if found not in ids:
                ids.append(found)
    if len(ids) != 1:
        message = (
            "its arguments fit the function in several ways" if ids else "its arguments do not fit the function"
        )
        raise LookupError(message)
    return ids[0]


def _pairs(tail: tuple[object, ...], positional: int) -> Iterator[dict[str, object]]:
    """Yield possible readings of a key's end: names and values in turn, perhaps followed by the types of all arguments."""
    for count in {len(tail) // 2, (len(tail) - positional) // 3}:
        types = tail[2 * count :]
        names = tail[: 2 * count : 2]
        if len(types) in (0, positional + count) and all(isinstance(each, type) for each in types):
            texts = [name for name in names if isinstance(name, str)]
            if len(texts) == count:
                yield dict(zip(texts, tail[1 : 2 * count : 2], strict=True))
