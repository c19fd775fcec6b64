"""Executors of the user's own, and processes that are spawned."""

import multiprocessing
import os
import sys
import traceback
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor

import pytest

from skipstone import MissingExtraError, cache_with_checkpoint, get_checkpoint, init_checkpoint, open_checkpoint
from skipstone.stores import _urls

URL = "redis://me:s3cret@localhost:1/0"


@cache_with_checkpoint(id="x")
def square(x):
    return x * x, os.getpid()


@pytest.fixture
def spawn():
    return multiprocessing.get_context("spawn")


def test_one_line_makes_a_checkpoint_current_in_a_pool(tmp_path, spawn):
    """With `init_checkpoint` as the pool's initializer, decorated functions are looked up in whatever it runs."""
    arguments = "step", {"artifacts_dir": tmp_path}
    checkpoint = init_checkpoint(*arguments)
    with ProcessPoolExecutor(1, spawn, initializer=init_checkpoint, initargs=arguments) as pool:
        nine, process = pool.submit(square, 3).result()
        assert (nine, process != os.getpid()) == (9, True)
        assert list(checkpoint.map(square, [3, 4], executor=pool)) == [(9, process), (16, process)]
    assert square(3) == (9, process)
    assert checkpoint.stats().misses == 1


def test_the_same_line_tells_it_a_password(spawn):
    """A pickled checkpoint is opened with the password that the initializer was given."""
    arguments = "step", {"store": URL}
    with ProcessPoolExecutor(1, spawn, initializer=init_checkpoint, initargs=arguments) as pool:
        assert pool.submit(_urls.received, _urls.shown(URL)).result() == URL


@pytest.mark.parametrize(("executor", "library"), [("ray", "ray"), ("dask", "distributed"), ("slurm", "submitit")])
def test_a_missing_library_is_told_with_its_extra(memory, monkeypatch, executor, library):
    """Without the library of a cluster, the message says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'needs {library}: pip install "skipstone\[{executor}\]"'):
        memory.map(square, [1], executor=executor)


SPAWNED = """
    import multiprocessing
    from dataclasses import dataclass

    from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

    @dataclass
    class Square:
        of: int
        value: int

    @cache_with_checkpoint(id="x")
    def square(x):
        with open("runs", "a") as runs:
            print(x, file=runs)
        return Square(x, inner(x))

    @cache_with_checkpoint(id="x")
    def inner(x):
        return x * x

    if __name__ == "__main__":
        multiprocessing.set_start_method("spawn")
        checkpoint = init_checkpoint("step")
        results = list(checkpoint.map(square, range(20), executor="processes", workers=2))
        assert results == [Square(x, x * x) for x in range(20)]
        assert inner(19) == 361
        print(checkpoint.stats().misses)
"""


def test_a_script_whose_processes_are_spawned(script):
    """Its functions and classes are found there, each call runs once, and a second run finds all of them."""
    script.write("pipeline.py", SPAWNED)
    assert script("pipeline.py").stdout == "40\n"
    assert script("pipeline.py").stdout == "0\n"
    assert sorted(map(int, (script.folder / "runs").read_text().split())) == list(range(20))


class BreakingPool(ProcessPoolExecutor):
    """Takes so many tasks, and then fails all of them with one error."""

    def __init__(self, tasks):
        super().__init__(tasks)
        self.left = tasks
        self.waiting = []
        self.error = BrokenExecutor("all are dead")

    def submit(self, function, /, *args):
        future = Future()
        future.set_running_or_notify_cancel()
        self.waiting.append(future)
        self.left -= 1
        while self.left <= 0 and self.waiting:
            self.waiting.pop().set_exception(self.error)
        return future


def test_an_error_that_many_tasks_share_has_a_short_traceback(tmp_path):
    """Whatever number of tasks a broken pool fails, its error tells how it came to the caller, once."""
    with (
        open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint,
        pytest.raises(BrokenExecutor, match="all are dead") as caught,
    ):
        checkpoint.map(square, range(200), executor=BreakingPool(100)).drain()
    assert len(traceback.extract_tb(caught.value.__traceback__)) < 20


DONE = """
    import multiprocessing, os, sys
    from skipstone import init_checkpoint

    def square(x):
        return x * x

    def children():
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return len(file.read().split())

    if __name__ == "__main__":
        multiprocessing.set_start_method("spawn")
        checkpoint = init_checkpoint("step")
        for last in map(int, sys.argv[1:]):
            assert list(checkpoint.map(square, range(last), executor="processes", workers=2))[-1] == (last - 1) ** 2
            print(children() > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_no_process_starts_where_nothing_is_missing(script):
    """Worker processes, and what watches over them, start at the first missing call."""
    script.write("pipeline.py", DONE)
    assert script("pipeline.py", 20).stdout == "True\n"
    assert script("pipeline.py", 20, 21).stdout == "False\nTrue\n"


def test_a_wrapped_function_takes_its_checkpoint_along(tmp_path, spawn):
    """It can be pickled where the function can, and its generator runs with the checkpoint, too."""
    checkpoint = init_checkpoint("step", {"artifacts_dir": tmp_path})
    with ProcessPoolExecutor(1, spawn) as pool:
        nine, process = pool.submit(checkpoint.wrap(square), 3).result()
    assert process != os.getpid()
    assert square(3) == (nine, process)
    squares = checkpoint.wrap(squares_of)
    init_checkpoint("another", {"artifacts_dir": tmp_path})
    for value, here in squares([3, 4]):
        assert value in (9, 16)
        assert get_checkpoint().name == "another"
        assert here == "step"
    assert (squares.__name__, squares.__wrapped__) == ("squares_of", squares_of)


def squares_of(numbers):
    for number in numbers:
        yield square(number)[0], get_checkpoint().name
