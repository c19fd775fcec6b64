"""Runs of a step are told beside it: what they did, how far their maps are, and how they ended."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from skipstone import Checkpoint, NullCheckpoint, Stats, cache_with_checkpoint, open_checkpoint, use_checkpoint
from skipstone.stores import MemoryStore, SqliteStore

APP = """
import sys, time
from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

@cache_with_checkpoint(id="x")
def work(x):
    if x == "bad":
        raise ValueError(x)
    return x

@cache_with_checkpoint(id="x")
def slow(x):
    print("result", flush=True)
    time.sleep(0.05)
    return x

if __name__ == "__main__":
    init_checkpoint("step", {"index_name": "i"})
    exec(sys.argv[1])
"""


@pytest.fixture
def step(script):
    """A script with a step of its own, and how to look at that step from here."""
    script.write("app.py", APP)
    script.config = {"artifacts_dir": script.folder / "artifacts", "index_name": "i"}
    script.look = lambda: open_checkpoint("step", script.config)
    return script


def runs_of(step):
    with step.look() as checkpoint:
        return list(checkpoint.runs())


def until(told, seconds=30):
    """Ask again and again, until there is an answer."""
    give_up = time.monotonic() + seconds
    while not (answer := told()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return answer


@cache_with_checkpoint(id="x")
def doubled(x):
    return 2 * x


def test_each_run_tells_what_it_did(step):
    """A process that used a step is a run of it, with its counts and its end; the newest comes last."""
    began = time.time()
    step("app.py", "work(1); work(2)")
    step("app.py", "work(1); work(3)\ntry: work('bad')\nexcept ValueError: pass")
    step("app.py", "work(1); work(2)")
    runs = runs_of(step)
    assert [(run.stats.hits, run.stats.misses, run.stats.failures) for run in runs] == [
        (0, 2, 0),
        (1, 1, 1),
        (2, 0, 0),
    ]
    assert {(run.step, run.state, run.host, run.maps) for run in runs} == {
        ("step", "ended", os.uname().nodename, ())
    }
    assert began <= runs[0].started_at_seconds <= runs[0].updated_at_seconds <= runs[1].started_at_seconds
    with step.look() as checkpoint:
        assert [record.run for record in checkpoint.records()] == [runs[0].id, runs[0].id, runs[1].id]
        assert [record.process for record in checkpoint.records()] == [
            runs[0].process,
            runs[0].process,
            runs[1].process,
        ]


def test_looking_is_no_run(step):
    """Who only lists, asks and clears leaves no run behind."""
    step("app.py", "work(1)")
    with step.look() as checkpoint:
        list(checkpoint.records())
        list(checkpoint.failures())
        list(checkpoint.runs())
        checkpoint.clear()
    assert len(runs_of(step)) == 1


def test_the_present_run_is_told_up_to_this_moment(tmp_path):
    """`runs` tells what this process has done so far, and after `close` that it ended; a later use goes on."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        assert list(checkpoint.runs()) == []
        doubled(1)
        doubled(1)
        (run,) = checkpoint.runs()
        assert (run.state, run.stats) == ("running", checkpoint.stats())
        checkpoint.close()
        assert [run.state for run in checkpoint.runs()] == ["ended"]
        doubled(2)
        (run,) = checkpoint.runs()
        assert (run.state, run.stats.misses) == ("running", 2)


@pytest.mark.parametrize("made", [lambda: Checkpoint(MemoryStore(), name="step"), lambda: NullCheckpoint("step")])
def test_without_a_place_for_them(made, tmp_path, monkeypatch):
    """With a store of one's own, or none, there is the present run and no other, and nothing on disk."""
    monkeypatch.chdir(tmp_path)
    with made() as checkpoint, use_checkpoint(checkpoint):
        doubled(1)
        (run,) = checkpoint.runs()
        assert (run.step, run.stats) == ("step", checkpoint.stats())
    assert os.listdir() == []


def test_a_killed_run(step):
    """A run that was killed is told as such, with what it did until about a second before."""
    step.stopped(signal.SIGKILL, "app.py", "for x in range(10**6): slow(x)", results=40)
    (run,) = runs_of(step)
    assert run.state == "killed"
    assert 10 <= run.stats.misses <= 40


