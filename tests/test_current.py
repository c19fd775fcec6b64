"""One checkpoint is current for the process, another one may be for a thread or task; it is looked up at each call."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from skipstone import (
    Checkpoint,
    CheckpointNotInitializedError,
    NullCheckpoint,
    cache_with_checkpoint,
    get_checkpoint,
    init_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

NOT_INITIALIZED = "no checkpoint is active: call init_checkpoint(checkpoint_name, config) first"


class WatchedStore(MemoryStore):
    """A store that counts how often it was closed."""

    closed = 0

    def close(self):
        self.closed += 1
        super().close()


@cache_with_checkpoint(id="x")
def double(x):
    return 2 * x


def new(name="memory"):
    return Checkpoint(MemoryStore(), name=name)


def ids(checkpoint):
    return [record.call_id for record in checkpoint.records()]


def test_without_init_there_is_none():
    """Before `init_checkpoint`, asking for the checkpoint is an error that says what to call."""
    with pytest.raises(CheckpointNotInitializedError) as caught:
        get_checkpoint()
    assert str(caught.value) == NOT_INITIALIZED


def test_a_call_without_init_does_not_run():
    """A decorated function that is called before `init_checkpoint` raises, and does not run."""
    runs = []

    @cache_with_checkpoint(id="x")
    def work(x):
        runs.append(x)

    for ask in (work, work.rerun, work.is_done, work.forget):
        with pytest.raises(CheckpointNotInitializedError) as caught:
            ask(1)
        assert str(caught.value) == NOT_INITIALIZED
    assert runs == []


def test_init_makes_it_current(tmp_path):
    """`get_checkpoint` returns what `init_checkpoint` returned, in every thread."""
    made = init_checkpoint("one", {"artifacts_dir": tmp_path})
    assert get_checkpoint() is made
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_checkpoint).result(10) is made


def test_init_again_replaces_and_closes_the_one_before(tmp_path, caplog):
    """The next step's `init_checkpoint` closes the checkpoint before, which tells what was done."""
    first = init_checkpoint("one", {"artifacts_dir": tmp_path})
    double(1)
    with caplog.at_level("INFO", "skipstone"):
        second = init_checkpoint("two", {"artifacts_dir": tmp_path})
    assert [message.partition(":")[0] for message in caplog.messages] == ["step one"]
    assert get_checkpoint() is second is not first
    double(2)
    assert (ids(first), ids(second)) == (["1"], ["2"])
    first.close()


def test_failed_init_keeps_the_one_before(tmp_path):
    """When `init_checkpoint` raises, the checkpoint before stays current and open."""
    first = init_checkpoint("one", {"artifacts_dir": tmp_path})
    with pytest.raises(ValueError, match="index_name"):
        init_checkpoint("two", {"artifacts_dir": tmp_path, "index_name": None})
    assert get_checkpoint() is first
    assert double(1) == 2


def test_open_does_not_make_current(tmp_path):
    """`open_checkpoint` and constructing one change nothing about the current checkpoint."""
    with open_checkpoint("one", {"artifacts_dir": tmp_path}), NullCheckpoint(), new():
        with pytest.raises(CheckpointNotInitializedError):
            get_checkpoint()
        made = init_checkpoint("two", {"artifacts_dir": tmp_path})
        with open_checkpoint("three", {"artifacts_dir": tmp_path}):
            assert get_checkpoint() is made


def test_use_nests():
    """`use_checkpoint` gives the checkpoint to its block, and the one before back, however the block ends."""
    outer, inner = new(), new()
    with use_checkpoint(outer) as given:
        assert given is outer is get_checkpoint()
        with pytest.raises(OSError, match="out"), use_checkpoint(inner):
            assert get_checkpoint() is inner
            raise OSError("out")
        assert get_checkpoint() is outer
        with use_checkpoint(outer):
            assert get_checkpoint() is outer
        assert get_checkpoint() is outer
    with pytest.raises(CheckpointNotInitializedError):
        get_checkpoint()


def test_use_goes_before_init_and_leaves_open(tmp_path):
    """Inside the block its checkpoint goes before the process's one; it is not closed afterwards."""
    init_checkpoint("one", {"artifacts_dir": tmp_path})
    store = WatchedStore()
    with use_checkpoint(Checkpoint(store)) as inner:
        second = init_checkpoint("two", {"artifacts_dir": tmp_path})
        assert get_checkpoint() is inner
    assert store.closed == 0
    assert get_checkpoint() is second


def test_with_block_of_a_checkpoint_closes_it_and_it_opens_again(tmp_path):
    """A checkpoint used as a context manager is closed at the end; a later use opens it again."""
    store = WatchedStore()
    with Checkpoint(store):
        assert store.closed == 0
    assert store.closed == 1
    with open_checkpoint("one", {"artifacts_dir": tmp_path}) as local:
        local.load_or_run(double, 1, 1)
    assert ids(local) == ["1"]
    local.close()


def test_use_is_per_thread():
    """Two threads in their own blocks see their own checkpoints, at the same time."""
    barrier = threading.Barrier(2)

    def work(number):
        mine = new()
        with use_checkpoint(mine):
            barrier.wait(10)
            double(number)
            barrier.wait(10)
            return get_checkpoint() is mine, ids(mine)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, [1, 2])) == [(True, ["1"]), (True, ["2"])]


def test_use_is_per_task():
    """Two tasks that interleave in their own blocks see their own checkpoints; a child task inherits."""

    @cache_with_checkpoint(id="x")
    async def work(x):
        await asyncio.sleep(0)
        return x

    async def child(x):
        await work(x)
        return get_checkpoint()

    async def task(number, mine):
        with use_checkpoint(mine):
            for step in range(5):
                await work((number, step))
                await asyncio.sleep(0)
            return get_checkpoint() is mine and await asyncio.create_task(child("child")) is mine

    async def main():
        mine = [new(), new()]
        assert await asyncio.gather(*(task(number, mine[number]) for number in range(2))) == [True, True]
        return [len(ids(each)) for each in mine]

    assert asyncio.run(main()) == [6, 6]
    with pytest.raises(CheckpointNotInitializedError):
        get_checkpoint()


def test_it_is_looked_up_at_each_call():
    """A function that was decorated once keeps its results where the checkpoint of each call does."""
    runs = []

    @cache_with_checkpoint(id="x")
    def work(x):
        runs.append(x)
        return x

    first, second = new(), new()
    for checkpoint in (first, second, first, second, NullCheckpoint()):
        with use_checkpoint(checkpoint):
            work(1)
    assert runs == [1, 1, 1]
    assert ids(first) == ids(second) == ["1"]


def test_last_checkpoint_is_closed_at_exit(script):
    """A script that only calls `init_checkpoint` tells its statistics at the end, and leaves a clean folder."""
    script.write(
        "app.py",
        """
        import logging
        from skipstone import init_checkpoint, get_checkpoint
        logging.basicConfig(level="INFO", format="%(message)s")
        for step in ("one", "two"):
            init_checkpoint(step)
            get_checkpoint().load_or_run(dict, "k")
        """,
    )
    lines = script("app.py").stderr.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "step one: 0 hits, 1 miss, 0 failures",
        "step two: 0 hits, 1 miss, 0 failures",
    ]
    left = {path.name for path in (script.folder / "artifacts/checkpoint/default/two").iterdir()}
    assert not {name for name in left if name.endswith(("-wal", "-shm"))}
