"""What makes up an object of a user's class: the fields that the class declares, and its other attributes."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any


def field_names_of(cls: type) -> tuple[Sequence[str], Sequence[str]] | None:
    """Return the names of the fields that a class compares, and of all its fields; None if it declares none."""
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is not None:
        named = {name: field for name, field in fields.items() if field._field_type.name == "_FIELD"}
        return [name for name, field in named.items() if field.compare], [*named]
    fields = getattr(cls, "__attrs_attrs__", None)
    if fields is not None:
        return [field.name for field in fields if field.eq], [field.name for field in fields]
    fields = getattr(cls, "_fields", None)
    if fields is not None and issubclass(cls, tuple):
        return fields, fields
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None:
        fields = [*fields, "__pydantic_extra__"]
        return fields, fields
    fields = getattr(cls, "__struct_fields__", None)
    return None if fields is None else (fields, fields)


def attributes_of(
    value: object, slots: Sequence[str], declared: AbstractSet[str] | None = None
) -> dict[str, object] | None:
    """Return the attributes of an object beyond its base's content or its declared fields; None if it cannot have any.

    Values that properties cache in the object are left out: they follow from the rest.

    Args:
        value: The object.
        slots: The names of its class's slots; see `slots_of`.
        declared: The fields that its class declares, or None if it declares none. If given, private names are left out.
    """
    own = getattr(value, "__dict__", None)
    if not slots:
        if own is None:
            return None
        if declared is not None and own.keys() <= declared:  # true of nearly all objects
            return {}
    found = {name: item for name, item in (own or {}).items() if not _is_kept(type(value), name)}
    if declared is not None:
        found = {name: item for name, item in found.items() if name not in declared and name[:1] != "_"}
    return found | {name: getattr(value, name) for name in slots if hasattr(value, name)}


def slots_of(cls: type, base: type, declared: AbstractSet[str] = frozenset()) -> Sequence[str]:
    """Return the names of a class's slots, except those of a base, those of fields, and private ones."""
    found: list[str] = []
    for each in cls.__mro__:
        if each is base is not cls:
            break
        slots = vars(each).get("__slots__", ())
        found += [name for name in ([slots] if isinstance(slots, str) else slots) if name not in declared]
    return [name for name in found if not name.startswith("_")]


def _is_kept(cls: type, name: str) -> bool:
    """Tell whether an attribute is a value that a property of the class caches, as `functools.cached_property` does."""
    made = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    is_method = isinstance(made, (types.FunctionType, staticmethod, classmethod))
    return hasattr(type(made), "__get__") and not hasattr(type(made), "__set__") and not is_method


def closure_of(function: Any) -> dict[str, Any]:
    """Return the variables of the enclosing functions that a function uses, as far as they are assigned yet."""
    closure = getattr(function, "__closure__", None)
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, closure, strict=False) if closure else ():
        with suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def is_there(thing: Any) -> bool:
    """Tell whether the name of a function or class leads to it."""
    module = getattr(thing, "__module__", None) or "builtins"
    if module == "builtins" or isinstance(thing, types.BuiltinFunctionType):
        return True  # Python's own: some cannot be found by their names
    found: Any = sys.modules.get(module)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing
