"""A result that is too old is none: the call runs again, and its result replaces it."""

import asyncio
import time

import pytest

from skipstone import Checkpoint, ConfigError, cache_with_checkpoint, open_checkpoint, use_checkpoint
from skipstone.stores import MemoryStore, SqliteStore

ran = []


@cache_with_checkpoint(id="x")
def work(x):
    ran.append(x)
    return x


@cache_with_checkpoint(id="x", expires_seconds=3600)
def short(x):
    ran.append(x)
    return x


@cache_with_checkpoint(id="x", expires_seconds=10**9)
def long(x):
    ran.append(x)
    return x


@cache_with_checkpoint(id="x", each="xs", expires_seconds=3600)
def each(xs):
    ran.extend(xs)
    return xs


@cache_with_checkpoint(id="x", expires_seconds=3600)
async def later(x):
    ran.append(x)
    return x


@cache_with_checkpoint(id="n", expires_seconds=3600)
def count(n):
    ran.append(n)
    yield from range(n)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    """One after the other kind of store, and a way to let its records grow old."""
    ran.clear()
    return MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "checkpoint/i/step"))


def aged(store, seconds):
    """Let all records be so much older, with their values as they are."""
    for info in list(store.scan()):
        record = store.get(info.key)
        about = {"call_id": info.call_id, "details": info.details}
        store.put(record._replace(created_at_seconds=info.created_at_seconds - seconds, **about), replace=True)


def test_a_result_that_is_too_old(store):
    """It is no hit, and not done; the call runs once more, and what it returns then is as good as new."""
    with use_checkpoint(Checkpoint(store, {"expires_seconds": 100})) as checkpoint:
        work(1)
        assert (work(1), work.is_done(1), ran) == (1, True, [1])
        aged(store, 101)
        assert not work.is_done(1)
        plan = checkpoint.plan(work, [1, 2])
        assert (plan.done, plan.missing) == (0, 2)
        work(1)
        assert (work(1), work.is_done(1), ran) == (1, True, [1, 1])
        assert [record.call_id for record in checkpoint.records()] == ["1"]
        assert checkpoint.stats().not_saved == 0


def test_a_function_has_a_say(store):
    """What a function's decorator says holds for it, whatever the config says."""
    with use_checkpoint(Checkpoint(store, {"expires_seconds": 100_000})):
        for function in (work, short, long):
            function(1)
        aged(store, 4000)
        assert (work.is_done(1), short.is_done(1), long.is_done(1)) == (True, False, True)
        aged(store, 10**6)
        assert (work.is_done(1), short.is_done(1), long.is_done(1)) == (False, False, True)


def test_all_ways_to_call(store):
    """Maps, lists of items, coroutine functions and generators keep to it alike."""
    with use_checkpoint(Checkpoint(store)) as checkpoint:

        def all_ways():
            ran.clear()
            assert list(checkpoint.map(short, [1, 2])) == [1, 2]
            assert each([3, 4]) == [3, 4]
            assert asyncio.run(_awaited(later(5))) == 5
            assert list(count(2)) == [0, 1]
            return sorted(ran)

        assert all_ways() == [1, 2, 2, 3, 4, 5]
        assert all_ways() == []
        aged(store, 4000)
        assert all_ways() == [1, 2, 2, 3, 4, 5]
        assert all_ways() == []
        assert len(list(checkpoint.records())) == 6


async def _awaited(coroutine):
    return await coroutine


def test_nothing_else_is_lost(tmp_path):
    """Without the setting, a result is as good as new however old it is; and one that expired is there until it is replaced."""
    store = SqliteStore(str(tmp_path / "checkpoint/i/step"))
    with use_checkpoint(Checkpoint(store)):
        work("x")
        aged(store, 10**9)
    with use_checkpoint(Checkpoint(store, {"expires_seconds": 5})):
        assert not work.is_done("x")
    with use_checkpoint(Checkpoint(store)):
        assert work.is_done("x")


def test_both_are_settings(tmp_path, monkeypatch):
    """`expires_seconds` and `max_bytes` can be set from outside, and are numbers."""
    monkeypatch.setenv("SKIPSTONE_EXPIRES_SECONDS", "86400")
    monkeypatch.setenv("SKIPSTONE_MAX_BYTES", "1e9")
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        assert (checkpoint.config.expires_seconds, checkpoint.config.max_bytes) == (86400, 10**9)
    monkeypatch.setenv("SKIPSTONE_MAX_BYTES", "lots")
    with pytest.raises(ConfigError, match="expected a number of bytes or None"):
        open_checkpoint("step", {"artifacts_dir": tmp_path})
    with pytest.raises(ValueError, match="expires_seconds is -1, expected a number of seconds or None"):
        cache_with_checkpoint(id="x", expires_seconds=-1)


def test_the_time_of_a_record_is_told(store):
    """A store tells with each record when its call ended, also where it has read it ahead."""
    with use_checkpoint(Checkpoint(store)) as checkpoint:
        before = time.time()
        list(checkpoint.map(work, range(50)))
        keys = [info.key for info in store.scan()]
        records = [*map(store.get, keys), *store.get_many(keys).values()]
        assert len(records) == 2 * len(keys) >= 2 * 50
        for record in records:
            assert before <= record.created_at_seconds <= time.time()
