"""`Checkpoint.map_async` does for coroutine functions what `map` does for others."""

import asyncio
import itertools
import signal

import pytest
import stamina
import tenacity

from skipstone import Failure, MapSummary, NullCheckpoint, cache_with_checkpoint, open_checkpoint, use_checkpoint

runs = []
in_flight = [0, 0]


@cache_with_checkpoint(id="x")
async def ask(x):
    in_flight[0] += 1
    in_flight[1] = max(in_flight)
    await asyncio.sleep(0.005)
    in_flight[0] -= 1
    runs.append(x)
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x * x


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in a folder, current for the test."""
    runs.clear()
    in_flight[:] = 0, 0
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as opened, use_checkpoint(opened):
        yield opened


@pytest.mark.parametrize("ordered", [True, False])
def test_thousands_of_calls_in_flight(checkpoint, ordered):
    """As many calls as asked for are in flight, and none runs again."""

    async def main():
        results = checkpoint.map_async(ask, range(2000), concurrency=1000, ordered=ordered)
        first = [result async for result in results]
        assert sorted(first) == [x * x for x in range(2000)]
        assert first == sorted(first) or not ordered
        assert 900 < in_flight[1] <= 1000
        again = checkpoint.map_async(ask, range(2010), ordered=ordered)
        assert sorted([result async for result in again]) == [x * x for x in range(2010)]
        assert again.summary() == MapSummary(2000, 10, 0)
        assert await checkpoint.map_async(ask, range(2020)).drain() == MapSummary(2010, 10, 0)
        assert await ask(2019) == 2019**2

    asyncio.run(main())
    assert sorted(runs) == list(range(2020))


def test_a_drain_is_not_held_up_by_a_slow_call(checkpoint):
    """Where nobody wants results, calls far behind a slow one run meanwhile: the window is not full of what they returned."""

    async def main():
        far_behind = asyncio.Event()

        async def work(x):
            if x == 2500:
                far_behind.set()
            return x != 0 or await asyncio.wait_for(far_behind.wait(), 20)

        results = checkpoint.map_async(work, range(3000), id="x", concurrency=2)
        assert await results.drain() == MapSummary(0, 3000, 0)

    asyncio.run(main())


def test_an_endless_input_and_a_consumer_that_stops(checkpoint):
    """No more is begun than asked for; what is in flight ends and is saved."""

    async def main():
        async with checkpoint.map_async(ask, itertools.count(), concurrency=5) as results:
            async for _ in results:
                break

    asyncio.run(main())
    assert in_flight[0] == 0
    assert 5 <= len(runs) <= 10
    assert {int(record.call_id) for record in checkpoint.records()} == set(runs)


def test_errors(checkpoint):
    """Raised with the id in a note, or returned as a Failure; and calls that failed too often are left alone."""

    async def main():
        with pytest.raises(ValueError, match="-1 is negative") as caught:
            await checkpoint.map_async(ask, [1, -1, 2], concurrency=3).drain()
        assert any("ask for id '-1'" in note for note in caught.value.__notes__)
        assert {record.call_id for record in checkpoint.records()} == {"1", "2"}
        one, failure, two = [x async for x in checkpoint.map_async(ask, [1, -1, 2], on_error="return")]
        assert (one, two) == (1, 4)
        assert isinstance(failure, Failure)
        assert failure.attempts == 2
        assert await checkpoint.map_async(ask, [1, -1], skip_failed_after=2).drain() == MapSummary(1, 0, 1)

    asyncio.run(main())
    assert runs.count(-1) == 2


@pytest.mark.parametrize(
    "policy",
    [
        tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(3), reraise=True),
        stamina.AsyncRetryingCaller(attempts=3, wait_initial=0, wait_jitter=0).on(ConnectionError),
    ],
    ids=["tenacity", "stamina"],
)
def test_retries_are_a_librarys(checkpoint, policy):
    """An AsyncRetrying of tenacity, or an AsyncRetryingCaller of stamina, is called with the function."""
    tries = itertools.count()

    async def unsteady(x):
        if next(tries) < 2:
            raise ConnectionError("not now")
        return x

    async def main():
        return [x async for x in checkpoint.map_async(unsteady, [1], retry=policy)]

    assert asyncio.run(main()) == [1]


def test_switched_off():
    """With NullCheckpoint, everything runs."""

    async def main():
        return [x async for x in NullCheckpoint().map_async(ask, [1, 2])]

    assert asyncio.run(main()) == [1, 4]


def test_the_wrong_form_is_told(checkpoint):
    """`map` is for functions, `map_async` for coroutine functions."""
    with pytest.raises(TypeError, match=r"use map_async\(...\) instead"):
        checkpoint.map(ask, [1])
    with pytest.raises(TypeError, match=r"use map\(...\) instead"):
        checkpoint.map_async(len, ["a"])
    with pytest.raises(ValueError, match="concurrency is 0"):
        checkpoint.map_async(ask, [1], concurrency=0)


PIPELINE = """
    import asyncio, sys
    from skipstone import cache_with_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    async def work(number):
        with open("began", "a") as file:
            file.write(f"{number}\\n")
        await asyncio.sleep(0.02)
        with open("ran", "a") as file:
            file.write(f"{number}\\n")

    async def main():
        async for _ in checkpoint.map_async(work, range(60), concurrency=3):
            print("result", flush=True)

    checkpoint = init_checkpoint("step")
    asyncio.run(main())
    print(checkpoint.stats())
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_and_run_again(script, kill):
    """Whatever ends the process, each call ran once in all, apart from those in flight at a SIGKILL."""
    script.write("pipeline.py", PIPELINE)
    for _ in range(3):
        errors = script.stopped(kill, "pipeline.py")
        if kill != signal.SIGKILL:
            assert "Run it again to go on" in errors
    script("pipeline.py")
    began, ran = ((script.folder / name).read_text().split() for name in ("began", "ran"))
    assert set(ran) == set(map(str, range(60)))
    if kill != signal.SIGKILL:
        assert sorted(began) == sorted(ran) == sorted(set(ran))
    assert "60 hits, 0 misses" in script("pipeline.py").stdout
