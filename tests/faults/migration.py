"""A store that is brought to a format beyond the present one: what its processes do, and what must hold.

The format is planted in a process: a column, a table, and so many rows in it that they are written in several pages.
"""

import os
import threading
import warnings

import crowds
import planted
from harness import acknowledge, told

IDS = [*(f"m{number}-{100 + number % 7}" for number in range(600)), "l0-90000", "l1-1200000"]
_STATEMENTS = """
    ALTER TABLE records ADD COLUMN note TEXT NOT NULL DEFAULT 'none';
    CREATE TABLE notes (key BLOB PRIMARY KEY, note TEXT);
    INSERT INTO notes SELECT key, call_id || ' ' || hex(key) FROM records
"""


# Could be run twice without an error, and then be seen.
_COUNTING = "CREATE TABLE IF NOT EXISTS runs (process); INSERT INTO runs VALUES (1)"


def plant(statements=_STATEMENTS):
    """Let this process know a format beyond the present one."""
    from skipstone.stores._local import _schema

    _schema._MIGRATIONS += (_schema.Migration("99.1", statements),)


def migrate(folder, ids=()):
    """Open the store with a newer skipstone, and ask for these."""
    plant()
    answer = ask(folder, ids)
    acknowledge("done")
    return answer


def ask(folder, ids):
    """Open the store with the present skipstone, or the one that was planted, and ask for these."""
    from skipstone import open_checkpoint

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            worker = crowds.Worker(checkpoint, "faults.kept")
            for id in ids:
                worker.ask(id)
    return {"ran": sorted(worker.ran), "bad": worker.bad, "warnings": told(caught)}


def look_at_tables(folder):
    """Return which format a database has: "old", "new", or what it is in between."""
    import sqlite3

    connection = sqlite3.connect(planted.database(folder))
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        (state,) = connection.execute("SELECT value FROM state WHERE name = 'format'").fetchone()
        (records,) = connection.execute("SELECT count(*) FROM records").fetchone()
        query = f"SELECT count(*) FROM records WHERE origin IN ({planted.RESULTS})"
        (results,) = connection.execute(query).fetchone()
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(records)")]
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        notes = connection.execute("SELECT count(*) FROM notes").fetchone()[0] if "notes" in tables else None
    finally:
        connection.close()
    found = (version - _present(), state - _present(), "note" in columns, notes == records, results)
    names = {(0, 0, False, False, len(IDS)): "old", (1, 1, True, True, len(IDS)): "new"}
    return names.get(found, repr(found))


def _present():
    from skipstone.stores._local import _schema

    return len(_schema._MIGRATIONS)


def migrate_at_once(folder, count):
    """Open an old store with a newer skipstone in many processes at once, and save in each.

    Returns:
        What each ended with, and how often the store was migrated.
    """
    import sqlite3

    reading, writing = os.pipe()

    def act():
        warnings.simplefilter("error")
        os.close(writing)
        os.read(reading, 1)  # ends when the parent closes the other end
        plant(_COUNTING)
        answer = ask(folder, [*IDS, f"{os.getpid()}-300", "same-300"])
        return answer["bad"] + [id for id in answer["ran"] if id in IDS]

    pids = [crowds._forked(act) for _ in range(count)]
    connection = sqlite3.connect(planted.database(folder), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    os.close(reading)
    os.close(writing)
    threading.Event().wait(1)  # all have seen the old format by now, and wait for the lock
    connection.execute("COMMIT")
    connection.close()
    ended = crowds._ended(pids)
    connection = sqlite3.connect(planted.database(folder))
    (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    connection.close()
    return ended, runs


def stay_open(folder):
    """Have the store open with the present skipstone, save and load; wait for the word, and do so again."""
    from skipstone import open_checkpoint

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            worker = crowds.Worker(checkpoint, "faults.kept")
            for when in ("before", "after"):
                for id in (*IDS, f"{when}-300", f"{when}-70000"):
                    worker.ask(id)
                if when == "before":
                    acknowledge("open")
                    os.read(0, 1)
    return {"ran": sorted(worker.ran), "bad": worker.bad, "warnings": told(caught)}
