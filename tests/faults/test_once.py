"""Once: whoever asks for one key at the same time, one computes it, and all have its result."""

import asyncio
import contextvars
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from harness import Child
from once import Log

from skipstone import ClaimTimeoutError, ReentrantCallError, cache_with_checkpoint, open_checkpoint, use_checkpoint


@contextmanager
def asking(folder, *crowd, **options):
    """Start a process for each of the crowd, its store open, and let them all ask at once."""
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                Child("ask_for_one_key", folder=folder, log=os.path.join(folder, "log"), **{**options, **each})
            )
            for each in crowd
        ]
        for child in children:
            assert child.line() == "ready"
        for child in children:
            child.go()
        yield children


def runs(folder):
    """Return begin, end and process of each run, from the log; the end is None where there was none."""
    found = {}
    for at, process, words in Log(os.path.join(folder, "log")).read():
        if words == ["begin"]:
            found.setdefault(process, []).append([at, None])
        else:
            found[process][-1][1] = at
    return sorted((begin, end, process) for process, spans in found.items() for begin, end in spans)


CROWDS = {
    "8 processes": [{}] * 8,
    "16 threads": [{"threads": 16}],
    "100 tasks": [{"tasks": 100}],
    "all at once": [{}, {}, {"threads": 16}, {"threads": 16}, {"tasks": 100}, {"tasks": 100}],
}


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
def test_one_execution(folder, crowd):
    """Processes, threads and tasks that ask for one key at the same time have it computed once."""
    with asking(folder, *crowd) as children:
        answers = [child.result() for child in children]
    assert len(runs(folder)) == 1
    for each, answer in zip(crowd, answers, strict=True):
        assert answer["answers"] == ["right"] * max(1, *each.values(), 1)
        assert answer["warnings"] == []


@pytest.mark.slow
def test_one_execution_again_and_again(folder):
    """The same for short calls, where the claim ends at once: 20 keys, one execution each."""
    for number in range(20):
        crowd = [{}, {}, {"threads": 8}, {"tasks": 20}]
        os.mkdir(f"{folder}/{number}")
        with asking(f"{folder}/{number}", *crowd, seconds=0) as children:
            answers = [child.result() for child in children]
        assert len(runs(f"{folder}/{number}")) == 1
        assert {each for answer in answers for each in answer["answers"]} == {"right"}


@pytest.mark.parametrize("waiters", [[{}] * 4, [{}, {"threads": 4}, {"tasks": 20}]], ids=["processes", "mixed"])
def test_the_holder_is_killed(folder, waiters):
    """The computing process is killed: one waiter takes over at once, runs it once for all, and none hangs."""
    with asking(folder, {}, seconds=60) as (holder,):
        until(lambda: len(runs(folder)) == 1)
        with asking(folder, *waiters) as children:
            until_waiting(children)
            killed_at = time.monotonic()
            os.kill(holder.pid, signal.SIGKILL)
            answers = [child.result(20) for child in children]
    _, (begin, end, process) = runs(folder)  # one more, and no others
    assert process in [child.pid for child in children]
    assert end is not None
    assert begin - killed_at < 1, "the promise is 0.1 s; a busy machine gets ten times that"
    assert {each for answer in answers for each in answer["answers"]} == {"right"}


