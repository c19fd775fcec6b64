"""Several processes use one step at full speed: no error reaches a user, no record is lost, `clear` meanwhile is clean.

`make torture` does so for two minutes.
"""

import os
import signal
import sqlite3
import threading
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec

import pytest
import trials
from crowds import SUBINTERPRETERS
from harness import Child, run

from skipstone.stores import SqliteStore


def at_full_speed(servers, folder, seconds, processes=4):
    tally = trials.full_speed(servers[0], folder, seconds, processes)
    assert tally["idle"] == 0, "a process that did nothing proves nothing"
    assert not tally.told_of("lost", "errors", "warnings")


def test_five_seconds_at_full_speed(servers, folder):
    """Four processes save and load while a fifth clears a function: no error, no warning, nothing lost."""
    at_full_speed(servers, folder, 5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_longer_at_full_speed(servers, folder):
    """The same for 20 seconds, with six processes."""
    at_full_speed(servers, folder, 20, 6)


@contextmanager
def ready_to_save(folder, ids, count):
    """So many processes that have the step open, and are to save these records among them."""
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child("save_when_told", folder=folder, ids=ids[first::count]))
            for first in range(count)
        ]
        for child in children:
            assert child.line() == "ready"
        yield children


def all_saved(children):
    """Let them save; tell whether nothing went wrong."""
    for child in children:
        child.go()
    return [child.result() for child in children] == [{"bad": [], "warnings": []}] * len(children)


def test_saving_at_once(folder):
    """Eight processes that do nothing but save: none of them raises or warns, and all of their records are there."""
    ids = [f"{number}-300" for number in range(4000)]
    with ready_to_save(folder, ids, 8) as children:
        assert all_saved(children)
    assert run("ask_kept", folder=folder, ids=ids) == {"ran": [], "bad": [], "warnings": []}


def test_the_log_stays_short(folder):
    """Where sixteen processes do nothing but save, the log of the database begins anew again and again."""
    ids = [f"{number}-300" for number in range(19_200)]
    with ready_to_save(folder, ids, 16) as children:
        database = f"{folder}/checkpoint/default/step/records.sqlite3"
        with closing(sqlite3.connect(database)) as connection:  # the last one to close it deletes the log
            connection.execute("SELECT count(*) FROM records").fetchone()
            assert all_saved(children)
            assert connection.execute("SELECT count(*) FROM records").fetchone()[0] >= len(ids)
            assert os.path.getsize(f"{database}-wal") < 100 << 20


@contextmanager
def waiting_for_another(folder):
    """Let somebody else have a transaction under way in the step's database, and a process that is to save in it."""
    with Child("save_when_told", folder=folder, ids=["meanwhile-300"]) as child:
        assert child.line() == "ready"
        with closing(sqlite3.connect(f"{folder}/checkpoint/default/step/records.sqlite3")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            child.go()
            with pytest.raises(AssertionError, match="the child said nothing for 2 s"):
                child.line(2)
            yield child, connection


def test_a_save_waits_for_another(folder):
    """A save waits while somebody else writes for seconds, and says nothing of it."""
    with waiting_for_another(folder) as (child, connection):
        connection.rollback()
        assert child.result() == {"bad": [], "warnings": []}
    assert run("ask_kept", folder=folder, ids=["meanwhile-300"]) == {"ran": [], "bad": [], "warnings": []}


def test_an_interrupt_ends_waiting(folder):
    """Ctrl-C ends a save that waits for somebody else at once, rather than when that one has ended."""
    with waiting_for_another(folder) as (child, _):
        os.kill(child.pid, signal.SIGINT)
        status, _, errors = child.end(20)
    assert (status, errors.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert run("ask_kept", folder=folder, ids=["meanwhile-300"])["ran"] == ["meanwhile-300"]


def test_sixteen_open_a_fresh_store(folder):
    """Sixteen processes that open one new store at once all can use it."""
    assert run("open_at_once", folder=folder, count=16, rounds=6) == [0] * 96


@pytest.mark.slow
def test_sixteen_open_a_fresh_store_again_and_again(folder):
    """The same for 12 stores."""
    assert set(run("open_at_once", folder=folder, count=16, rounds=12)) == {0}


@pytest.mark.parametrize("threads", [0, 3])
def test_fork_after_opening(folder, threads):
    """Children of a fork use the store that their parent has open, whatever its threads are doing in it, and it goes on."""
    assert run("fork_after_opening", folder=folder, threads=threads) == {
        "statuses": [0] * 6,
        "bad": [],
        "lost": [],
    }


def test_fork_waits_for_threads_in_sqlite(folder):
    """A fork waits until no thread is inside SQLite: a child would inherit its locks, and find them held for ever."""
    store = SqliteStore(f"{folder}/checkpoint/default/step")
    inside, leave, forked = threading.Event(), threading.Event(), threading.Event()

    def use():
        with store._connection:
            inside.set()
            assert leave.wait(20)

    def fork():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        forked.set()
        assert os.waitpid(pid, 0)[1] == 0

    threads = [threading.Thread(target=use), threading.Thread(target=fork)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    assert not forked.wait(0.2)
    leave.set()
    assert forked.wait(20)
    for thread in threads:
        thread.join()
    store.close()


def test_fork_inside_a_call(folder):
    """A child that is forked inside a call has no claim on it: it waits for its parent's result."""
    assert run("fork_while_holding", folder=folder) == {"statuses": [0], "ran": 1}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_a_process(folder, method):
    """A checkpoint that is sent to a worker opens there, and finds and saves records."""
    answer = run("spawn", folder=folder, method=method)
    assert (answer["lost"], answer["bad"]) == ([], [])
    for ran, bad in answer["answers"]:
        assert (len(ran), bad) == (1, [])


@pytest.mark.skipif(find_spec(SUBINTERPRETERS) is None, reason="this Python has no module for sub-interpreters")
def test_subinterpreters(folder):
    """Interpreters of one process use one store: all is right, and what one saved the others find."""
    answer = run("in_subinterpreters", folder=folder)
    assert answer == {"ran": ["after-300"], "bad": []}
