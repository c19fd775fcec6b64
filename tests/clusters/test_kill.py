"""A map on Ray or Dask whose processes are killed goes on when it is run again: each call runs once."""

import signal
import time

import psutil
import pytest

PIPELINE = """
    import os, sys, time
    from skipstone import cache_with_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    def work(number):
        with open("began", "a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.05)
        with open("ran", "a") as file:
            file.write(f"{number}\\n")
        return os.getpid()

    if __name__ == "__main__":
        if sys.argv[1] == "ray":
            import ray

            ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
        else:
            from distributed import Client, LocalCluster

            client = Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))
        checkpoint = init_checkpoint("step")
        for _ in checkpoint.map(work, range(60), executor=sys.argv[1]):
            print("result", flush=True)
        print(checkpoint.stats())
        if sys.argv[1] == "dask":
            client.shutdown()
"""
MOST_IN_FLIGHT = 2


def lines(script, name):
    path = script.folder / name
    return path.read_text().split() if path.exists() else []


def begin(script, engine):
    """Start the pipeline, and return its process after some results."""
    process = script.start("pipeline.py", engine, warnings="ignore")
    for _ in range(15):
        assert process.stdout.readline() == "result\n"
    return process


def check_that_nothing_runs(script):
    before = len(lines(script, "began"))
    time.sleep(0.3)
    assert len(lines(script, "began")) == before, "a worker goes on"


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_killed_and_run_again(script, engine):
    """First all processes are killed at one moment, then the driver is told to end; each call has run once in all."""
    script.write("pipeline.py", PIPELINE)
    process = begin(script, engine)
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in tree:
        each.suspend()
    for each in tree:
        each.kill()
    process.communicate(timeout=20)
    check_that_nothing_runs(script)
    interrupted = len(lines(script, "began")) - len(lines(script, "ran"))
    assert interrupted <= MOST_IN_FLIGHT

    process = begin(script, engine)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    check_that_nothing_runs(script)
    interrupted_now = len(lines(script, "began")) - len(lines(script, "ran")) - interrupted
    if engine == "ray" and process.returncode < 0:
        # Ray prints a stack when it is told to end. Where that interrupts malloc, it is killed for it: as if it were SIGKILL.
        assert interrupted_now <= MOST_IN_FLIGHT
    else:
        assert "Run it again to go on" in errors
        assert interrupted_now == 0

    assert script("pipeline.py", engine, warnings="ignore").stdout.count("result\n") == 60
    assert sorted(map(int, lines(script, "ran"))) == list(range(60))