def until(condition, seconds=20):
    """Wait until something holds."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        pause.wait(0.005)


def until_waiting(children):
    """Wait until processes have used some time after they were let go, and none has ended or begun to run."""
    pause, deadline = threading.Event(), time.monotonic() + 0.3
    while time.monotonic() < deadline:
        pause.wait(0.02)
    assert all(os.path.exists(f"/proc/{child.pid}") for child in children)


@pytest.mark.parametrize("crowd", [[{}] * 5, [{"threads": 6}], [{"tasks": 6}], [{}, {"threads": 3}, {"tasks": 3}]])
def test_the_call_raises(folder, crowd):
    """Each caller of a call that raises runs it itself and gets its own error; never do two run at a time."""
    with asking(folder, *crowd, seconds=0.05, failures=1000) as children:
        answers = [child.result() for child in children]
    callers = sum(max(1, *each.values(), 1) for each in crowd)
    found = runs(folder)
    assert len(found) == callers
    for (_, end, _), (begin, _, _) in zip(found, found[1:], strict=False):
        assert end <= begin
    for child, answer in zip(children, answers, strict=True):
        assert set(answer["answers"]) == {f"ValueError: run by {child.pid}"}


def test_the_call_raises_at_first(folder):
    """When a call that raised succeeds for a waiter, the others have its result."""
    with asking(folder, *[{}] * 4, {"tasks": 5}, seconds=0.05, failures=2) as children:
        answers = [each for child in children for each in child.result()["answers"]]
    assert len(runs(folder)) == 3
    assert len([each for each in answers if each.startswith("ValueError")]) == 2
    assert answers.count("right") == len(answers) - 2


@pytest.mark.parametrize("crowd", [{}, {"threads": 3}, {"tasks": 3}], ids=["plain", "threads", "tasks"])
def test_waiting_ends(folder, crowd):
    """With `wait_timeout`, a waiter gets ClaimTimeoutError while the call goes on, and the holder is not disturbed."""
    with asking(folder, {}, seconds=None) as (holder,):
        until(lambda: len(runs(folder)) == 1)
        with asking(folder, crowd, wait_timeout=0.2) as (waiter,):
            answers = waiter.result(20)["answers"]
        holder.go()
        assert len(answers) == max(1, *crowd.values(), 1)
        assert all(answer.startswith("ClaimTimeoutError: ") for answer in answers)
        assert holder.result(20)["answers"] == ["right"]
    assert len(runs(folder)) == 1


def test_not_waiting_at_all(folder):
    """With `wait_timeout` 0, a call that somebody else computes is refused at once."""
    with open_checkpoint("step", {"artifacts_dir": folder, "wait_timeout": 0}) as checkpoint:
        inside, go_on = threading.Event(), threading.Event()

        def compute():
            inside.set()
            assert go_on.wait(20)
            return 1

        thread = threading.Thread(target=checkpoint.load_or_run, args=(compute, "key"))
        thread.start()
        assert inside.wait(20)
        with pytest.raises(ClaimTimeoutError):
            checkpoint.load_or_run(compute, "key")
        go_on.set()
        thread.join()
        assert checkpoint.load_or_run(compute, "key") == 1


def test_other_keys_do_not_wait(folder):
    """While one key is computed, others are computed and loaded."""
    with asking(folder, {}, seconds=60) as _:
        until(lambda: len(runs(folder)) == 1)
        with asking(folder, {}, id="another", seconds=0) as (other,):
            assert other.result(20)["answers"] == ["right"]


@pytest.fixture
def current(folder):
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint, use_checkpoint(checkpoint):
        yield checkpoint


def at_once(call):
    """Check that a call is refused as one of itself, and soon."""
    began = time.monotonic()
    with pytest.raises(ReentrantCallError):
        call()
    assert time.monotonic() - began < 5


def test_a_call_of_itself(current):
    """A call that asks for its own result is an error, not a deadlock; afterwards the key is free."""
    deep = True

    @cache_with_checkpoint(id="id")
    def again(id):
        return again(id) if deep else "done"

    at_once(lambda: again("key"))
    deep = False
    assert again("key") == "done"


def test_a_call_of_itself_through_another(current):
    """So is one that comes back by way of another function."""

    @cache_with_checkpoint(id="id")
    def first(id):
        return second(id)

    @cache_with_checkpoint(id="id")
    def second(id):
        return first(id)

    at_once(lambda: first("key"))
    at_once(lambda: second("key"))


def test_a_call_of_itself_in_a_task(current):
    """So is one of a coroutine function, awaited at once, in a task, or gathered."""
    ways = [
        lambda id: again(id),
        lambda id: asyncio.create_task(again(id)),
        lambda id: asyncio.gather(again(id), again(id)),
    ]
    way = ways[0]

    @cache_with_checkpoint(id="id")
    async def again(id):
        return await way(id)

    for way in ways:
        at_once(lambda: asyncio.run(again("key")))


def test_a_call_of_itself_in_a_thread(current):
    """So is one in a thread that has the context, as asyncio.to_thread and copy_context().run give it."""

    @cache_with_checkpoint(id="id")
    def again(id):
        errors = []

        def below():
            try:
                again(id)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(below,))
        thread.start()
        thread.join()
        raise errors[0]

    at_once(lambda: again("key"))

    @cache_with_checkpoint(id="id")
    async def again_async(id):
        return await asyncio.to_thread(asyncio.run, again_async(id))

    at_once(lambda: asyncio.run(again_async("key")))


def test_the_same_id_of_another_function(current):
    """A function that asks another one with the same id is none of itself."""

    @cache_with_checkpoint(id="id")
    def inner(id):
        return f"inner {id}"

    @cache_with_checkpoint(id="id")
    def outer(id):
        return f"outer {inner(id)}"

    assert outer("key") == outer("key") == "outer inner key"
