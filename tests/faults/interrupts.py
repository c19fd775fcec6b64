"""Signals that come at a bad moment: what the processes do to which they come."""

import signal
import sqlite3
import time
import traceback
import warnings
from contextlib import closing
from random import Random

from harness import run, told, value_of


def _raise(*_):
    raise KeyboardInterrupt


def saves_and_reruns(folder, seconds):
    """Interrupt saves of large results and reruns of them, while they are committed above all; return what is wrong then."""
    from skipstone._store_trials import content_of, sample, sample_key
    from skipstone.stores import SqliteStore

    signal.signal(signal.SIGALRM, _raise)
    chance, bad, interrupted = Random(1), [], 0
    store = SqliteStore(folder, durability="power")  # a commit takes long
    store.put_many([sample(number, b"a" * 300) for number in range(8)])
    until, began = time.monotonic() + seconds, time.monotonic()
    each = 0.01
    for number in range(10, 10**6):
        if time.monotonic() > until:
            break
        replace = number % 2 == 0
        place = number % 8 if replace else number
        store.get(sample_key(place))  # read ahead
        record = sample(place, b"%d" % number + b"b" * (300 if replace else 100_000))
        began = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.2, 1.1) * each)
            store.put(record, replace=replace)
            if number % 10 == 0:
                store.close()
            signal.setitimer(signal.ITIMER_REAL, 0)
            each = 0.9 * each + 0.1 * (time.monotonic() - began)
        except KeyboardInterrupt:
            interrupted += 1
        found = store.get(sample_key(place))
        with closing(SqliteStore(folder)) as other:
            there = other.get(sample_key(place))
        contents = [None if one is None else content_of(one) for one in (found, there)]
        if contents[0] != contents[1]:
            bad.append(f"{place}: another process finds something else")
        if contents[1] == b"":
            bad.append(f"{place}: its file is gone")
    store.close()
    return {"bad": bad, "interrupted": interrupted}


def saves_in_a_handler(folder, seconds):
    """Save, and let a handler of signals save, too; return how often, and what it had saved that was not committed."""
    from skipstone import open_checkpoint

    checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
    other, missing, saved = None, [], 0

    def keep(id, size):
        checkpoint.load_or_run(value_of, id, id, size)

    def handle(*_):
        nonlocal saved
        keep(f"handled{saved}", 100)
        query = "SELECT count(*) FROM records WHERE sequence > (SELECT max(sequence) - 20 FROM records) AND call_id = ?"
        if not other.execute(query, (f"handled{saved}",)).fetchone()[0]:
            missing.append(saved)
        saved += 1
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keep("first", 100)
        other = sqlite3.connect(f"{folder}/checkpoint/default/step/records.sqlite3", isolation_level=None)
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            keep(f"main{number}", 3000)
            number += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    other.close()
    checkpoint.close()
    return {"saved": saved, "missing": missing, "warnings": told(caught)}


def keeps_what_interrupted_it(folder):
    """Interrupt a load, and keep the exception, as a notebook does; then save, as somebody else does. Return what is said."""
    from skipstone import open_checkpoint

    signal.signal(signal.SIGALRM, _raise)
    ids = [f"many{number}-3000" for number in range(4000)]

    def ask(checkpoint, ids):
        for id in ids:
            checkpoint.load_or_run(value_of, id, id, 3000)

    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        ask(checkpoint, ids)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for attempt in range(300):
            checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
            checkpoint.load_or_run(value_of, ids[0], ids[0], 3000)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 * (attempt + 1))
                ask(checkpoint, ids)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt as error:
                kept = error
                if traceback.extract_tb(error.__traceback__)[-2].name in ("_read_rows", "<dictcomp>"):
                    break
            checkpoint.close()
        run("ask_kept", folder=folder, ids=["other-10"])
        ask(checkpoint, ["mine-3000"])
        checkpoint.close()
        del kept
    return told(caught)
