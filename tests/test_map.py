"""`Checkpoint.map` runs what is missing, once, in threads or processes, and streams the results."""

import functools
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import stamina
import tenacity

from skipstone import (
    Checkpoint,
    Failure,
    IdExpressionError,
    MapSummary,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

runs = []


@cache_with_checkpoint(id="x")
def square(x):
    runs.append(x)
    return x * x


@cache_with_checkpoint(id="x")
def choosy(x):
    runs.append(x)
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


class UnpicklableError(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} {other}")

    def __reduce__(self):
        # What it has for want of one, but Dask lets tblib pickle that in another way.
        return type(self), self.args


@cache_with_checkpoint(id="x")
def badly(x):
    raise UnpicklableError(x, "fails badly")


def scaled(factor, x):
    runs.append((factor, x))
    return factor * x


def process_of(_):
    return os.getpid()


@cache_with_checkpoint
def nested(x):
    return square(x) + 1


@pytest.fixture(autouse=True)
def _no_runs():
    runs.clear()


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in a folder, current for the test."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as opened, use_checkpoint(opened):
        yield opened


EXECUTORS = pytest.mark.parametrize("executor", ["threads", "processes"])


@EXECUTORS
@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_done_does_not_run_again(checkpoint, executor, ordered):
    """Results come in the order of the input, or in any; a second map runs what is new."""
    first = list(checkpoint.map(square, range(100), executor=executor, ordered=ordered, workers=2))
    assert sorted(first) == [x * x for x in range(100)]
    assert first == sorted(first) or not ordered
    assert checkpoint.stats().misses == 100
    again = checkpoint.map(square, range(120), executor=executor, ordered=ordered, workers=2)
    assert sorted(again) == [x * x for x in range(120)]
    assert again.summary() == MapSummary(done_before=100, done_now=20, failed=0)
    assert checkpoint.stats().misses == 120


def test_draining_loads_nothing(checkpoint):
    """`drain` runs what is missing and loads no result."""
    list(checkpoint.map(square, range(50)))
    loaded = checkpoint.stats().bytes_loaded
    assert checkpoint.map(square, range(80)).drain() == MapSummary(50, 30, 0)
    assert checkpoint.stats().bytes_loaded == loaded
    assert list(checkpoint.map(square, range(80))) == [x * x for x in range(80)]
    assert len(runs) == 80


def test_plain_functions_partials_methods_and_several_iterables(checkpoint):
    """What can be called can be mapped; the id is the decorator's, the given one, or all arguments."""

    class Model:
        name = "m"

        @cache_with_checkpoint(id="self.name + str(x)")
        def embed(self, x):
            runs.append(x)
            return -x

    double = functools.partial(scaled, 2)
    for _ in range(2):
        assert list(checkpoint.map(scaled, [1, 2], [3, 4])) == [3, 8]
        assert list(checkpoint.map(double, [5, 6])) == [10, 12]
        assert list(checkpoint.map(scaled, itertools.repeat(7), [8], id="str(x)")) == [56]
        assert list(checkpoint.map(Model().embed, [1, 2])) == [-1, -2]
        assert list(checkpoint.map(len, ["a", "bc"])) == [1, 2]
    assert sorted(runs[:5]) == [(1, 3), (2, 4), (2, 5), (2, 6), (7, 8)]
    assert sorted(runs[5:]) == [1, 2]
    assert square(3) == 9
    assert list(checkpoint.map(square, [3])) == [9]
    assert runs.count(3) == 1


def test_what_it_says_of_itself(checkpoint):
    """Shown, it names the function and says how far it is; nothing runs before the first result is asked for."""
    results = checkpoint.map(square, [1, 2, 3])
    assert repr(results).endswith("square: 0 of 3 done (0 before)>")
    list(results)
    assert repr(results).endswith("square: 3 of 3 done (0 before)>")


def test_input_is_read_as_it_is_needed(checkpoint):
    """An endless input works, and no more than a window of it is held."""
    read = itertools.count()
    with checkpoint.map(square, read, window=10, workers=2) as results:
        assert list(itertools.islice(results, 100)) == [x * x for x in range(100)]
    assert next(read) <= 111
    list(checkpoint.map(square, range(300)))
    alive = []

    class Large(list):
        def __init__(self, number):
            super().__init__([number])
            alive.append(self)

        def __skipstone_id__(self):
            return self[0]

    for count, _ in enumerate(checkpoint.map(len, map(Large, range(300)), window=20)):
        del alive[: max(0, len(alive) - 21)]
    assert count == 299


def test_a_drain_is_not_held_up_by_a_slow_call(checkpoint):
    """Where nobody wants results, calls far behind a slow one run meanwhile: the window is not full of what they returned."""
    far_behind = threading.Event()

    def work(x):
        if x == 2500:
            far_behind.set()
        return x != 0 or far_behind.wait(20)

    assert checkpoint.map(work, range(3000), id="x", workers=2).drain() == MapSummary(0, 3000, 0)
    assert checkpoint.load_or_run(work, 0, 0)


def test_results_come_while_work_goes_on(checkpoint):
    """The first result does not wait for the last."""
    go_on = threading.Event()

    def waits(x):
        assert x == 0 or go_on.wait(10)
        return x

    results = checkpoint.map(waits, range(5), workers=2)
    assert next(results) == 0
    go_on.set()
    assert list(results) == [1, 2, 3, 4]


@EXECUTORS
def test_the_first_error_ends_it(checkpoint, executor):
    """With on_error="raise", what is in flight is saved, the error names its id, and a rerun goes on."""
    items = [*range(20), -1, *range(20, 2000)]
    with pytest.raises(ValueError, match="-1 is negative") as caught:
        list(checkpoint.map(choosy, items, executor=executor, workers=2))
    assert any("choosy for id '-1'" in note for note in caught.value.__notes__)
    done = {int(record.call_id) for record in checkpoint.records()}
    assert set(range(10)) <= done
    assert len(done) < 1500
    (failure,) = checkpoint.failures()
    assert (failure.call_id, failure.attempts) == ("-1", 1)
    assert "ValueError: -1 is negative" in failure.traceback
    assert checkpoint.plan(choosy, items)[:3] == (len(done), 2001 - len(done), 1)


@EXECUTORS
def test_failures_in_the_place_of_results(checkpoint, executor):
    """With on_error="return", a Failure stands where the result would; a rerun tries again, but not for ever."""
    for attempts in (1, 2):
        two, failure, three = checkpoint.map(choosy, [2, -1, 3], executor=executor, on_error="return", workers=1)
        assert (two, three) == (2, 3)
        assert isinstance(failure, Failure)
        assert (failure.error, failure.attempts) == ("ValueError: -1 is negative", attempts)
        assert failure.call_id == "-1"
    runs.clear()
    results = checkpoint.map(choosy, [2, -1, 3], executor=executor, skip_failed_after=2)
    assert next(results) == 2
    assert next(results)._replace(failed_at_seconds=0) == failure._replace(failed_at_seconds=0)
    assert next(results) == 3
    assert results.summary() == MapSummary(2, 0, 1)
    assert not runs
    assert checkpoint.stats().left_alone == 1
    assert [failed.attempts for failed in checkpoint.failures()] == [2]


def test_an_error_that_cannot_be_pickled(checkpoint):
    """It comes back from another process as one that can be, with the traceback in a note."""
    with pytest.raises(RuntimeError, match="UnpicklableError: 1 fails badly") as caught:
        list(checkpoint.map(badly, [1], executor="processes", workers=1))
    assert "UnpicklableError" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    "policy",
    [
        tenacity.Retrying(stop=tenacity.stop_after_attempt(3), reraise=True),
        stamina.RetryingCaller(attempts=3, wait_initial=0, wait_jitter=0).on(ConnectionError),
    ],
    ids=["tenacity", "stamina"],
)
def test_retries_are_a_librarys(checkpoint, policy):
    """A policy of tenacity or stamina is called with the function; only its last word counts as a failure."""
    tries = itertools.count()

    def unsteady(x):
        if next(tries) < 2 or x < 0:
            raise ConnectionError("not now")
        return x

    assert list(checkpoint.map(unsteady, [1], retry=policy)) == [1]
    assert not list(checkpoint.failures())
    with pytest.raises(ConnectionError):
        list(checkpoint.map(unsteady, [-1], retry=policy))
    assert [failure.attempts for failure in checkpoint.failures()] == [1]
    assert next(tries) == 6


