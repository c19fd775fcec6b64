"""A value's canonical bytes: equal for equal values in every process, different for different ones.

Every value is written as a tag for its type, a length or count, and its content, so that no two values have
the same bytes: `1`, `"1"`, `1.0`, `True`, `b"1"` and `("1",)` all differ. "Equal" means of one type and not to
be told apart: `0.0` and `-0.0` differ, and so do `Decimal("1.0")` and `Decimal("1.00")`, for a function may
tell them apart; all NaNs are one. Dictionaries and sets are equal in whatever order they were filled.
Texts are compared by code points, unchanged: NFC and NFD spellings differ.

Large buffers (arrays) are represented by their 128-bit XXH3 digest, which is made at memory speed. It guards
against accident, not against somebody who constructs colliding arrays on purpose.
"""

from __future__ import annotations

import math
import struct
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from xxhash import xxh3_128_digest

from ._arrays import STAND_INS
from ._errors import UnstableIdError
from ._naming import qualified_name

_length = struct.Struct("<Q").pack
_float = struct.Struct("<d").pack
_NAN = _float(float("nan"))
_DIGEST_FROM_BYTES = 4096
_BUFFERS = ("numpy.", "torch.")  # digested as a whole, at memory speed

_Write: TypeAlias = Callable[[bytes], object]
_Writer: TypeAlias = Callable[[Any, _Write], object]
T = TypeVar("T")

_registered: dict[type, Callable[[Any], object]] = {}


class TooLargeError(Exception):
    """A value has more parts than were to be looked at."""


class _Bounded:
    """Takes so many parts, and then raises."""

    def __init__(self, most: int, append: _Write) -> None:
        self._left = [most]
        self._append = append

    def __call__(self, part: bytes) -> None:
        self.take(1)
        self._append(part)

    def take(self, count: int) -> None:
        self._left[0] -= count
        if self._left[0] < 0:
            raise TooLargeError

    def instead_of(self, append: _Write) -> _Bounded:
        """Return one that takes from the same number."""
        other = _Bounded(0, append)
        other._left = self._left
        return other


def canonical(value: object, /, *, most: int | None = None) -> bytes:
    """Return the canonical bytes of a value.

    Args:
        value: Anything.
        most: How many parts of it are looked at; None: all.

    Raises:
        UnstableIdError: The value, or something in it, has no canonical form; the message says what to do.
        TooLargeError: It has more than `most` parts.
    """
    parts: list[bytes] = []
    try:
        _write(value, parts.append if most is None else _Bounded(most, parts.append))
    except RecursionError:
        message = f"{type(value).__qualname__} contains itself or is nested too deeply to be an id"
        raise UnstableIdError(message) from None
    return b"".join(parts)


def _write(value: object, write: _Write) -> None:
    cls = type(value)
    writer = _writers.get(cls)
    if writer is None:
        writer = _writers[cls] = _writer_for(cls)
    writer(value, write)


def _framed(tag: bytes, content: bytes, write: _Write) -> None:
    write(tag)
    write(_length(len(content)))
    write(content)


def _text(tag: bytes, text: str, write: _Write) -> None:
    _framed(tag, text.encode("utf-8", "surrogatepass"), write)


def _buffer(tag: bytes, view: memoryview, write: _Write) -> None:
    if not view.contiguous:
        view = memoryview(view.tobytes())
    view = view.cast("B")
    if view.nbytes < _DIGEST_FROM_BYTES:
        _framed(tag, bytes(view), write)
    else:
        write(tag.upper())
        write(_length(view.nbytes))
        write(xxh3_128_digest(view))


def _sequence(tag: bytes, items: Sequence[object], write: _Write) -> None:
    write(tag)
    write(_length(len(items)))
    for item in items:
        _write(item, write)


def _unordered(tag: bytes, items: Iterable[bytes], write: _Write) -> None:
    ordered = sorted(items)
    write(tag)
    write(_length(len(ordered)))
    for item in ordered:
        write(item)


