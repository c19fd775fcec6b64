"""Names of functions and classes, which do not depend on how their module was started; and short texts for messages."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

MESSAGE_CHARACTERS = 80


def qualified_name(thing: object) -> str:
    """Return the `module.qualname` of a function or class, such as `app.embed`."""
    module = getattr(thing, "__module__", None) or "builtins"
    return f"{module_name(module)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def module_name(name: str) -> str:
    """Return the name under which a module would be imported, even if it runs as a script.

    `python app.py`, `python -m app` and a spawned worker's `__mp_main__` are all `app`.
    """
    return _script_name(name) if name in ("__main__", "__mp_main__") else name


@lru_cache
def _script_name(name: str) -> str:
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name not in ("__main__", "__mp_main__"):
        return str(spec.name)
    file = getattr(module, "__file__", None)
    if not file or not os.path.exists(file):  # a notebook, `python -c`, the interactive prompt
        return "__main__"
    folder, base = os.path.split(os.path.abspath(file))
    parts = [os.path.splitext(base)[0]]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    return ".".join(parts)


def storable(text: str) -> str:
    """Return a text with lone surrogates escaped, since UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(value: object, characters: int = MESSAGE_CHARACTERS) -> str:
    """Return a value as one line of at most `characters`, for messages and listings."""
    if isinstance(value, str):
        text = value
    else:
        # Not `repr`, which would spell out a list of a million items before it is cut.
        from reprlib import Repr

        short = Repr()
        short.maxstring = short.maxother = short.maxlong = characters
        text = short.repr(value)
    if len(text) > characters:
        text = f"{text[: characters - 1]}…"
    if text.isascii() and text.isprintable():
        return text
    return storable(text).replace("\0", "\\0").replace("\n", "\\n")