def test_the_users_own_executor(checkpoint):
    """Any executor does, and stays open; processes write to the same store and see the same checkpoint."""
    with ThreadPoolExecutor(2) as pool:
        assert list(checkpoint.map(square, [1, 2], executor=pool)) == [1, 4]
        assert pool.submit(int, "3").result() == 3
    with ProcessPoolExecutor(2) as pool:
        assert list(checkpoint.map(nested, [1, 2, 5], executor=pool)) == [2, 5, 26]
        assert os.getpid() not in set(checkpoint.map(process_of, range(5), executor=pool))
    assert square(5) == 25
    assert runs.count(5) == 0


def test_the_context_travels_to_threads():
    """Decorated functions inside of a call use the checkpoint that is current where map was called."""
    with use_checkpoint(Checkpoint(MemoryStore())) as checkpoint:
        assert list(checkpoint.map(nested, range(5))) == [1, 2, 5, 10, 17]
        assert get_checkpoint().stats().misses == 10


def test_a_result_that_was_deleted_meanwhile_is_computed_again(checkpoint):
    """What was found done and is gone when its turn comes runs in the consumer's thread."""
    list(checkpoint.map(square, range(10)))
    results = checkpoint.map(square, range(10))
    assert next(results) == 0
    checkpoint.clear(square)
    assert list(results) == [x * x for x in range(1, 10)]


