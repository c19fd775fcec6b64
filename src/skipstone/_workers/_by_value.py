"""Functions and classes of a script, for processes in which `__main__` is another program: they are pickled by value.

A class that comes by value is not found where pickle looks for it, so that neither its instances could be saved there nor
saved ones be loaded. Therefore the classes of a script travel with its functions, and take their places in `__main__`.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

_PROTOCOL = 5
_SCRIPT = "__main__", "__mp_main__"  # the other is its name where it was imported by a process that was spawned


def dumps(value: object) -> bytes:
    """Pickle by value what other programs cannot import, where cloudpickle is there; else as ever."""
    try:
        import cloudpickle
    except ImportError:
        return pickle.dumps(value, _PROTOCOL)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        """Takes functions with `functools.cache` along, too: models that a worker loads once."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, functools._lru_cache_wrapper) and obj.__module__ in _SCRIPT:
                return _cached, (obj.__wrapped__, obj.cache_parameters())
            return super().reducer_override(obj)

    file = io.BytesIO()
    Pickler(file, _PROTOCOL).dump(value)
    return file.getvalue()


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return cached


def script_classes() -> list[bytes]:
    """Return the classes of the script that runs, each pickled by value, as far as that is possible."""
    pickled: list[bytes] = []
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if _is_of_script(name, value):
            with suppress(Exception):  # a call that needs it all the same tells why it cannot be pickled
                pickled.append(dumps(value))
    return pickled


def adopt(classes: Sequence[bytes]) -> None:
    """Give the classes of a script their places in this process's `__main__`, but no places that are taken."""
    main = sys.modules["__main__"]
    for pickled in classes:
        cls: Any = pickle.loads(pickled)
        name = cls.__qualname__
        if not hasattr(main, name) or _is_of_script(name, getattr(main, name)):
            setattr(main, name, cls)


def _is_of_script(name: str, value: object) -> bool:
    return isinstance(value, type) and value.__module__ in _SCRIPT and value.__qualname__ == name
