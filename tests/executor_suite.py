"""What a map keeps to, whichever executor runs its calls: derive from `ExecutorSuite`, and give a fixture `executor`."""

import functools
import os
import sys

import pytest

from skipstone import Failure, MapSummary, NullCheckpoint, cache_with_checkpoint, open_checkpoint, use_checkpoint

FEW, MORE = 40, 50


def note(path, number):
    with open(path, "a") as file:
        file.write(f"{number}\n")


@cache_with_checkpoint(id="number")
def square(path, number):
    note(path, number)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number, os.getpid()


@cache_with_checkpoint(id="number")
def nested(path, number):
    return square(path, number)[0] + 1


@cache_with_checkpoint(id="number", each="numbers")
def squares(path, numbers):
    for number in numbers:
        note(path, number)
    return [number * number for number in numbers]


class ExecutorSuite:
    """The promises."""

    is_here = False
    """Whether calls run in this process."""
    goes_on = False
    """Whether what was handed out runs to its end when the map is stopped."""
    knows_modules = True
    """Whether its workers can import this file."""

    @pytest.fixture(autouse=True)
    def _checkpoint(self, tmp_path):
        self.runs = tmp_path / "runs"
        arguments = "step", {"artifacts_dir": tmp_path}
        if not self.knows_modules:
            import cloudpickle

            cloudpickle.register_pickle_by_value(sys.modules[__name__])
        with open_checkpoint(*arguments) as self.checkpoint, use_checkpoint(self.checkpoint):
            yield
        if not self.knows_modules:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])

    @pytest.fixture
    def run(self, executor):
        """Map a function of this file over numbers."""

        def run(function, numbers, checkpoint=None, **settings):
            method = functools.partial(function, str(self.runs))
            return (checkpoint or self.checkpoint).map(method, numbers, executor=executor, workers=2, **settings)

        return run

    def ran(self):
        return sorted(map(int, self.runs.read_text().split())) if self.runs.exists() else []

    def test_each_call_runs_once(self, run):
        """Results come in order, from where calls run; a second map runs what is new; counts are those of all workers."""
        results = list(run(square, range(FEW)))
        assert [value for value, _ in results] == [number * number for number in range(FEW)]
        assert (os.getpid() in {process for _, process in results}) == self.is_here
        again = run(square, range(MORE))
        assert sorted(value for value, _ in again) == [number * number for number in range(MORE)]
        assert again.summary() == MapSummary(done_before=FEW, done_now=MORE - FEW, failed=0)
        assert self.ran() == list(range(MORE))
        assert self.checkpoint.stats().misses == MORE

    def test_nothing_missing_and_nothing_at_all(self, run):
        """A map whose calls are all done runs none, and so does one without any."""
        run(square, range(3)).drain()
        assert run(square, range(3)).drain() == MapSummary(3, 0, 0)
        assert list(run(square, [])) == []

    def test_draining_loads_nothing(self, run):
        """Results are saved where they were computed, and loaded only for those who ask."""
        assert run(square, range(FEW)).drain() == MapSummary(0, FEW, 0)
        assert self.checkpoint.stats().bytes_loaded == 0
        assert (os.getpid() in {record.process for record in self.checkpoint.records()}) == self.is_here

    def test_failures(self, run):
        """An error is raised with its id, or stands as a Failure in the result's place; attempts are counted."""
        with pytest.raises(ValueError, match="-1 is negative") as caught:
            list(run(square, [-1]))
        assert any("square for id '-1'" in note for note in caught.value.__notes__)
        (one, _), failure = run(square, [1, -1], on_error="return")
        assert (one, type(failure), failure.attempts) == (1, Failure, 2)

    def test_calls_inside_of_calls(self, run):
        """Decorated functions that a call calls are looked up, and kept, in the same store."""
        assert list(run(nested, range(5))) == [number * number + 1 for number in range(5)]
        assert [square(str(self.runs), number)[0] for number in range(5)] == [0, 1, 4, 9, 16]
        assert self.ran() == list(range(5))

    def test_batches(self, run):
        """Only missing items are put together; each has a record of its own."""
        for count in (12, 20):
            assert list(run(squares, range(count), batch_size=8)) == [number * number for number in range(count)]
        assert self.ran() == list(range(20))

    def test_switched_off(self, run):
        """With NullCheckpoint everything runs, and results come back."""
        off = NullCheckpoint()
        for _ in range(2):
            assert [value for value, _ in run(square, range(5), off)] == [0, 1, 4, 9, 16]
        assert off.stats().misses == len(self.ran()) == 10

    def test_a_consumer_that_stops(self, run):
        """What ran is kept, nothing hangs, and the next map runs the rest, each call once."""
        with run(square, range(500), ordered=False) as results:
            next(results)
        if not self.goes_on:
            assert len(list(self.checkpoint.records())) == len(self.ran())
        assert len(list(run(square, range(500)))) == 500
        assert self.ran() == list(range(500))
