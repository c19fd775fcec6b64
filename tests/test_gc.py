"""`gc` removes what expired and what killed processes left behind, and, where it is told to, what was used least recently."""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from skipstone import Checkpoint, Cleanup, NullCheckpoint, cache_with_checkpoint, open_checkpoint, use_checkpoint
from skipstone.stores import MemoryStore, SqliteStore

NOTHING = Cleanup(0, 0, 0, 0, 0)
DAY = 86_400


@cache_with_checkpoint(id="x")
def work(x, size=100):
    return b"x" * size


@cache_with_checkpoint(id="x", expires_seconds=3 * DAY)
def kept_longer(x):
    return x


@cache_with_checkpoint(id="n")
def count(n):
    for number in range(n):
        yield b"x" * 1000


@pytest.fixture
def folder(tmp_path):
    """The folder of a step."""
    return f"{tmp_path}/checkpoint/i/step"


def checkpoint_in(folder, **config):
    return open_checkpoint(
        "step", {"artifacts_dir": folder.removesuffix("/checkpoint/i/step"), "index_name": "i", **config}
    )


def age(store, seconds):
    for info in list(store.scan()):
        record = store.get(info.key)
        made = info.created_at_seconds - seconds
        store.put(
            record._replace(created_at_seconds=made, call_id=info.call_id, details=info.details), replace=True
        )


def age_all(folder, seconds=2 * DAY):
    """Let all that a step has be older, its files included."""
    store = SqliteStore(folder)
    age(store, seconds)
    store.close()
    for place, _, names in os.walk(folder):
        for name in names:
            os.utime(os.path.join(place, name), (time.time() - seconds,) * 2)


def ids(checkpoint):
    return {record.call_id for record in checkpoint.records()}


def held(folder):
    """Return all records of a step, but for those that tell of code."""
    store = SqliteStore(folder)
    found = [info for info in store.scan() if not info.encoding.startswith("code")]
    store.close()
    return found


def test_nothing_goes_that_is_of_use(folder):
    """Without `expires_seconds` and `max_bytes`, no result goes, however old and large."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        work(2, 200_000)
        list(count(3))
        checkpoint.close()
        age_all(folder, 10**8)
        assert checkpoint.gc() == NOTHING
        assert len(ids(checkpoint)) == 3
        assert list(count(3)) == [b"x" * 1000] * 3
        assert checkpoint.stats().hits == 1


def test_what_expired_goes(folder):
    """Results that are too old go, and their items and files with them; a function's own limit holds for its own."""
    with checkpoint_in(folder, expires_seconds=DAY) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        work(2, 200_000)
        list(count(3))
        kept_longer(4)
        checkpoint.close()
        age_all(folder)
        work(5)
        told = checkpoint.gc(dry_run=True)
        assert told == Cleanup(3, 0, 0, 0, told.size_bytes)
        assert 203_100 < told.size_bytes < 204_000
        assert ids(checkpoint) == {"1", "2", "3", "4", "5"}
        assert checkpoint.gc() == told
        assert ids(checkpoint) == {"4", "5"}
        assert len(held(folder)) == 2
        assert not [names for _, _, names in os.walk(f"{folder}/values") if names]
        assert checkpoint.gc() == NOTHING


@pytest.mark.parametrize("place", ["local", "file"])
def test_what_is_encrypted_expires_alike(tmp_path, folder, place):
    """With an encryption key, a function's own limit holds for its own; without the key nobody knows it, and nothing goes."""
    encrypted = {"encryption_key": "k" * 32}
    config = {"expires_seconds": 0.0} | (
        {} if place == "local" else {"store": f"file://{tmp_path}/shared", "trust_store": True}
    )
    with checkpoint_in(folder, **config, **encrypted) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        kept_longer(2)
    for keys in ({}, {"encryption_key": "o" * 32}):
        with checkpoint_in(folder, **config, **keys) as checkpoint:
            assert checkpoint.gc() == NOTHING
    with checkpoint_in(folder, **config, **encrypted) as checkpoint:
        assert checkpoint.gc()[:2] == (1, 0)
        assert ids(checkpoint) == {"2"}


