"""The canonical bytes of a value: equal for equal values in every process, and different for different ones.

A value is written as a tag for its type, a length or count, and its content, so that no two values have the same
bytes: `1`, `"1"`, `1.0`, `True`, `b"1"` and `("1",)` all differ. Two values are equal if they have the same type and a
function could not tell them apart: `0.0` and `-0.0` differ, and so do `Decimal("1.0")` and `Decimal("1.00")`, but all
NaNs are equal. Dictionaries and sets are equal whatever the order in which they were filled. Texts are compared by
code points, unchanged, so NFC and NFD spellings differ.

Large buffers (arrays) are represented by their 128-bit XXH3 digest, which is computed at memory speed. It guards
against accidents, not against somebody who constructs colliding arrays on purpose.
"""

from __future__ import annotations

import math
import struct
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from xxhash import xxh3_128_digest

from .._digest import blake2b
from .._errors import UnstableIdError
from .._naming import qualified_name
from ._arrays import STAND_INS
from ._objects import attributes_of, field_names_of, is_there, slots_of

_length = struct.Struct("<Q").pack
_head = struct.Struct("<cQ").pack  # tag and length
_double = struct.Struct("<d").pack
_NAN = b"f" + _double(float("nan"))
_SHORT = 64
_str_heads, _int_heads = ([_head(tag, length) for length in range(_SHORT)] for tag in (b"s", b"d"))
_DIGEST_FROM_BYTES = 4096
_SMALL_PARTS = 100
_BUFFERS = ("numpy.", "torch.")  # digested as a whole, at memory speed

_Writer: TypeAlias = Callable[[Any, "_Budget | None"], bytes]
T = TypeVar("T")

_registered: dict[type, Callable[[Any], object]] = {}
without_form: set[type] = set()
"""Classes that were found to have no canonical form."""


class TooLargeError(Exception):
    """A value has more parts than may be looked at."""


