"""Import obstore, the client of object storage, so that it also works in a forked process."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Any

_COMPILED = "obstore._obstore"


@cache
def library(_process: int) -> Any:
    """Return obstore for the calling process.

    The threads of its runtime do not survive a fork: a child that used them would wait for ever, and its parent with
    it. So a child loads a copy of the library, which has a runtime of its own.
    """
    is_inherited = library.cache_info().currsize > 0
    if is_inherited:
        _load_copy()
    for name in ("obstore.store", "obstore.exceptions"):
        import_module(name)
    return sys.modules["obstore"]


def _load_copy() -> None:
    """Make the next import of obstore use a copy of its compiled file: modules of the same file share their state."""
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
