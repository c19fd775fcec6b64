"""`cache_with_checkpoint`: a function whose calls are looked up before they run."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from ._current import get_checkpoint
from ._engine._call import Call
from ._engine._streams import stream
from ._functions._call_id import compile_id
from ._functions._function import KnownFunction
from ._functions._unstable import check_id_function, check_repeats

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class CheckpointedFunction(Generic[P, R]):
    """What type checkers see in a decorated function. At run time it is a plain function."""

    __wrapped__: Callable[P, R]
    """The undecorated function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stored result, or run the call and store its result."""
        raise NotImplementedError

    @overload
    def __get__(self, instance: None, owner: type, /) -> CheckpointedFunction[P, R]: ...
    @overload
    def __get__(
        self: CheckpointedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> Callable[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Bind a method."""
        raise NotImplementedError

    def is_done(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Tell whether this call would return a stored result."""
        raise NotImplementedError

    def rerun(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run this call even if it is done, and replace the stored result."""
        raise NotImplementedError

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the stored result of this call; return whether there was one."""
        raise NotImplementedError


class EachDecorator(Protocol):
    """What type checkers see in `cache_with_checkpoint(each=...)`: the results of a call are always a list."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Iterable[R]]], /
    ) -> CheckpointedFunction[P, Coroutine[Any, Any, list[R]]]: ...
    @overload
    def __call__(self, function: Callable[P, Iterable[R]], /) -> CheckpointedFunction[P, list[R]]: ...


@overload
def cache_with_checkpoint(function: Callable[P, R], /) -> CheckpointedFunction[P, R]: ...
@overload
def cache_with_checkpoint(
    *,
    id: str | Callable[..., object] | None = None,
    each: None = None,
    name: str | None = None,
    version: str | int | None = None,
    on_code_change: Literal["warn", "rerun", "ignore"] | None = None,
    ignore: Collection[str] = (),
    packages: Collection[str] = (),
    expires_seconds: float | None = None,
) -> Callable[[Callable[P, R]], CheckpointedFunction[P, R]]: ...
@overload
def cache_with_checkpoint(
    *,
    id: str | Callable[..., object] | None = None,
    each: str,
    name: str | None = None,
    version: str | int | None = None,
    on_code_change: Literal["warn", "rerun", "ignore"] | None = None,
    ignore: Collection[str] = (),
    packages: Collection[str] = (),
    expires_seconds: float | None = None,
) -> EachDecorator: ...
def cache_with_checkpoint(
    function: Any = None,
    /,
    *,
    id: str | Callable[..., object] | None = None,
    each: str | None = None,
    name: str | None = None,
    version: str | int | None = None,
    on_code_change: Literal["warn", "rerun", "ignore"] | None = None,
    ignore: Collection[str] = (),
    packages: Collection[str] = (),
    expires_seconds: float | None = None,
) -> Any:
    """Keep a function's results at the current checkpoint: a call that is done is not run again.

    Works on functions, methods, class and static methods, coroutine functions, and generator functions, sync and async.
    A generator function is saved item by item, and a call of it is done once it is exhausted. The checkpoint is looked up
    at each call. The decorated function has `is_done`, `rerun` and `forget`, which take the same arguments and ask about one
    call or act on it (for methods, through the class: `Reader.embed.is_done(reader, doc)`). Its `__wrapped__` is the
    undecorated function.

    Args:
        function: Given if you write the decorator without parentheses; all arguments are then the id.
        id: What identifies a call: an expression over the parameters, such as `"doc.id"`; or a callable with the same
            parameters; or None, for the content of all arguments.
        each: The parameter that takes items (a list, or any iterable), for a function that returns a list of their
            results. Each item has an id, a record and a failure of its own. The function gets a list of the missing
            items, and a call returns the results of all. The expression of `id` mentions one item, under any name:
            `id="doc.id", each="docs"`; in a callable, the parameter stands for an item. `is_done` tells whether all
            items are done, `forget` whether one was stored; `map` takes single items, and runs them in batches.
        name: The function's name in keys and listings, by default `module.qualname`. After a move or rename, give the
            old name.
        version: Results of different versions do not mix.
        on_code_change: Overrides the config's setting for this function.
        ignore: Parameters that do not matter, such as a logger or a client, if the id is the content of all arguments.
        packages: Names of installed packages, as pip knows them, whose versions count as code of this function. Without
            it, installed packages count by the names that you use from them.
        expires_seconds: How old a stored result may be to be returned, in seconds; overrides the config's setting. An older
            result is replaced.

    Raises:
        IdExpressionError: The expression has a syntax error, or names something that is not a parameter; or it does not
            mention the item, or `each` is not a parameter; or the callable asks for the time, a random number or a hash.
        ValueError: A package is not installed.
        TypeError: The decorated object is not a Python function, or is a generator function with `each`.
    """
    if on_code_change not in (None, "warn", "rerun", "ignore"):
        message = f"on_code_change is {on_code_change!r}, expected 'warn', 'rerun' or 'ignore'"
        raise ValueError(message)
    if expires_seconds is not None and not (isinstance(expires_seconds, (int, float)) and expires_seconds >= 0):
        message = f"expires_seconds is {expires_seconds!r}, expected a number of seconds or None"
        raise ValueError(message)

    if name is not None and not (isinstance(name, str) and name):
        message = f"name is {name!r}, expected a text, such as 'project.embed'"
        raise ValueError(message)
    ignored = (ignore,) if isinstance(ignore, str) else ignore
    versions = _versions_of((packages,) if isinstance(packages, str) else packages) if packages else None

    def decorate(function: Any) -> Any:
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(decorate(function.__func__))
        _check(function)
        known = KnownFunction(
            function,
            name=name,
            version=None if version is None else str(version),
            on_code_change=on_code_change,
            ignore=ignored,
            packages=versions,
        )
        known.expires_seconds = expires_seconds
        id_of = compile_id(function, id, each=each, ignore=ignored)
        check_id_function(known, id)
        if each is None:
            decorated, calls_of, rerun = _decorated(function, known, id_of)
        elif known.is_generator:
            message = f"{known.name} is a generator function: each={each!r} is for one that returns a list"
            raise TypeError(message)
        else:
            from ._maps._each import decorated_each  # it imports much

            decorated, calls_of, rerun = decorated_each(function, known, each, id_of)
        _add_methods(decorated, calls_of, rerun)
        known.stands_behind(decorated, id_of)
        return decorated

    return decorate if function is None else decorate(function)


