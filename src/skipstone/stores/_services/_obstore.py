"""obstore, the client of object storage, as a process can use it: also one that was forked from another."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Any

_COMPILED = "obstore._obstore"


@cache
def library(_process: int) -> Any:
    """Return obstore for the process that asks.

    The threads of its runtime end at a fork: a child that asks them for something waits for ever, and its parent with
    it. So a child uses a copy of the library, which has a runtime of its own.
    """
    is_inherited = library.cache_info().currsize > 0
    if is_inherited:
        _load_copy()
    for name in ("obstore.store", "obstore.exceptions"):
        import_module(name)
    return sys.modules["obstore"]


def _load_copy() -> None:
    """Let the next import of obstore find a copy of what is compiled: two modules of one file would share all."""
    import shutil
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec, spec_from_file_location
    from tempfile import NamedTemporaryFile

    original: Any = PathFinder.find_spec(_COMPILED, import_module("obstore").__path__)
    for name in [name for name in sys.modules if name.partition(".")[0] == "obstore"]:
        del sys.modules[name]
    with NamedTemporaryFile(suffix=os.path.basename(original.origin)) as file:
        with open(original.origin, "rb") as content:
            shutil.copyfileobj(content, file)
        file.flush()
        spec: Any = spec_from_file_location(_COMPILED, file.name)
        sys.modules[_COMPILED] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_COMPILED])
