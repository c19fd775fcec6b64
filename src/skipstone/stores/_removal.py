"""Delete the folder of a step: the files that a local store makes, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress
from glob import escape, glob

from .._errors import StoreError, StoreUnavailableError
from ._claims import LockFile
from ._connection import DATABASE, LOCKS
from ._sqlite import VALUES


def remove_step(folder: str) -> bool:
    """Delete a step's records, and its folder if nothing else is in it; tell whether it was a step's.

    Raises:
        StoreError: A process uses it.
        StoreUnavailableError: A file cannot be deleted.
    """
    locks = os.path.join(folder, LOCKS)
    if not os.path.exists(locks):
        return False
    try:
        with LockFile.exclusively(locks) as alone:
            if not alone:
                message = f"{folder} is in use: stop the process that uses it first; it was not deleted"
                raise StoreError(message)
            # The database first: a row must not name a file that is gone.
            patterns = (f"{DATABASE}*", "records.damaged-*", f"{VALUES}/[0-9a-f][0-9a-f]/*.value")
            for pattern in patterns:
                for path in glob(os.path.join(escape(folder), pattern)):
                    os.unlink(path)
            os.unlink(locks)
        with suppress(OSError):  # something else is in one of them
            for below in glob(os.path.join(escape(folder), VALUES, "[0-9a-f][0-9a-f]")):
                os.rmdir(below)
            if os.path.isdir(os.path.join(folder, VALUES)):
                os.rmdir(os.path.join(folder, VALUES))
            os.rmdir(folder)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        message = f"cannot delete {folder}: {error}"
        raise StoreUnavailableError(message) from error
    return True
