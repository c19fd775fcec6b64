"""Delete a step's folder: the files that a store makes in it, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress
from glob import escape, glob

from ..._errors import StoreError, StoreUnavailableError
from .._folder import has_files_of_records
from ._claims import LockFile
from ._connection import DATABASE, LOCKS
from ._sqlite import VALUES

_SHARD = "[0-9a-f]" * 2
# The database goes before the files that it names.
_FILES_OF_A_DATABASE = (f"{DATABASE}*", "records.damaged-*", f"{VALUES}/{_SHARD}/*.value")
_FILES_OF_RECORDS = (f"records/{_SHARD}/{'[0-9a-f]' * 30}*", "holders/holder-*")
_FOLDERS = (f"{VALUES}/{_SHARD}", VALUES, f"records/{_SHARD}", "records", "holders")


def remove_step(folder: str) -> bool:
    """Delete a step's records, and its folder if that is empty then; return False if it is not a step's folder.

    Raises:
        StoreError: A process is using the step. A step with a file for each record, on a network file system, is
            deleted nevertheless, since there is no telling whether it is in use.
        StoreUnavailableError: A file cannot be deleted.
    """
    locks = os.path.join(folder, LOCKS)
    is_database = os.path.exists(locks)
    if not is_database and not has_files_of_records(folder):
        return False
    try:
        _unlink(folder, _FILES_OF_RECORDS)
        if is_database:
            with LockFile.exclusively(locks) as alone:
                if not alone:
                    message = f"{folder} is in use: stop the process that uses it first; it was not deleted"
                    raise StoreError(message)
                _unlink(folder, _FILES_OF_A_DATABASE)
                os.unlink(locks)
        with suppress(OSError):  # one of the folders holds something else
            for pattern in _FOLDERS:
                for below in glob(os.path.join(escape(folder), pattern)):
                    os.rmdir(below)
            os.rmdir(folder)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        message = f"cannot delete {folder}: {error}"
        raise StoreUnavailableError(message) from error
    return True


def _unlink(folder: str, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for path in glob(os.path.join(escape(folder), pattern)):
            os.unlink(path)