def test_what_was_replaced_stays(folder):
    """A result that expired and was computed again is as good as new."""
    with checkpoint_in(folder, expires_seconds=DAY) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        checkpoint.close()
        age_all(folder)
        work(1)
        assert checkpoint.gc() == NOTHING
        assert ids(checkpoint) == {"1"}


APP = """
import os, sys
from skipstone import cache_with_checkpoint, init_checkpoint

@cache_with_checkpoint(id="n")
def count(n):
    for number in range(n):
        yield b"x" * 70_000

init_checkpoint("step", {"index_name": "i", "artifacts_dir": "."})
for item in count(10**9):
    print("result", flush=True)
    sys.stdin.read(1)
"""


def test_what_a_killed_process_left_behind(script):
    """Items of a generator that was killed, and files that no record names, go when they are old enough, and not before."""
    script.write("app.py", APP)
    folder = f"{script.folder}/checkpoint/i/step"
    process = script.start("app.py")
    for _ in range(5):
        assert process.stdout.readline() == "result\n"
        process.stdin.write("\n")
        process.stdin.flush()
    age_all(folder)
    with checkpoint_in(folder) as checkpoint:
        assert checkpoint.gc() == NOTHING  # it may go on
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        os.makedirs(f"{folder}/values/00", exist_ok=True)
        with open(f"{folder}/values/00/{'0' * 30}-00000000.value", "wb") as file:
            file.write(bytes(1000))
        with open(f"{folder}/values/notes.txt", "w") as mine:
            mine.write("mine")
        age_all(folder)
        told = checkpoint.gc(dry_run=True)
        assert told.orphans >= 7  # five items, the head and the file
        assert checkpoint.gc() == told
        assert checkpoint.gc() == NOTHING
    assert held(folder) == []
    assert [name for _, _, names in os.walk(f"{folder}/values") for name in names] == ["notes.txt"]


def test_what_was_used_least_recently_goes(folder):
    """With `max_bytes`, closing a checkpoint that has saved something removes what was neither made nor used for longest."""

    def run(*calls):
        with checkpoint_in(folder, max_bytes=3500) as checkpoint, use_checkpoint(checkpoint):
            for x in calls:
                work(x, 1000)
        age(SqliteStore(folder), 60)
        with checkpoint_in(folder) as checkpoint:
            return ids(checkpoint)

    assert run("a") == {"a"}
    assert run("b") == {"a", "b"}
    assert run("c") == {"a", "b", "c"}
    assert run("a") == {"a", "b", "c"}
    assert run("d") == {"a", "c", "d"}
    assert run("e") == {"a", "d", "e"}
    assert run("c", "f") == {"a", "c", "f"}


def test_each_of_many_uses_counts(folder):
    """Also those of results that are at hand already when they are asked for."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        for x in range(20):
            work(x, 1000)
    age(SqliteStore(folder), 60)
    with checkpoint_in(folder, max_bytes=10**9) as checkpoint, use_checkpoint(checkpoint):
        for x in range(19):
            work(x, 1000)
    with checkpoint_in(folder, max_bytes=20_800) as checkpoint, use_checkpoint(checkpoint):
        work("new", 1000)
    with checkpoint_in(folder) as checkpoint:
        assert ids(checkpoint) == {"new", *map(str, range(19))}


def test_generators_count_with_their_items(folder):
    """What a generator takes is what its items take, and they go together."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        list(count(5))
        work("small")
        cleanup = checkpoint.gc(max_bytes=1000)
        assert (cleanup.evicted, cleanup.expired, cleanup.orphans) == (1, 0, 0)
        assert cleanup.size_bytes >= 5000
        assert ids(checkpoint) == {"small"}
        assert len(held(folder)) == 1


