"""Coroutine functions are kept like others: once among tasks, without holding up the event loop."""

import asyncio
import functools
import threading

import pytest

from skipstone import (
    Checkpoint,
    ClaimTimeoutError,
    NullCheckpoint,
    ReentrantCallError,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

TIMEOUT_SECONDS = 20


@pytest.fixture(autouse=True, params=["memory", "local"])
def checkpoint(request, tmp_path):
    """The current checkpoint of the test: in memory, and on disk."""
    local = request.param == "local"
    made = open_checkpoint("step", {"artifacts_dir": tmp_path}) if local else Checkpoint(MemoryStore())
    with made, use_checkpoint(made):
        yield made


def run(main):
    return asyncio.run(asyncio.wait_for(main, TIMEOUT_SECONDS))


class Gate:
    """A coroutine function whose calls count, and wait until they may go on; the first may raise."""

    def __init__(self, result="done", error=None):
        self.runs = 0
        self.entered, self.opened = asyncio.Event(), asyncio.Event()
        self.result, self.error = result, error

        @cache_with_checkpoint(id="x", name="gate")
        async def call(x):
            self.runs += 1
            self.entered.set()
            await self.opened.wait()
            if self.error and self.runs == 1:
                raise self.error
            return self.result

        self.call = call


async def turns(count=100):
    """Let the other tasks have a few turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_many_tasks_one_key_run_it_once(checkpoint):
    """Tasks that want the same call wait for the one that runs it, and get its result, each a fresh one."""

    async def main():
        gate = Gate(["done"])
        tasks = [asyncio.create_task(gate.call(1)) for _ in range(10)]
        await gate.entered.wait()
        await turns()
        assert not any(task.done() for task in tasks)
        gate.opened.set()
        results = await asyncio.gather(*tasks)
        assert results == [["done"]] * 10
        assert len({id(result) for result in results}) == 10
        assert gate.runs == 1

    run(main())
    assert (checkpoint.stats().hits, checkpoint.stats().misses) == (9, 1)


def test_other_keys_do_not_wait():
    """A call that is under way holds up no call with another id."""

    async def main():
        gate = Gate()
        first = asyncio.create_task(gate.call(1))
        await gate.entered.wait()

        @cache_with_checkpoint(id="x", name="other")
        async def other(x):
            return x

        assert await asyncio.gather(*(other(x) for x in range(20))) == [*range(20)]
        assert not first.done()
        gate.opened.set()
        await first

    run(main())


def test_when_a_call_raises_a_waiter_runs_it():
    """Who waits for a call that raises runs it itself."""

    async def main():
        gate = Gate(error=OSError("first"))
        first = asyncio.create_task(gate.call(1))
        await gate.entered.wait()
        second = asyncio.create_task(gate.call(1))
        await turns()
        gate.opened.set()
        with pytest.raises(OSError, match="first"):
            await first
        assert await second == "done"
        assert gate.runs == 2

    run(main())


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_cancellation_gives_the_claim_back(checkpoint, how):
    """A cancelled call stores nothing, is no failure, and the next who asks runs it at once."""

    async def main():
        gate = Gate()
        first = asyncio.create_task(gate.call(1))
        await gate.entered.wait()
        if how == "cancel":
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(first, 0.01)
        assert not gate.call.is_done(1)
        gate.opened.set()
        assert await gate.call(1) == "done"
        assert gate.runs == 2

    run(main())
    assert list(checkpoint.failures()) == []
    assert (checkpoint.stats().misses, checkpoint.stats().failures) == (1, 0)


def test_a_waiter_that_is_cancelled_disturbs_nobody():
    """A waiter can be cancelled: the call goes on, and other waiters get its result."""

    async def main():
        gate = Gate()
        tasks = [asyncio.create_task(gate.call(1)) for _ in range(3)]
        await gate.entered.wait()
        await turns()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        gate.opened.set()
        assert await asyncio.gather(tasks[0], tasks[2]) == ["done", "done"]
        assert gate.runs == 1

    run(main())


def test_waiting_ends_at_the_timeout():
    """With `wait_timeout`, a task that waits too long gets an error; the call itself goes on."""

    async def main():
        with use_checkpoint(Checkpoint(MemoryStore(), {"wait_timeout": 0.01})):
            gate = Gate()
            first = asyncio.create_task(gate.call(1))
            await gate.entered.wait()
            with pytest.raises(ClaimTimeoutError) as caught:
                await gate.call(1)
            assert str(caught.value) == (
                "somebody else has been computing gate for id '1' for more than 0.01 s (wait_timeout): "
                "wait longer, or see whether that process hangs"
            )
            gate.opened.set()
            assert await first == "done"

    run(main())


def test_asking_for_oneself_is_an_error_also_in_a_child_task():
    """A call that awaits its own result, directly or in a task it started, gets an error, not a deadlock."""

    async def main():
        @cache_with_checkpoint(id="x", name="again")
        async def again(x):
            return await (asyncio.create_task(again(x)) if x == "task" else again(x))

        for x in ("task", "direct"):
            with pytest.raises(ReentrantCallError):
                await again(x)

    run(main())


def test_a_task_that_outlives_its_call_is_no_part_of_it():
    """A task started by a call that has ended may ask for the same call."""

    async def main():
        started, ended = [], asyncio.Event()

        @cache_with_checkpoint(id="x", name="leaves")
        async def leaves(x):
            async def later():
                await ended.wait()
                leaves.forget(x)
                return await leaves(x)

            if not started:
                started.append(asyncio.create_task(later()))
            return x

        assert await leaves(1) == 1
        ended.set()
        assert await started[0] == 1

    run(main())


class Slow:
    """A result that is slow to save and to load: each step of its pickle waits for the event loop to turn."""

    ticks = 0
    seen_saving = seen_loading = 0

    def __init__(self, filling=b"x" * 200_000):
        self.filling = filling

    def __getstate__(self):
        Slow.seen_saving = max(Slow.seen_saving, ticks_while_waiting())
        return {"filling": self.filling}

    def __setstate__(self, state):
        Slow.seen_loading = max(Slow.seen_loading, ticks_while_waiting())
        self.__dict__.update(state)


def ticks_while_waiting():
    """Wait, without giving way to this thread's event loop, until it ticked (or for a second)."""
    before, pause = Slow.ticks, threading.Event()
    for _ in range(200):
        pause.wait(0.005)
        if Slow.ticks >= before + 5:
            break
    return Slow.ticks - before


@pytest.mark.parametrize("step", ["saving", "loading"])
def test_the_event_loop_goes_on_while_a_large_result_is_saved_or_loaded(step):
    """Other tasks have their turns while a large result is pickled or unpickled."""

    @cache_with_checkpoint(id="x", name="slow")
    async def slow(x):
        return Slow()

    async def ticker():
        while True:
            Slow.ticks += 1
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(ticker())
        await asyncio.sleep(0)
        Slow.seen_saving = Slow.seen_loading = 0
        await slow(1)
        if step == "loading":
            await slow(1)
        task.cancel()

    run(main())
    assert (Slow.seen_saving if step == "saving" else Slow.seen_loading) >= 5


async def later(x):
    return x


def now(x):
    return x


WRONG = [
    (
        lambda checkpoint: run(checkpoint.load_or_run_async(now, "k", 1)),
        now,
        "no coroutine function: call load_or_run(...)",
    ),
    (
        lambda checkpoint: checkpoint.load_or_run(later, "k", 1),
        later,
        "a coroutine function: await load_or_run_async(...)",
    ),
    (
        lambda checkpoint: checkpoint.load_or_run(functools.partial(later, 1), "k"),
        later,
        "a coroutine function: await load_or_run_async(...)",
    ),
]


@pytest.mark.parametrize(("call", "function", "message"), WRONG)
@pytest.mark.parametrize("switched", ["on", "off"])
def test_the_wrong_form_is_told(checkpoint, call, function, message, switched):
    """A function given to `load_or_run_async`, or a coroutine function to `load_or_run`, is an error that says so."""
    with pytest.raises(TypeError) as caught:
        call(checkpoint if switched == "on" else NullCheckpoint())
    assert str(caught.value) == f"{__name__}.{function.__name__} is {message} instead"


def test_load_or_run_async(checkpoint):
    """`load_or_run_async` keeps coroutine functions, methods, partials and decorated ones, under the id given."""

    class Model:
        async def ask(self, question, *, id=None):
            return question, id

    async def main():
        for _ in range(2):
            assert await checkpoint.load_or_run_async(later, "a", 1) == 1
            assert await checkpoint.load_or_run_async(Model().ask, "b", "why", id=3) == ("why", 3)
            assert await checkpoint.load_or_run_async(functools.partial(later, 2), "c") == 2

    run(main())
    assert [record.call_id for record in checkpoint.records()] == ["a", "b", "c"]
    assert (checkpoint.stats().hits, checkpoint.stats().misses) == (3, 3)


def test_switched_off_runs_coroutine_functions():
    """A NullCheckpoint awaits each call, and counts."""

    async def main():
        with use_checkpoint(NullCheckpoint()):
            gate = Gate()
            gate.opened.set()
            assert [await gate.call(1), await gate.call(1), await gate.call.rerun(1)] == ["done"] * 3
            assert gate.runs == get_checkpoint().stats().misses == 3

    run(main())