def test_a_call_that_takes_long_is_seen(step):
    """A run is there when its first call begins, not when that ends."""
    process = step.start("app.py", "slow(1); time.sleep(1000)")
    try:
        assert process.stdout.readline() == "result\n"
        (run,) = runs_of(step)
        assert (run.state, run.process, run.stats) == ("running", process.pid, Stats())
    finally:
        process.kill()
        process.communicate()
    assert [run.state for run in runs_of(step)] == ["killed"]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_map_is_seen_moving(step, executor):
    """While a map runs, others see how far it is; when it is over, it is under way no more."""
    step("app.py", "work(0); list(get_checkpoint().map(slow, range(5)))")
    call = f"get_checkpoint().map(slow, range(125), workers=2, executor={executor!r}).drain()"
    process = step.start("app.py", f"{call}; print('done', flush=True); input()")
    seen = []

    def last():
        run = runs_of(step)[-1]
        if run.process == process.pid and run.maps and run.maps[0].done_now not in seen:
            seen.append(run.maps[0].done_now)
            (told,) = run.maps
            assert (told.function, told.total, told.done_before, told.workers) == ("app.slow", 125, 5, 2)
            assert run.started_at_seconds <= told.started_at_seconds <= run.updated_at_seconds
        return len([count for count in seen if count]) >= 2

    until(last)
    assert seen == sorted(seen)
    process.communicate("\n", timeout=30)
    _, run = runs_of(step)
    assert (run.maps, run.state, run.stats.misses) == ((), "ended", 120)
    with step.look() as checkpoint:
        assert {record.run for record in checkpoint.records("app.slow")} == {each.id for each in runs_of(step)}


def test_a_map_tells_even_if_nothing_ends(tmp_path):
    """A map of coroutine functions whose calls take long says that it is there, again and again."""

    async def forever(x):
        await asyncio.sleep(1000)

    async def look():
        times = set()
        with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
            drain = asyncio.create_task(checkpoint.map_async(forever, range(3), grace_seconds=0).drain())
            store = SqliteStore(str(tmp_path / "checkpoint/default/step~runs"))
            while len(times) < 2:
                await asyncio.sleep(0.05)
                times.update(info.duration_seconds for info in store.scan())
            drain.cancel()
            with pytest.raises(asyncio.CancelledError):
                await drain
            store.close()

    asyncio.run(asyncio.wait_for(look(), 30))


def test_a_child_is_no_run_of_its_own(step):
    """A process that was forked does not tell of the run of its parent, whatever it does."""
    step(
        "app.py",
        """
work(1)
child = __import__("os").fork()
if child == 0:
    work(2)
    get_checkpoint().close()
    __import__("os")._exit(0)
__import__("os").waitpid(child, 0)
work(3)
""",
    )
    (run,) = runs_of(step)
    assert (run.state, run.stats.misses) == ("ended", 2)


def test_where_runs_cannot_be_told(step):
    """Telling of runs disturbs nobody: where it does not work, everything else does, and nothing is said."""
    index = step.folder / "artifacts/checkpoint/i"
    step("app.py", "work(1)")
    subprocess.run(["rm", "-r", index / "step~runs"], check=True)
    (index / "step~runs").write_text("in the way")
    done = step("app.py", "assert (work(1), work(2)) == (1, 2)")
    assert done.stderr == ""
    with step.look() as checkpoint:
        assert len(list(checkpoint.records())) == 2


def test_a_shared_folder_has_them_too(tmp_path):
    """Where the store is one that several machines share, its runs are, too."""
    config = {"store": f"file://{tmp_path}/shared", "trust_store": True}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        doubled(1)
        doubled(1)
        checkpoint.close()
        with open_checkpoint("step", config) as other:
            (run,) = other.runs()
        assert (run.state, run.stats) == ("ended", checkpoint.stats())


def test_clearing_takes_the_runs_along(step):
    """Where the checkpoints of a folder are deleted, their runs are, and are not counted as steps."""
    step("app.py", "work(1)")
    artifacts = str(step.folder / "artifacts")
    done = subprocess.run(
        [sys.executable, "-m", "skipstone", "clear_checkpoints", artifacts],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert os.listdir(artifacts) == []