def test_calls_that_ask_for_each_other(checkpoint):
    """A call may ask for another one of the same map."""

    @cache_with_checkpoint(id="n")
    def fibonacci(n):
        runs.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    for order in (range(25), range(24, -1, -1)):
        checkpoint.clear(fibonacci)
        runs.clear()
        assert list(checkpoint.map(fibonacci, order, workers=2))[-1 if order.step > 0 else 0] == 46368
        assert sorted(runs) == list(range(25))


def test_one_id_twice(checkpoint):
    """The same call twice in the input runs once."""
    assert list(checkpoint.map(square, [3] * 50, workers=4)) == [9] * 50
    assert runs == [3]


def test_a_plan_tells_what_it_would_take(checkpoint):
    """`plan` counts and estimates, and runs nothing."""
    assert str(checkpoint.plan(square, range(5))) == "0 done, 5 missing"

    def slow(x):
        time.sleep(0.02)
        return b"x" * 1000

    list(checkpoint.map(slow, range(5)))
    plan = checkpoint.plan(slow, range(15))
    assert plan[:3] == (5, 10, 0)
    assert 0.2 <= plan.estimated_seconds < 2
    assert 10_000 < plan.estimated_bytes < 12_000


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"executor": "thraeds"}, ValueError, "executor is 'thraeds', expected"),
        ({"workers": 0}, ValueError, "workers is 0, expected a whole number, at least 1"),
        ({"window": 0}, ValueError, "window is 0, expected a whole number, at least 1"),
        ({"workers": "two"}, ValueError, "workers is 'two', expected a whole number, at least 1"),
        ({"skip_failed_after": 1.5}, ValueError, "skip_failed_after is 1.5, expected a whole number"),
        ({"batch_size": "all"}, ValueError, "batch_size is 'all', expected a whole number"),
        ({"retry": 3}, TypeError, "retry is 3, expected a policy, such as tenacity.Retrying"),
        ({"on_error": "ignore"}, ValueError, "on_error is 'ignore', expected"),
        ({"id": "y"}, IdExpressionError, "there is no parameter 'y'"),
    ],
)
def test_nonsense_is_refused(checkpoint, settings, error, message):
    """Wrong settings are told at once."""
    with pytest.raises(error, match=message):
        checkpoint.map(scaled, [1], [2], **settings)


def test_what_cannot_be_mapped_is_refused(checkpoint):
    """Coroutine functions, nothing to map over, and functions that another process cannot find."""

    async def later(x):
        return x

    def local(x):
        return x

    def several(x):
        yield x

    with pytest.raises(TypeError, match="is a generator function"):
        checkpoint.map(several, [1])
    with pytest.raises(TypeError, match="is a coroutine function"):
        checkpoint.map(later, [1])
    with pytest.raises(TypeError, match="map needs something to map over"):
        checkpoint.map(square)
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        checkpoint.map(local, [1], executor="processes")


def test_a_consumer_that_stops(checkpoint):
    """Calls in flight end and are saved, no others begin, and the workers are gone."""
    threads = set(threading.enumerate())
    begun = threading.Event()

    def slow(x):
        begun.set()
        time.sleep(0.05)
        return x

    for _ in checkpoint.map(slow, itertools.count(), workers=2):
        break
    gc.collect()
    assert begun.is_set()
    assert set(threading.enumerate()) <= threads
    assert 1 <= len(list(checkpoint.records())) <= 8


MAP = """
    import os, sys, time
    from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    def work(number):
        with open("began", "a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.02)
        with open("ran", "a") as file:
            file.write(f"{number}\\n")
        return os.getpid()

    if __name__ == "__main__":
        checkpoint = init_checkpoint("step")
        for _ in checkpoint.map(work, range(int(sys.argv[2])), executor=sys.argv[1], workers=2):
            print("result", flush=True)
        print(checkpoint.stats())
"""