def _bytes_of(value: object, write: _Write) -> bytes:
    parts: list[bytes] = []
    _write(value, write.instead_of(parts.append) if isinstance(write, _Bounded) else parts.append)
    return b"".join(parts)


def _set(tag: bytes, value: Iterable[object], write: _Write) -> None:
    _unordered(tag, (_bytes_of(item, write) for item in value), write)


def _mapping(tag: bytes, value: Mapping[object, object], write: _Write) -> None:
    _unordered(tag, (_bytes_of(key, write) + _bytes_of(item, write) for key, item in value.items()), write)


def _number(tag: bytes, value: float, write: _Write) -> None:
    write(tag)
    write(_NAN if value != value else _float(value))  # noqa: PLR0124 - NaN is what differs from itself


def _plain(tag: bytes, as_text: Callable[[Any], str], value: object, write: _Write) -> None:
    _text(tag, as_text(value), write)


def _fields(cls: type, names: Sequence[str], value: object, write: _Write) -> None:
    _text(b"o", qualified_name(cls), write)
    write(_length(len(names)))
    for name in names:
        _text(b"n", name, write)
        _write(getattr(value, name), write)


def register_id(cls: type[T], id_of: Callable[[T], object], /) -> None:
    """Say what identifies the objects of a class that is not yours, where they are part of an id.

    It is what a method `__skipstone_id__` of the class would return, and holds for its subclasses, too. Register it
    where the class is imported, so that every process does.

    Args:
        cls: The class.
        id_of: Given such an object, returns what can be an id, such as its name.
    """
    _registered[cls] = id_of
    for made in [made for made in _writers if issubclass(made, cls)]:
        del _writers[made]  # it was made without this


def _declared(cls: type, id_of: Callable[[Any], object], value: object, write: _Write) -> None:
    _text(b"i", qualified_name(cls), write)
    _write(id_of(value), write)


def _enum(cls: type, value: Any, write: _Write) -> None:
    _text(b"e", qualified_name(cls), write)
    _write(value.name, write)
    if value.name is None:
        _write(value.value, write)


def _subclass(cls: type, write_base: _Writer, value: object, write: _Write) -> None:
    """Write a subclass of a built-in container or scalar: its name, its content and its attributes."""
    _text(b"u", qualified_name(cls), write)
    write_base(value, write)
    _write(getattr(value, "__dict__", None), write)


def _named(thing: object, write: _Write) -> None:
    name = qualified_name(thing)
    bound = getattr(thing, "__self__", None)
    if "<" in name or not (bound is None or isinstance(bound, (type, types.ModuleType))):
        # <lambda> and <locals>: many can have this name; a bound method: its object has a content, too
        message = f"the function or class {name} has no name of its own, so it cannot be part of an id"
        raise UnstableIdError(message)
    _text(b"q", name, write)


def _stand_in(name: str, value: object, write: _Write) -> None:
    if isinstance(write, _Bounded):  # what stands in is made as a whole
        count = math.prod(getattr(value, "shape", ()))
        write.take(count >> 10 if name.startswith(_BUFFERS) else count)
    _text(b"a", _library(name), write)
    _write(STAND_INS[name](value), write)


def _library(name: str) -> str:
    """Return the library's and the class's name: where in the library the class is defined changes."""
    return f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"


_writers: dict[type, _Writer] = {
    type(None): lambda _, write: write(b"N"),
    bool: lambda value, write: write(b"1" if value else b"0"),
    int: partial(_plain, b"d", lambda value: f"{value:x}"),
    float: partial(_number, b"f"),
    complex: lambda value, write: _sequence(b"c", (value.real, value.imag), write),
    str: partial(_text, b"s"),
    bytes: partial(_framed, b"b"),
    bytearray: lambda value, write: _framed(b"y", bytes(value), write),
    memoryview: lambda value, write: _buffer(b"v", value, write),
    tuple: partial(_sequence, b"("),
    list: partial(_sequence, b"["),
    set: partial(_set, b"{"),
    frozenset: partial(_set, b"z"),
    dict: partial(_mapping, b":"),
    range: lambda value, write: _sequence(b"r", (value.start, value.stop, value.step), write),
    slice: lambda value, write: _sequence(b"/", (value.start, value.stop, value.step), write),
    type(...): lambda _, write: write(b"."),
    types.FunctionType: _named,
    types.BuiltinFunctionType: _named,
}

