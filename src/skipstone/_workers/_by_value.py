"""Pickle functions and classes of a script by value, for processes whose `__main__` is another program.

A class that arrives by value is not where pickle looks for it, so that its instances could neither be saved nor loaded
there. So the classes of a script travel along with its functions, and are put into the other process's `__main__`.
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
_SCRIPT = "__main__", "__mp_main__"  # the latter is a script's name in a spawned process, which imports it


def dumps(value: object) -> bytes:
    """Pickle by value what other programs cannot import, if cloudpickle is installed; otherwise pickle as usual."""
    try:
        import cloudpickle
    except ImportError:
        return pickle.dumps(value, _PROTOCOL)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        """Also pickles functions with `functools.cache`, such as those that load a model once in each worker."""

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
    """Return the classes of the running script, each pickled by value, as far as that is possible."""
    pickled: list[bytes] = []
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if _is_of_script(name, value):
            with suppress(Exception):  # if a call needs the class, pickling that call reports the error
                pickled.append(dumps(value))
    return pickled


def adopt(classes: Sequence[bytes]) -> None:
    """Put the classes of a script into this process's `__main__`, except where a name is taken."""
    main = sys.modules["__main__"]
    for pickled in classes:
        cls: Any = pickle.loads(pickled)
        name = cls.__qualname__
        if not hasattr(main, name) or _is_of_script(name, getattr(main, name)):
            setattr(main, name, cls)


def _is_of_script(name: str, value: object) -> bool:
    return isinstance(value, type) and value.__module__ in _SCRIPT and value.__qualname__ == name