class _Budget:
    """Limits how many parts of a value are looked at."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise TooLargeError


def canonical(value: object, /, *, most: int | None = None) -> bytes:
    """Return the canonical bytes of a value.

    Args:
        value: Anything.
        most: How many parts may be looked at; None for any number.

    Raises:
        UnstableIdError: The value, or something in it, has no canonical form; the message says what to do.
        TooLargeError: The value has more than `most` parts.
    """
    try:
        return _written(value, None if most is None else _Budget(most))
    except RecursionError:
        message = f"{type(value).__qualname__} contains itself or is nested too deeply to be an id"
        raise UnstableIdError(message) from None


def digest_of_small(value: object) -> str:
    """Return a digest of a value, or an empty text if it is not small or has no canonical form."""
    try:
        return blake2b(canonical(value, most=_SMALL_PARTS), digest_size=8).hexdigest()
    except Exception:  # noqa: BLE001 - this may run code of the user's
        return ""


def _written(value: object, budget: _Budget | None) -> bytes:
    return _writers[type(value)](value, budget)


def _framed(tag: bytes, content: bytes) -> bytes:
    return _head(tag, len(content)) + content


def _text(tag: bytes, text: str) -> bytes:
    return _framed(tag, text.encode("utf-8", "surrogatepass"))


# These two call none of the others, for speed: most ids consist of texts and numbers.
def _str(text: str, _: object) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError:  # lone surrogates
        content = text.encode("utf-8", "surrogatepass")
    length = len(content)
    return (_str_heads[length] if length < _SHORT else _head(b"s", length)) + content


def _int(number: int, _: object) -> bytes:
    content = b"%x" % number
    length = len(content)
    return (_int_heads[length] if length < _SHORT else _head(b"d", length)) + content


def _float(number: float, _: object) -> bytes:
    return _NAN if number != number else b"f" + _double(number)  # noqa: PLR0124 - only NaN differs from itself


def _bytes(tag: bytes, content: bytes | bytearray, _: object) -> bytes:
    return _framed(tag, bytes(content))


def _buffer(view: memoryview, budget: _Budget | None) -> bytes:
    if view.format != "B" or view.ndim != 1:  # its bytes mean something else than plain bytes do
        return _head(b"m", view.nbytes) + _ordered((view.format, view.shape, memoryview(view.tobytes())), budget)
    if not view.contiguous:
        view = memoryview(view.tobytes())
    if view.nbytes < _DIGEST_FROM_BYTES:
        return _framed(b"v", bytes(view))
    return _head(b"V", view.nbytes) + xxh3_128_digest(view)


def _joined(tag: bytes, items: Sequence[bytes]) -> bytes:
    return _head(tag, len(items)) + b"".join(items)


def _sequence_writer(tag: bytes) -> _Writer:
    """Return a writer of sequences with this tag; a function of its own, which is called faster than a partial."""

    def write(items: Sequence[Any], budget: _Budget | None) -> bytes:
        if budget is not None:
            budget.take(len(items))
        parts, writers = [_head(tag, len(items))], _writers
        for item in items:  # up to Python 3.11, a comprehension takes half as long again for a few items
            parts.append(writers[type(item)](item, budget))  # noqa: PERF401
        return b"".join(parts)

    return write


_ordered = _sequence_writer(b"|")


def _set(tag: bytes, value: Collection[object], budget: _Budget | None) -> bytes:
    if budget is not None:
        budget.take(len(value))
    return _joined(tag, sorted([_written(item, budget) for item in value]))


def _dict(value: Mapping[Any, Any], budget: _Budget | None) -> bytes:
    if budget is not None:
        budget.take(2 * len(value))
    pairs: list[bytes] = []
    writers = _writers
    for key, item in value.items():
        pairs.append(writers[type(key)](key, budget) + writers[type(item)](item, budget))
    pairs.sort()
    return _joined(b":", pairs)


def _attributes_writer(tag: bytes, *names: str) -> _Writer:
    """Return a writer of objects as some of their attributes."""
    write = _sequence_writer(tag)
    return lambda value, budget: write([getattr(value, name) for name in names], budget)


def _plain(tag: bytes, as_text: Callable[[Any], str], value: object, _: object) -> bytes:
    return _text(tag, as_text(value))


def _fields_writer(cls: type, names: Sequence[str], declared: Collection[str], base: type) -> _Writer:
    """Return a writer for objects of a class that declares fields: it writes these and the other attributes.

    Args:
        cls: The class.
        names: The names of the fields that count.
        declared: The names of all its fields.
        base: The built-in container that it is derived from, or the class itself.
    """
    write_base = None if base is cls or hasattr(cls, "_fields") else _writer_of(base)
    head, fields = _text(b"o", qualified_name(cls)) + _length(len(names)), frozenset(declared)
    slots = slots_of(cls, base, fields)

    def write(value: object, budget: _Budget | None) -> bytes:
        parts = [head, *(_text(b"n", name) + _written(getattr(value, name), budget) for name in names)]
        if write_base is not None:
            parts.append(_framed(b"B", write_base(value, budget)))
        if rest := attributes_of(value, slots, fields):
            parts.append(_framed(b"A", _written(rest, budget)))
        return b"".join(parts)

    return write


def register_id(cls: type[T], id_of: Callable[[T], object], /) -> None:
    """Say what identifies the objects of a class that is not yours, when they are part of an id.

    It replaces a method `__skipstone_id__` of the class, and applies to subclasses, too. Register it where the class is
    imported, so that every process does so.

    Args:
        cls: The class.
        id_of: Takes such an object, and returns something that can be an id, such as its name.

    Raises:
        TypeError: `cls` is not a class, or `id_of` cannot be called.
    """
    if not isinstance(cls, type) or not callable(id_of):
        message = (
            f"register_id({cls!r}, {id_of!r}): expected a class, and a function that returns the id of its objects"
        )
        raise TypeError(message)
    _registered[cls] = id_of
    without_form.clear()
    for made in [made for made in _writers if issubclass(made, cls)]:
        del _writers[made]  # it was made before this registration


def _declared(cls: type, id_of: Callable[[Any], object], value: object, budget: _Budget | None) -> bytes:
    return _text(b"i", qualified_name(cls)) + _written(id_of(value), budget)


def _enum(cls: type, value: Any, budget: _Budget | None) -> bytes:
    name = _text(b"e", qualified_name(cls)) + _written(value.name, budget)
    return name if value.name is not None else name + _written(value.value, budget)


def _subclass_writer(cls: type, write_base: _Writer, base: type) -> _Writer:
    """Return a writer for a subclass of a built-in container or scalar: it writes name, content and attributes."""
    head, slots = _text(b"u", qualified_name(cls)), slots_of(cls, base)
    return lambda value, budget: head + write_base(value, budget) + _written(attributes_of(value, slots), budget)


def _named(thing: object, _: object) -> bytes:
    name = qualified_name(thing)
    bound = getattr(thing, "__self__", None)
    if "<" in name or not (bound is None or isinstance(bound, (type, types.ModuleType))):
        # Many functions can share a name with <lambda> or <locals>; and a bound method depends on its object as well.
        message = f"the function or class {name} has no name of its own, so it cannot be part of an id"
        raise UnstableIdError(message)
    if not is_there(thing):
        message = (
            f"the name {name} does not lead to the function or class that has it: it was made at run time, or wrapped, so that "
            f"another one may have the same name. It cannot be part of an id: use what it was made of"
        )
        raise UnstableIdError(message)
    return _text(b"q", name)


def _stand_in(name: str, value: object, budget: _Budget | None) -> bytes:
    if budget is not None:  # counted first, since the stand-in is made in one go
        count = math.prod(getattr(value, "shape", ()))
        budget.take(count >> 10 if name.startswith(_BUFFERS) else count)
    return _text(b"a", _library(name)) + _written(STAND_INS[name](value), budget)


def _library(name: str) -> str:
    """Return the names of the library and the class, without the module, which differs from version to version."""
    return f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"


class _Writers(dict[type, _Writer]):
    """Writers by type, each made when its type is first met."""

    def __missing__(self, cls: type) -> _Writer:
        try:
            writer = self[cls] = _writer_for(cls)
        except UnstableIdError:
            without_form.add(cls)
            raise
        return writer


_writers = _Writers(
    {
        type(None): lambda *_: b"N",
        bool: lambda value, _: b"1" if value else b"0",
        int: _int,
        float: _float,
        complex: _attributes_writer(b"c", "real", "imag"),
        str: _str,
        bytes: partial(_bytes, b"b"),
        bytearray: partial(_bytes, b"y"),
        memoryview: _buffer,
        tuple: _sequence_writer(b"("),
        list: _sequence_writer(b"["),
        set: partial(_set, b"{"),
        frozenset: partial(_set, b"z"),
        dict: _dict,
        range: _attributes_writer(b"r", "start", "stop", "step"),
        slice: _attributes_writer(b"/", "start", "stop", "step"),
        type(...): lambda *_: b".",
        types.FunctionType: _named,
        types.BuiltinFunctionType: _named,
    }
)

_built_in = dict(_writers)

# By name, so that no library is imported only to know its types.
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
    "collections.OrderedDict": lambda value, budget: _ordered(list(value.items()), budget),
    "decimal.Decimal": partial(_plain, b"M", str),
    "fractions.Fraction": partial(_plain, b"F", str),
    "uuid.UUID": partial(_plain, b"U", str),
    "re.Pattern": _attributes_writer(b"R", "pattern", "flags"),
    "pathlib.PurePosixPath": partial(_plain, b"h", str),
    "pathlib.PureWindowsPath": partial(_plain, b"w", str),
    "pathlib._local.PurePosixPath": partial(_plain, b"h", str),
    "pathlib._local.PureWindowsPath": partial(_plain, b"w", str),
    "numpy.dtype": partial(_plain, b"t", str),
    **{name: partial(_stand_in, name) for name in STAND_INS},
}

_by_name["numpy.memmap"] = _by_name["numpy.ndarray"]  # where an array is kept does not matter

# The writers of these classes write everything that tells their subclasses apart.
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
    base = next((each for each in cls.__mro__ if _writer_of(each) is not None), cls)
    writer = _writer_of(base)
    fields = field_names_of(cls)
    if fields is not None:
        return _fields_writer(cls, *fields, base)
    if writer is not None:
        is_same = base is cls or _name_of(base) in _families
        return writer if is_same else _subclass_writer(cls, writer, base)
    name = qualified_name(cls)
    message = (
        f"a {name} has no canonical form, so it cannot be part of an id: use an attribute of it that "
        f"identifies the call, such as its name, or give {cls.__qualname__} a method `__skipstone_id__(self)` "
        f"that returns one, or, where it is not yours, call skipstone.register_id({cls.__qualname__}, ...)"
    )
    raise UnstableIdError(message)


def _writer_of(cls: type) -> _Writer | None:
    """Return the writer for a class that is not the user's, or None if there is none."""
    return _by_name.get(_name_of(cls)) or _built_in.get(cls)


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