def test_max_bytes_only_where_it_is_asked_for(folder):
    """Hits alone remove nothing, and `gc` without the setting neither."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        for x in range(10):
            work(x, 1000)
    with checkpoint_in(folder, max_bytes=10) as checkpoint, use_checkpoint(checkpoint):
        work(1, 1000)
    with checkpoint_in(folder) as checkpoint:
        assert checkpoint.gc() == NOTHING
        assert len(ids(checkpoint)) == 10


def test_room_is_given_back(folder):
    """`compact` makes the database, with its log, as small as what is in it; everything is there afterwards."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        for x in range(100):
            work(x, 10_000)
        work("kept")
        checkpoint.clear(work, id=0)
        for x in range(1, 100):
            work.forget(x)

        def room():  # in the log, too, which is written back now and then
            return sum(os.stat(f"{folder}/{name}").st_size for name in os.listdir(folder) if "sqlite3" in name)

        checkpoint.gc(dry_run=True, compact=True)
        before = room()
        checkpoint.gc(compact=True)
        assert room() < min(before, 100_000)
        assert ids(checkpoint) == {"kept"}
        assert work.is_done("kept")


def test_what_somebody_else_signed(folder):
    """Items whose call has a record that cannot be verified here stay: they may well be of use."""
    with checkpoint_in(folder, signing_key="theirs") as checkpoint, use_checkpoint(checkpoint):
        list(count(3))
    age_all(folder)
    with checkpoint_in(folder) as checkpoint:
        assert checkpoint.gc() == NOTHING
    with checkpoint_in(folder, signing_key="theirs") as checkpoint, use_checkpoint(checkpoint):
        assert list(count(3)) == [b"x" * 1000] * 3
        assert checkpoint.stats().hits == 1


def test_a_shared_folder(tmp_path):
    """In a shared folder, half-written files go; records stay."""
    config = {"store": f"file://{tmp_path}/shared", "trust_store": True}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        folder = f"{tmp_path}/shared/default/step/records"
        shard = os.listdir(folder)[0]
        part = f"{folder}/{shard}/{'0' * 30}.0123456789abcdef.part"
        with open(part, "wb") as file:
            file.write(bytes(500))
        assert checkpoint.gc() == NOTHING  # somebody may be writing it
        os.utime(part, (time.time() - DAY,) * 2)
        assert checkpoint.gc() == Cleanup(0, 0, 1, 0, 500)
        assert ids(checkpoint) == {"1"}


def test_stores_of_ones_own():
    """Any store has expiry and `max_bytes`; without a store there is nothing to remove."""
    store = MemoryStore()
    with use_checkpoint(Checkpoint(store, {"expires_seconds": DAY})) as checkpoint:
        work(1)
        age(store, 2 * DAY)
        work(2)
        assert checkpoint.gc().expired == 1
        assert checkpoint.gc(max_bytes=1).evicted == 1
    assert list(checkpoint.records()) == []
    with NullCheckpoint() as checkpoint:
        assert checkpoint.gc() == NOTHING


def test_old_runs_go(tmp_path, folder):
    """All but the last thousand runs go."""
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        (run,) = checkpoint.runs()
        store = SqliteStore(f"{folder}~runs")
        (key,) = [info.key for info in store.scan()]
        record = store.get(key)
        store.put_many(
            [
                record._replace(key=number.to_bytes(16), created_at_seconds=number * 1.0, call_id=f"r{number}")
                for number in range(1, 1011)
            ]
        )
        store.close()
        assert len(list(checkpoint.runs())) == 1011
        assert checkpoint.gc().runs == 11
        runs = list(checkpoint.runs())
        assert (len(runs), runs[0].id, runs[-1].id) == (1000, "r12", run.id)


