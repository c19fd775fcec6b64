"""Find the part of a result that cannot be serialized."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ._serializers import Serializer

_MOST_PARTS, _MOST_LEVELS = 1000, 20


def blame(value: object, error: Exception, serializer: Serializer) -> str:
    """Say which part of a result a serializer refuses, such as `result.client`, and why."""
    path = "result"
    for _ in range(_MOST_LEVELS):
        for name, part in islice(_parts(value), _MOST_PARTS):
            found = _error(part, serializer)
            if found is not None:
                path, value, error = path + name, part, found
                break
        else:
            break
    kind = type(value)
    where = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    return f"{path} (of type {where}) cannot be serialized by {serializer.name}: {type(error).__name__}: {error}"


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    else:
        for name, item in getattr(value, "__dict__", {}).items():
            yield f".{name}", item


def _error(part: object, serializer: Serializer) -> Exception | None:
    try:
        serializer.dumps(part, Any)
    except Exception as error:  # noqa: BLE001 - serializers raise what they like
        return error
    return None
