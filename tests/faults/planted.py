"""A pickle that runs code when it is loaded, planted in a store: the code leaves a mark."""

import glob
import os
import pickle
import sqlite3

import xxhash

RESULTS = "SELECT id FROM origins WHERE encoding != 'code'"


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self._mark = mark

    def __reduce__(self):
        return os.mkdir, (self._mark,)


def database(folder):
    """Return the path of the only database below a folder."""
    (path,) = glob.glob(f"{glob.escape(folder)}/checkpoint/*/*[!s]/records.sqlite3")  # no step~runs
    return path


def change(folder, query, *values):
    """Change a store's database behind its back."""
    connection = sqlite3.connect(database(folder))
    with connection:
        changed = connection.execute(query, values).rowcount
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return changed


def plant(folder, mark, checksum=None):
    """Put a pickle that makes a folder `mark` in the place of every result's payload, its checksum right."""
    payload = pickle.dumps(Attack(mark))
    salt = int.from_bytes(xxhash.xxh3_64_digest(b"pickle"), "little")
    checksum = checksum or xxhash.xxh3_64_digest(payload, salt)
    values = (payload, checksum, len(payload))
    query = f"UPDATE records SET payload = ?, checksum = ?, size = ?, file = NULL WHERE origin IN ({RESULTS})"
    return change(folder, query, *values)