def _versions_of(packages: Iterable[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # it imports much

    try:
        return {name: version(name) for name in packages}
    except PackageNotFoundError as error:
        message = f"packages names {error.name!r}, which is not installed: give names as pip knows them"
        raise ValueError(message) from None


def _check(function: Any) -> None:
    if isinstance(function, str):
        message = f"write cache_with_checkpoint(id={function!r}): the id is a keyword argument"
        raise TypeError(message)
    if not isinstance(function, types.FunctionType):
        message = f"cache_with_checkpoint decorates Python functions, not {type(function).__qualname__} objects"
        raise TypeError(message)


def _decorated(
    function: Callable[..., Any], known: KnownFunction, compiled: Callable[..., object]
) -> tuple[Any, Callable[..., list[Call]], Callable[..., Any]]:
    """Return what stands for a function, what makes a call of arguments, and what runs it even if it is done."""
    id_of: Callable[..., object]

    def first_id(*args: Any, **kwargs: Any) -> object:
        """Make the id of the first call in this process, twice; those after it are made once."""
        nonlocal id_of
        call_id, id_of = check_repeats(known, compiled, args, kwargs), compiled
        return call_id

    id_of = first_id
    if known.is_async:

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            return await get_checkpoint()._load_or_run_async(known, function, id_of(*args, **kwargs), args, kwargs)

        decorated: Any = functools.wraps(function)(run_async)
    elif known.is_generator:

        def run_stream(*args: Any, **kwargs: Any) -> Any:
            return get_checkpoint()._stream(known, function, id_of(*args, **kwargs), args, kwargs)

        decorated = functools.wraps(function)(run_stream)
    else:

        def run(*args: Any, **kwargs: Any) -> Any:
            return get_checkpoint()._load_or_run(known, function, id_of(*args, **kwargs), args, kwargs)

        decorated = functools.wraps(function)(run)

    def calls_of(args: Any, kwargs: Any) -> list[Call]:
        call_id = compiled(*args, **kwargs)
        return [Call(known, known.key(call_id), call_id, function, args, kwargs)]

    def rerun(*args: Any, **kwargs: Any) -> Any:
        engine, (call,) = get_checkpoint()._engine, calls_of(args, kwargs)
        if known.is_generator:
            return stream(engine, call, replace=True)
        return engine.run_async(call, replace=True) if known.is_async else engine.run(call, replace=True)

    return decorated, calls_of, rerun


def _add_methods(decorated: Any, calls_of: Callable[..., list[Call]], rerun: Callable[..., Any]) -> None:
    """Let a decorated function ask and act on one call, which may be several: one for each item."""

    def is_done(*args: Any, **kwargs: Any) -> bool:
        engine = get_checkpoint()._engine
        return all(engine.is_done(call.function, call.key, call.id) for call in calls_of(args, kwargs))

    def forget(*args: Any, **kwargs: Any) -> bool:
        keys = [call.key for call in calls_of(args, kwargs)]
        return get_checkpoint()._engine.contents.forget(keys) > 0

    decorated.is_done, decorated.rerun, decorated.forget = is_done, rerun, forget
