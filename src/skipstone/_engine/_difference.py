"""Find out where two results differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import UnstableIdError
from .._functions._canonical import canonical
from .._naming import qualified_name, shortened

_MOST_LEVELS = 20
_TEXT_CHARACTERS = 40
_NOTHING: Any = object()


def difference(before: object, after: object, path: str = "result", levels: int = _MOST_LEVELS) -> str | None:
    """Say where two values differ, such as `result['pages'] was a tuple and is a list`; None if no difference is found.

    Values are equal if their content is. Values with neither a canonical form nor an `__eq__` of their own are
    compared part by part, as far as they have parts.
    """
    if before is after:
        return None
    if type(before) is not type(after):
        return f"{path} was a {_name(before)} and is a {_name(after)}"
    try:
        if canonical(before) == canonical(after):
            return None
        differ = True
    except UnstableIdError:
        differ = False
    except Exception:  # noqa: BLE001 - a method of the user's raised
        return None
    found = _difference_in_parts(before, after, path, levels) if levels else None
    if found is not None:
        return found
    if not differ and not _is_unequal(before, after):
        return None
    one, other = _text(before), _text(after)
    return f"{path} differs" if one == other else f"{path} was {one} and is {other}"


def _difference_in_parts(before: object, after: object, path: str, levels: int) -> str | None:
    for name, one, other in _parts(before, after):
        if one is _NOTHING or other is _NOTHING:
            return f"{path}{name} is {'new' if one is _NOTHING else 'missing'}"
        found = difference(one, other, path + name, levels - 1)
        if found is not None:
            return found
    return None


def _parts(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the parts of two values of one type: the name of each, and the part before and after."""
    if isinstance(before, dict):
        for key in {**before, **after}:
            yield f"[{shortened(repr(key))}]", before.get(key, _NOTHING), after.get(key, _NOTHING)
    elif isinstance(before, (list, tuple)):
        for number in range(max(len(before), len(after))):
            pair = [value[number] if number < len(value) else _NOTHING for value in (before, after)]
            yield f"[{number}]", *pair
    else:
        one, other = (getattr(value, "__dict__", {}) for value in (before, after))
        for name in {**one, **other}:
            yield f".{name}", one.get(name, _NOTHING), other.get(name, _NOTHING)


def _is_unequal(before: Any, after: Any) -> bool:
    """Tell whether two values without parts compare as unequal."""
    equality: object = type(before).__eq__
    if equality is object.__eq__ or getattr(before, "__dict__", None):
        return False
    try:
        return not bool(before == after)
    except Exception:  # noqa: BLE001 - a method of the user's raised, or answered with something that is no bool
        return False


def _name(value: object) -> str:
    return qualified_name(type(value)).removeprefix("builtins.")


def _text(value: object) -> str:
    if type(value) in (str, bytes, int, float, bool, complex):
        return shortened(repr(value), _TEXT_CHARACTERS)
    return f"a {_name(value)}"