# By name, so that nothing is imported merely to know its types.
_by_name: dict[str, _Writer] = {
    "builtins.type": _named,
    "datetime.datetime": partial(_plain, b"D", lambda value: f"{value.isoformat()}/{value.fold}/{value.tzinfo!r}"),
    "datetime.date": partial(_plain, b"Y", lambda value: value.isoformat()),
    "datetime.time": partial(_plain, b"H", lambda value: f"{value.isoformat()}/{value.fold}/{value.tzinfo!r}"),
    "datetime.timedelta": partial(
        _plain, b"E", lambda value: f"{value.days}/{value.seconds}/{value.microseconds}"
    ),
    "datetime.timezone": partial(_plain, b"Z", repr),
    "zoneinfo.ZoneInfo": partial(_plain, b"O", repr),
    "collections.OrderedDict": lambda value, write: _sequence(b"|", list(value.items()), write),
    "decimal.Decimal": partial(_plain, b"M", str),
    "fractions.Fraction": partial(_plain, b"F", str),
    "uuid.UUID": partial(_plain, b"U", str),
    "re.Pattern": lambda value, write: _sequence(b"R", (value.pattern, value.flags), write),
    "pathlib.PurePosixPath": partial(_plain, b"h", str),
    "pathlib.PureWindowsPath": partial(_plain, b"w", str),
    "pathlib._local.PurePosixPath": partial(_plain, b"h", str),
    "pathlib._local.PureWindowsPath": partial(_plain, b"w", str),
    "numpy.dtype": partial(_plain, b"t", str),
    **{name: partial(_stand_in, name) for name in STAND_INS},
}

_by_name["numpy.memmap"] = _by_name["numpy.ndarray"]  # where an array lies does not count

# Their subclasses differ in nothing that the writer does not write.
_families = {
    "builtins.type",
    "numpy.generic",
    "numpy.dtype",
    "pandas.Index",
    "pandas.core.indexes.base.Index",
    *(name for name in _by_name if name.startswith("pathlib.")),
}


def _writer_for(cls: type) -> _Writer:
    for base in cls.__mro__:
        if base in _registered:
            return partial(_declared, cls, _registered[base])
        if "__skipstone_id__" in vars(base):
            return partial(_declared, cls, lambda value: value.__skipstone_id__())
    if any(f"{base.__module__}.{base.__qualname__}" == "enum.Enum" for base in cls.__mro__):
        return partial(_enum, cls)
    names = _field_names(cls)
    if names is not None:
        return partial(_fields, cls, names)
    for base in cls.__mro__:
        base_name = f"{base.__module__}.{base.__qualname__}"
        writer = _by_name.get(base_name) or _writers.get(base)
        if writer is not None:
            return writer if base is cls or base_name in _families else partial(_subclass, cls, writer)
    name = qualified_name(cls)
    message = (
        f"a {name} has no canonical form, so it cannot be part of an id: use an attribute of it that "
        f"identifies the call, such as its name, or give {cls.__qualname__} a method `__skipstone_id__(self)` "
        f"that returns one, or, where it is not yours, call skipstone.register_id({cls.__qualname__}, ...)"
    )
    raise UnstableIdError(message)


def _field_names(cls: type) -> Sequence[str] | None:
    """Return the names of the fields that make two objects of a class equal, if it declares them."""
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is not None:
        return [name for name, field in fields.items() if field.compare and field._field_type.name == "_FIELD"]
    fields = getattr(cls, "__attrs_attrs__", None)
    if fields is not None:
        return [field.name for field in fields if field.eq]
    fields = getattr(cls, "_fields", None)
    if fields is not None and issubclass(cls, tuple):
        return list(fields)
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None:
        return [*fields, "__pydantic_extra__"]
    return getattr(cls, "__struct_fields__", None)
