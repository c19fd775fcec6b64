"""The details in a record: the arguments of its call, each as a digest and a short text."""

from __future__ import annotations

import functools
import types
from itertools import islice
from reprlib import Repr
from typing import Any

from xxhash import xxh3_64_digest

from .._errors import UnstableIdError
from .._functions._canonical import canonical, without_form
from .._naming import qualified_name, shortened
from .._record import ARGUMENTS

_MOST_PARTS = 1000  # of an argument are digested, which takes about a millisecond
_TEXT_CHARACTERS = 60
_MOST_ARGUMENTS = 32
_LARGE = 1 << 64
_VARARGS = 0x04  # inspect.CO_VARARGS: importing inspect costs 10 ms
_SECRETS = {"password", "passwd", "secret", "secrets", "token", "credential", "credentials", "apikey"}
_BOUND = (functools.partial, types.MethodType)
_PLAIN = (str, bytes, int, float, bool, type(None))


def details_of(call: Any) -> dict[str, Any]:
    """Return the details of a call that is about to run."""
    about = summarized(arguments_of(call), most=_MOST_PARTS)
    return {ARGUMENTS: about} if about else {}


def arguments_of(call: Any) -> dict[str, object]:
    """Return the arguments of a call by name of parameter, without the ignored ones."""
    function, method, args, kwargs = call.function, call.method, call.args, call.kwargs
    while isinstance(method, _BOUND):
        if isinstance(method, functools.partial):
            args, kwargs, method = (*method.args, *args), {**method.keywords, **kwargs}, method.func
        else:
            args, method = (method.__self__, *args), method.__func__
    if type(method) is types.FunctionType and method is function.call:
        found = _by_name(method, function.positional, args, kwargs)
    else:  # not a Python function, or one that takes a list, of which this call is one item
        names = [function.each] if function.each else map(str, range(len(args)))
        found = {**dict(zip(names, args, strict=False)), **kwargs}
    ignored = function.ignore
    return {name: value for name, value in found.items() if name not in ignored} if ignored else found


def _by_name(
    function: types.FunctionType, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, object]:
    """Return all arguments, including defaults, as far as they fit; if they do not, the call itself raises."""
    found: dict[str, object] = dict(zip(names, args, strict=False))
    found.update(kwargs)
    if len(args) < len(names):
        defaults = function.__defaults__ or ()
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            found.setdefault(name, default)
    if function.__kwdefaults__:
        for name, default in function.__kwdefaults__.items():
            found.setdefault(name, default)
    if len(args) > len(names) and (code := function.__code__).co_flags & _VARARGS:
        found[code.co_varnames[len(names) + code.co_kwonlyargcount]] = args[len(names) :]
    return found


def summarized(arguments: dict[str, object], *, most: int | None = None) -> dict[str, list[object]]:
    """Return a digest and a short text for each argument, by name.

    Args:
        arguments: Arguments by name. Those whose name says that they are secret are left out, and so are those of
            which only the type could be told.
        most: How many parts of each argument are digested; None for all.
    """
    about: dict[str, list[object]] = {}
    for name, value in islice(arguments.items(), _MOST_ARGUMENTS):
        kind = type(value)
        if (kind in without_form and kind.__dictoffset__ == 0) or _is_secret(name):
            continue  # an object without form and attributes has nothing to tell but its type
        digest = digest_of(value, most)
        if digest is not None or kind in _REPRS:
            about[name] = [digest, _text_of(value)]
    return about


@functools.lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    name = name.lower()
    return name.endswith("_key") or not _SECRETS.isdisjoint(name.split("_"))


def digest_of(value: object, most: int | None = None) -> bytes | None:
    """Return 8 bytes that differ if two values do, or None if that is not possible.

    An object without canonical form is represented by its type and its public texts, such as a name.
    """
    kind = type(value)
    try:
        if kind not in without_form:
            return xxh3_64_digest(canonical(value, most=None if kind in _PLAIN else most))
    except UnstableIdError:
        pass
    except Exception:  # noqa: BLE001 - too large; or a method of the user's raised, which is no reason to fail here
        return None
    texts = _public_texts(value)
    return xxh3_64_digest(canonical((qualified_name(kind), texts))) if texts else None


def _public_texts(value: object) -> dict[str, str]:
    try:
        attributes: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return {name: text for name, text in attributes.items() if name[:1] != "_" and type(text) is str}


class _Short(Repr):
    """Spells out plain values, and shows the types of others without calling the user's code."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _TEXT_CHARACTERS

    def repr1(self, x: Any, level: int) -> str:
        if type(x) in _REPRS:
            return super().repr1(x, level)
        return f"<{qualified_name(type(x)).removeprefix('builtins.')}>"


_REPRS = {*_PLAIN, list, tuple, dict, set, frozenset}
_short = _Short()


def _text_of(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return shortened(repr(value[: _TEXT_CHARACTERS + 1]), _TEXT_CHARACTERS)
    if kind is bool or kind is float or value is None or (kind is int and -_LARGE < value < _LARGE):
        return repr(value)
    return shortened(_short.repr1(value, _short.maxlevel), _TEXT_CHARACTERS)