def lines(script, name):
    path = script.folder / name
    return path.read_text().split() if path.exists() else []


@EXECUTORS
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_run_again(script, executor, kill):
    """Whatever ends the process, each call ran once in all, apart from those in flight at a SIGKILL."""
    script.write("pipeline.py", MAP)
    for _ in range(3):
        errors = script.stopped(kill, "pipeline.py", executor, 60)
        if kill != signal.SIGKILL:
            assert "Run it again to go on" in errors
    time.sleep(0.2)  # a worker may outlive its parent by a moment
    count = len(lines(script, "began"))
    time.sleep(0.3)
    assert len(lines(script, "began")) == count
    script("pipeline.py", executor, 60)
    ran = lines(script, "ran")
    assert set(ran) == set(map(str, range(60)))
    in_flight = 3 * 4 if kill == signal.SIGKILL else 0
    assert len(ran) <= 60 + in_flight
    if kill != signal.SIGKILL:
        assert sorted(lines(script, "began")) == sorted(ran)
    assert "60 hits, 0 misses" in script("pipeline.py", executor, 60).stdout


ENDLESS = """
    import time
    from skipstone import cache_with_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    def work(number):
        print("began", flush=True)
        time.sleep(3600)

    if __name__ == "__main__":
        init_checkpoint("step").map(work, [1, 2], executor="processes", workers=2).drain()
"""


def test_interrupted_once_more(script):
    """Who presses Ctrl-C again does not wait for calls in flight, and sees where it was pressed first, and nothing else."""
    script.write("pipeline.py", ENDLESS)
    process = script.start("pipeline.py")
    assert [process.stdout.readline() for _ in range(2)] == ["began\n"] * 2
    for _ in range(100):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            continue
        break
    _, errors = process.communicate(timeout=30)
    assert "Run it again to go on" in errors
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1


def test_a_worker_that_dies(checkpoint):
    """The map ends with an error that says so; what was done is there."""
    with pytest.raises(Exception, match="terminated abruptly"):
        list(checkpoint.map(deadly, range(10), executor="processes", workers=1))
    assert 0 in {int(record.call_id) for record in checkpoint.records()}


@cache_with_checkpoint(id="x")
def deadly(x):
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("items", [[1, -2, 3], range(256)], ids=["few", "blocks"])
@pytest.mark.parametrize("read", [list, iter], ids=["sized", "unsized"])
def test_whose_last_result_was_given_out_was_not_stopped(checkpoint, caplog, items, read):
    """`zip` never asks for what comes after the last one: nobody is told to run again what is done."""
    with caplog.at_level("INFO", "skipstone"):
        pairs = list(zip(items, checkpoint.map(choosy, read(items), on_error="return"), strict=False))
        gc.collect()
    assert len(pairs) == len(items)
    assert "choosy: " in caplog.text
    assert "stopped" not in caplog.text
    caplog.clear()
    for _ in checkpoint.map(choosy, read(range(1000, 2000)), window=10):
        break
    gc.collect()
    assert "stopped" in caplog.text


def test_a_bar_and_a_log(checkpoint, capsys, caplog):
    """A bar tells what was done before and what failed; without one, the end is logged."""
    list(checkpoint.map(choosy, [1, 2]))
    list(checkpoint.map(choosy, [1, 2, 3, -1], progress=True, on_error="return"))
    shown = capsys.readouterr().err
    assert "2 done before, 1 failed" in shown
    assert "4/4" in shown
    with caplog.at_level("INFO", "skipstone"):
        list(checkpoint.map(choosy, [1, 2, 3, 4], progress=False))
    assert "choosy: 4 of 4 done (3 before)" in caplog.text
    assert not capsys.readouterr().err


def test_no_bar_where_standard_error_was_closed(checkpoint, monkeypatch):
    """A bar that is asked for in a process without standard error, such as a daemon, is left out."""
    monkeypatch.setattr(sys, "stderr", None)
    assert len(list(checkpoint.map(choosy, [1, 2], progress=True))) == 2


def test_a_handler_of_sigterm_stays(tmp_path):
    """A map leaves the user's own handler of SIGTERM in place, and puts back what it replaces."""
    seen = []
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        for handler in (lambda *_: None, signal.SIG_DFL):
            before = signal.signal(signal.SIGTERM, handler)
            try:
                results = checkpoint.map(square, range(2), workers=1)
                seen.extend(signal.getsignal(signal.SIGTERM) is handler for _ in results)
                assert signal.getsignal(signal.SIGTERM) is handler
            finally:
                signal.signal(signal.SIGTERM, before)
    assert seen == [True, True, False, False]