@pytest.mark.parametrize("max_bytes", [None, 10**9, 3000, 1])
@pytest.mark.parametrize("expires_seconds", [None, 0.0, DAY, 10 * DAY])
def test_the_same_goes_from_every_store(folder, expires_seconds, max_bytes):
    """What a local step answers by itself is what a look at every record of another store finds."""
    settings = {"expires_seconds": expires_seconds, "max_bytes": max_bytes}
    with checkpoint_in(folder, keep_history=True) as checkpoint, use_checkpoint(checkpoint):
        work(1)
        work.rerun(1)
        list(count(3))
        kept_longer(1)
        with pytest.raises(TypeError):
            work(2, None)
    age_all(folder, 5 * DAY)
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        work(3, 1000)
        list(count(4))
        list(count(5))
        kept_longer(2)
        checkpoint.close()
    local, elsewhere = SqliteStore(folder), MemoryStore()
    items_of_nobody = next(info for info in local.scan() if info.encoding == "items" and info.call_id == "4")
    local.delete([items_of_nobody.key])
    age_all(folder, 2 * DAY)
    for info in local.scan():
        elsewhere.put(
            local.get(info.key)._replace(
                call_id=info.call_id, created_at_seconds=info.created_at_seconds, details=info.details
            )
        )
    local.close()
    with Checkpoint(elsewhere, settings) as another:
        expected = another.gc(dry_run=True)
    with checkpoint_in(folder, **settings) as checkpoint:
        assert checkpoint.gc(dry_run=True) == expected
        assert checkpoint.gc() == expected
    assert expected.orphans >= 4


@pytest.mark.parametrize("order", ["as saved", "any"])
@pytest.mark.parametrize("used", [0, 60])
def test_as_much_would_go_as_goes(folder, used, order):
    """What would be evicted is counted without a look at each result, and is what goes from any store."""
    numbers = random.Random(used)
    with checkpoint_in(folder) as checkpoint, use_checkpoint(checkpoint):
        for number in range(200):
            work(number, numbers.randrange(2000))
        list(count(3))
        kept_longer(1)
    age_all(folder, 10_000)
    store = SqliteStore(folder)
    for info in list(store.scan()) if order == "any" else ():
        record = store.get(info.key)._replace(call_id=info.call_id, details=info.details)
        made = info.created_at_seconds - numbers.randrange(5)  # some at the same moment, nearly
        store.put(record._replace(created_at_seconds=made // 1), replace=True)
    store.close()
    with closing(sqlite3.connect(f"{folder}/records.sqlite3")) as database, database:
        database.execute("UPDATE records SET sequence = sequence * 3001")
    with checkpoint_in(folder, max_bytes=10**9) as checkpoint, use_checkpoint(checkpoint):
        for number in numbers.sample(range(200), used):
            work(number)
    elsewhere = MemoryStore()
    store = SqliteStore(folder)
    for info in store.scan():
        record = store.get(info.key)
        elsewhere.put(
            record._replace(call_id=info.call_id, created_at_seconds=info.created_at_seconds, details=info.details)
        )
    store.close()
    for max_bytes in (10**6, 180_000, 100_000, 50_001, 5000, 1):
        with checkpoint_in(folder) as checkpoint:
            told = checkpoint.gc(max_bytes=max_bytes, dry_run=True)
            assert checkpoint.gc(max_bytes=max_bytes) == told
        if not used:
            with Checkpoint(elsewhere) as another:
                assert another.gc(max_bytes=max_bytes) == told
    assert not ids_in(folder)


def ids_in(folder):
    with checkpoint_in(folder) as checkpoint:
        return ids(checkpoint)


def test_uses_are_told_where_there_is_room(folder):
    """What was used while nothing had to go is known when something has to."""
    with checkpoint_in(folder, max_bytes=10**6) as checkpoint, use_checkpoint(checkpoint):
        work("a", 1000)
        work("b", 1000)
    age(SqliteStore(folder), 60)
    with checkpoint_in(folder, max_bytes=10**6) as checkpoint, use_checkpoint(checkpoint):
        work("a", 1000)
        work("c", 1)
    age(SqliteStore(folder), 60)
    with checkpoint_in(folder) as checkpoint:
        assert checkpoint.gc(max_bytes=1500).evicted == 1
        assert ids(checkpoint) == {"a", "c"}
