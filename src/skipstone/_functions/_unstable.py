"""Refuse ids that another process would not make again: results would never be found, or be those of other calls."""

from __future__ import annotations

import builtins
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from .._errors import IdExpressionError, UnstableIdError
from .._naming import shortened
from ._function import KnownFunction

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
_MOST_LEVELS, _MOST_ITEMS = 4, 100
_SMALL = 1 << 32  # only one hash of a text in billions is smaller
_CHANGING = {
    "builtins.hash",
    "builtins.id",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.getpid",
    "os.urandom",
    "posix.getpid",
    "posix.urandom",
    "uuid.getnode",
    "uuid.uuid1",
    "uuid.uuid4",
    *(
        f"time.{name}"
        for name in ("gmtime", "localtime", "monotonic", "monotonic_ns", "perf_counter", "time", "time_ns")
    ),
}
_CHANGING_MODULES = ("random.", "secrets.", "numpy.random.mtrand.")


def check_id_function(function: KnownFunction, id: object) -> None:
    """Refuse a callable that makes ids from something that differs from process to process.

    Raises:
        IdExpressionError: The callable uses `hash`, the time, or a random number.
    """
    if not isinstance(id, types.FunctionType):
        return
    from ._syntax import read, source_of

    source = source_of(id.__code__.co_filename, id.__globals__)
    for definition in source.definitions_of(id.__code__):
        for chain in read(definition)[1]:
            name = _full_name(chain, id.__globals__)
            if name in _CHANGING or name.startswith(_CHANGING_MODULES):
                message = (
                    f"the id of a call of {function.name} may not depend on {'.'.join(chain)}: its value differs from "
                    f"process to process, so that no result would be found again. Make the id of what identifies the "
                    f"call"
                )
                raise IdExpressionError(message)


def _full_name(chain: Sequence[str], namespace: dict[str, Any]) -> str:
    """Return the module and name of the function that a dotted name refers to, or an empty text if that is unclear."""
    value: Any = namespace.get(chain[0], getattr(builtins, chain[0], None))
    for name in chain[1:]:
        if not isinstance(value, (types.ModuleType, type)):
            return ""
        value = getattr(value, name, None)
    if isinstance(value, type):
        return ""  # a class, such as `random.Random`, which may be given a seed
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.FunctionType) or owner is None:
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    if isinstance(owner, types.ModuleType):
        return f"{owner.__name__}.{value.__name__}"
    cls = owner if isinstance(owner, type) else type(owner)
    return f"{cls.__module__}.{cls.__qualname__}.{getattr(value, '__name__', '')}"


def check_repeats(
    function: KnownFunction, id_of: Callable[..., object], args: Sequence[Any], kwargs: dict[str, Any]
) -> object:
    """Make the id of a call twice, and return it.

    Raises:
        UnstableIdError: The two ids differ.
    """
    call_id, again = id_of(*args, **kwargs), id_of(*args, **kwargs)
    if function.key(call_id) != function.key(again):
        message = (
            f"the id of a call of {function.name}, made twice from the same arguments, is {shortened(call_id)!r} and then "
            f"{shortened(again)!r}: it depends on the time, on chance, on something that is counted, or uses an iterator "
            f"up. Make it of what identifies the call"
        )
        raise UnstableIdError(message)
    return call_id


def check_id(function: KnownFunction, call_id: object, arguments: Sequence[object]) -> None:
    """Refuse an id that would lead to another call's result in another process.

    Args:
        function: The function that is called.
        call_id: The id of the call.
        arguments: The arguments of the call. An address in a text among them is data, such as a line of a log.

    Raises:
        UnstableIdError: The id has the address of an object in it, as the default `repr` does, or is the hash of a
            text.
    """
    if type(call_id) is str and " at 0x" not in call_id:
        return  # as for nearly all calls
    for text in _texts_in([call_id]):
        addresses = _ADDRESS.findall(text) if " at 0x" in text else ()
        if addresses and not all(any(address in each for each in _texts_in(arguments)) for address in addresses):
            message = (
                f"the id {shortened(text)!r} of a call of {function.name} has the address of an object in it, which "
                f"another object has in another run: use an attribute that identifies the object"
            )
            raise UnstableIdError(message)
    if type(call_id) is int and abs(call_id) > _SMALL and sys.flags.hash_randomization:
        hashed = next((text for text in _texts_in(arguments) if hash(text) == call_id), None)
        if hashed is not None:
            message = (
                f"the id {call_id} of a call of {function.name} is hash({shortened(hashed)!r}), which is another number in "
                f"each process: use the text itself"
            )
            raise UnstableIdError(message)


def check_ids(function: KnownFunction, ids: Sequence[object], arguments: Sequence[Sequence[object]]) -> None:
    """Refuse ids if any of them would lead to another call's result in another process; see `check_id`."""
    kinds, plain = set(map(type, ids)), cast("Any", ids)
    if kinds == {str} and " at 0x" not in "".join(plain):
        return  # as for nearly all maps; checked in C
    if kinds == {int} and max(map(abs, plain)) <= _SMALL:
        return
    for call_id, given in zip(ids, arguments, strict=True):
        check_id(function, call_id, given)


def _texts_in(values: Iterable[object], levels: int = _MOST_LEVELS) -> Iterator[str]:
    """Yield the texts among some values, in their containers, and in their attributes."""
    for value in values:
        kind = type(value)
        if kind is str:
            text: Any = value
            yield text
        elif levels:
            items: Any = value
            if kind is dict:
                yield from _texts_in([*items.keys(), *items.values()][:_MOST_ITEMS], levels - 1)
            elif kind is tuple or kind is list:
                yield from _texts_in(items[:_MOST_ITEMS], levels - 1)
            else:
                yield from _texts_in(list(getattr(value, "__dict__", {}).values())[:_MOST_ITEMS], levels - 1)
