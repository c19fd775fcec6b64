"""One call runs once, however many ask for it at the same time."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time

import pytest

from skipstone import (
    ClaimTimeoutError,
    ReentrantCallError,
    cache_with_checkpoint,
    get_checkpoint,
    init_checkpoint,
    open_checkpoint,
)

WORKER = """
import asyncio, os, sys, threading, time
from skipstone import open_checkpoint

folder, kind, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
checkpoint = open_checkpoint("step", {"artifacts_dir": folder})

def note():
    with open(f"{folder}/runs", "a") as file:
        file.write(f"{os.getpid()} {time.time()}\\n")

def work():
    note()
    time.sleep(seconds)
    return os.getpid()

async def work_async():
    note()
    await asyncio.sleep(seconds)
    return os.getpid()

results = []
if kind == "threads":
    ask = lambda: results.append(checkpoint.load_or_run(work, "key"))
    threads = [threading.Thread(target=ask) for _ in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
else:
    async def main():
        return await asyncio.gather(*(checkpoint.load_or_run_async(work_async, "key") for _ in range(100)))
    results = asyncio.run(main())
print(*results)
"""


def start(folder, kind, seconds):
    command = [sys.executable, "-c", WORKER, str(folder), kind, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def runs(folder):
    path = folder / "runs"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("kind", "askers"), [("threads", 16), ("tasks", 100)])
def test_many_processes_ask_for_one_key(tmp_path, kind, askers):
    """Eight processes with 16 threads or 100 tasks each run one call exactly once, and all get its result."""
    processes = [start(tmp_path, kind, 0.5) for _ in range(8)]
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    ((process, _),) = runs(tmp_path)
    assert answers == [[process] * askers] * 8


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_one_waiter_takes_over_from_the_dead(tmp_path, kind):
    """When the process that computes is killed, exactly one of those that wait runs the call, and none hangs."""
    first = start(tmp_path, kind, 60)
    wait_until(lambda: runs(tmp_path))
    others = [start(tmp_path, kind, 0.3) for _ in range(4)]
    try:
        with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
            assert checkpoint.load_or_run(len, "another key", "abc") == 3
        assert len(runs(tmp_path)) == 1
    finally:
        first.kill()
        first.communicate()
    answers = {word for process in others for word in process.communicate(timeout=60)[0].split()}
    (_, (successor, _)) = runs(tmp_path)
    assert answers == {successor}


def test_those_who_wait_for_a_failure_run_one_at_a_time(tmp_path):
    """If the call raises, each one who waited runs it as well, never two at once, and gets its own error."""
    init_checkpoint("step", {"artifacts_dir": tmp_path})
    under_way, most, errors = [], [], []

    def fail():
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.02)
        under_way.pop()
        raise OSError("no")

    def ask():
        with pytest.raises(OSError, match="no") as caught:
            get_checkpoint().load_or_run(fail, "key")
        errors.append(caught.value)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 6
    assert len(set(map(id, errors))) == 6


@pytest.mark.parametrize("through", ["itself", "another function", "a thread with its context"])
def test_a_call_that_asks_for_itself(tmp_path, through):
    """A call that asks for its own result is told so at once, instead of waiting for itself for ever."""
    init_checkpoint("step", {"artifacts_dir": tmp_path})

    @cache_with_checkpoint(id="n")
    def outer(n):
        if through == "itself":
            return outer(n)
        if through == "another function":
            return inner(n)
        context, answers = contextvars.copy_context(), []
        thread = threading.Thread(target=lambda: answers.append(context.run(caught, n)))
        thread.start()
        thread.join(30)
        raise answers[0]

    @cache_with_checkpoint(id="n")
    def inner(n):
        return outer(n)

    def caught(n):
        try:
            return outer(n)
        except ReentrantCallError as error:
            return error

    with pytest.raises(ReentrantCallError, match="asked for its own result"):
        outer(1)


def test_a_task_that_asks_for_itself(tmp_path):
    """The same holds for coroutine functions, also through a task that the call starts."""
    init_checkpoint("step", {"artifacts_dir": tmp_path})

    @cache_with_checkpoint(id="n")
    async def outer(n):
        return await asyncio.create_task(outer(n))

    with pytest.raises(ReentrantCallError):
        asyncio.run(outer(1))


def test_waiting_can_be_bounded(tmp_path):
    """With `wait_timeout`, who waits longer is told what for; the one who computes is not disturbed."""
    config = {"artifacts_dir": tmp_path, "wait_timeout": 0.05}
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go_on.wait(30)
        return os.getpid()

    with open_checkpoint("step", config) as checkpoint:
        results = []
        thread = threading.Thread(target=lambda: results.append(checkpoint.load_or_run(work, "key")))
        thread.start()
        assert begun.wait(30)
        with pytest.raises(
            ClaimTimeoutError, match=r"has been computing .*work for id 'key' for more than 0\.05 s"
        ):
            checkpoint.load_or_run(work, "key")
        go_on.set()
        thread.join(30)
        assert results == [os.getpid()]
        assert checkpoint.load_or_run(work, "key") == os.getpid()
