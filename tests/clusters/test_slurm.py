"""`Checkpoint.map` as the tasks of a job array: on a Slurm of one node, and with submitit's own processes."""

import os
import signal
import sys
import time

import cloudpickle
import psutil
import pytest

from skipstone import MapSummary

submitit = pytest.importorskip("submitit", reason="`make test_slow` installs it")

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # tasks cannot import this file

WAIT_SECONDS = 60


def work(runs, number):
    """Note who does what, take a moment, and die where there is a file that says so."""
    with open(runs, "a") as file:
        file.write(f"{number} {os.getpid()}\n")
    if os.path.exists(f"{runs}.{number}"):
        if os.path.exists(f"{runs}.once"):
            os.unlink(f"{runs}.{number}")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


class Runs:
    """The calls that ran, and a function that notes them."""

    def __init__(self, folder):
        self.path = folder / "runs"

    @property
    def function(self):
        import functools

        return functools.partial(work, str(self.path))

    def lines(self):
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def numbers(self):
        return sorted(int(number) for number, _ in self.lines())

    def wait_for(self, count):
        until = time.monotonic() + WAIT_SECONDS
        while len(self.lines()) < count:
            assert time.monotonic() < until, "nothing runs"
            time.sleep(0.05)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@pytest.fixture
def on_slurm(slurm_node, tmp_path):
    """Submits to the node, whose two processors take two tasks at a time."""
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="slurm")
    executor.update_parameters(timeout_min=5, cpus_per_task=1)
    return executor


@pytest.fixture
def on_processes(local_executor):
    """Submits to processes of submitit's."""
    return local_executor()


@pytest.fixture(params=["on_slurm", "on_processes"])
def executor(request):
    return request.getfixturevalue(request.param)


def arrays(folder):
    """Return the numbers of the arrays, or processes, that were submitted."""
    return {path.name.partition("_")[0] for path in (folder / "jobs").glob("*_submitted.pkl")}


def test_what_is_missing_is_divided(checkpoint, executor, runs, tmp_path):
    """What is missing runs in as many tasks as there are workers; a second map runs what is new."""
    items = range(12)
    assert list(checkpoint.map(runs.function, items, executor=executor, workers=2)) == [n * n for n in items]
    assert len({process for _, process in runs.lines()}) == 2
    again = checkpoint.map(runs.function, range(14), executor=executor, workers=2)
    assert list(again) == [n * n for n in range(14)]
    assert again.summary() == MapSummary(done_before=12, done_now=2, failed=0)
    assert runs.numbers() == list(range(14))
    assert checkpoint.stats().misses == 14
    assert os.getpid() not in {record.process for record in checkpoint.records()}
    if isinstance(executor, submitit.AutoExecutor):
        assert len(arrays(tmp_path)) == 2  # one for each map


def test_a_task_that_is_killed_is_submitted_again(checkpoint, on_slurm, runs):
    """What it has done is not done again."""
    for path in (f"{runs.path}.5", f"{runs.path}.once"):
        open(path, "w").close()
    results = checkpoint.map(runs.function, range(10), executor=on_slurm, workers=1)
    assert list(results) == [n * n for n in range(10)]
    assert runs.numbers() == sorted([*range(10), 5])


def test_a_call_that_kills_its_task(checkpoint, on_processes, runs):
    """It is tried as long as others get done meanwhile; then there is an error."""
    open(f"{runs.path}.5", "w").close()
    with pytest.raises(submitit.core.utils.UncompletedJobError):
        list(checkpoint.map(runs.function, range(6), id="number", executor=on_processes, workers=1))
    done = {int(record.call_id) for record in checkpoint.records()}
    assert 5 not in done
    assert set(runs.numbers()) - {5} == done


PIPELINE = """
    import os, sys, time
    from skipstone import cache_with_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    def work(number):
        with open("runs", "a") as file:
            file.write(f"{number} {os.getpid()}\\n")
        time.sleep(0.1)
        return number * number

    if __name__ == "__main__":
        checkpoint = init_checkpoint("step")
        print(sum(checkpoint.map(work, range(40), executor="slurm", workers=2)))
"""


def test_the_caller_goes_away_and_comes_back(slurm_node, script, runs):
    """The array goes on; the next run waits for what it does, and both share what is left."""
    script.write("pipeline.py", PIPELINE)
    process = script.start("pipeline.py", warnings="ignore")
    runs.wait_for(4)
    process.kill()
    process.communicate(timeout=20)
    runs.wait_for(len(runs.lines()) + 4)
    assert script("pipeline.py", warnings="ignore").stdout == f"{sum(n * n for n in range(40))}\n"
    assert runs.numbers() == list(range(40))


def test_ctrl_c_leaves_the_array_alone(slurm_node, script, runs):
    """A message says that it goes on, and under which number."""
    script.write("pipeline.py", PIPELINE)
    process = script.start("pipeline.py", warnings="ignore")
    runs.wait_for(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "goes on; to end it, use scancel" in errors
    runs.wait_for(40)
    assert runs.numbers() == list(range(40))


def interrupt(kind, folder):
    """Do to a task that runs what Slurm, or submitit for it, does when the node is needed, or time is up."""
    if kind == "on_slurm":
        job = submitit.SlurmJob(folder / "jobs", next(iter(arrays(folder))))
        job._interrupt()
    else:
        (number,) = arrays(folder)
        (task,) = psutil.Process(int(number)).children()
        task.send_signal(signal.SIGUSR2)


@pytest.mark.parametrize("kind", ["on_slurm", "on_processes"])
def test_a_preempted_task_goes_on(checkpoint, kind, request, runs, tmp_path):
    """It is submitted again, by submitit, with what is left: each call runs once, apart from the one that was interrupted."""
    executor = request.getfixturevalue(kind)
    results = checkpoint.map(runs.function, range(20), executor=executor, workers=1, ordered=False)
    first = next(results)
    runs.wait_for(4)
    interrupt(kind, tmp_path)
    assert sorted([first, *results]) == [n * n for n in range(20)]
    assert set(runs.numbers()) == set(range(20))
    assert len(runs.lines()) <= 21
    assert len({process for _, process in runs.lines()}) == 2
    assert not list(checkpoint.failures())
    assert len(arrays(tmp_path)) == 1


def test_a_task_that_ran_out_of_time_too_often(checkpoint, local_executor, runs, tmp_path):
    """When submitit gives up, what is left is submitted anew, as long as it gets on."""
    executor = local_executor(max_num_timeout=0)
    executor.update_parameters(timeout_min=0.1, signal_delay_s=4)  # it is told after two seconds
    assert sorted(checkpoint.map(runs.function, range(30), executor=executor, workers=1)) == [
        n * n for n in range(30)
    ]
    assert set(runs.numbers()) == set(range(30))
    assert len(runs.lines()) <= 30 + len(arrays(tmp_path))
    assert len(arrays(tmp_path)) > 1
    assert not list(checkpoint.failures())
