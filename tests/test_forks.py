"""A process is forked at any time: while another thread, which the child lacks, counts, notes or computes something."""

import pytest

# A thread does something over and over while processes are forked, each of which does something, too, and has seconds for it.
AMID = """
import os, signal, sys, threading
from skipstone import Checkpoint, cache_with_checkpoint, note
from skipstone.stores import MemoryStore

checkpoint = Checkpoint(MemoryStore(), name="step")
sys.setswitchinterval(1e-6)

def amid(act, then, forks=100):
    def go_on():
        while not is_over.is_set():
            act()

    act()  # or else a fork may come amid an import, which Python never ends in the child
    is_over = threading.Event()
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    for _ in range(forks):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            then()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            break
    is_over.set()
    thread.join()
    assert status == 0, status
"""

COMPUTED = """
def compute():
    checkpoint.load_or_run(wait, 1)

def wait():
    begun.set()
    may_end.wait()

def compute_here():
    may_end.set()
    compute()

begun, may_end = threading.Event(), threading.Event()
thread = threading.Thread(target=compute, daemon=True)
thread.start()
begun.wait()
amid(int, compute_here, forks=1)
may_end.set()
thread.join()
"""

COUNTED = """
def count():
    checkpoint.stats()

def count_here():
    before = checkpoint.stats().misses
    checkpoint.load_or_run(abs, os.getpid(), -1)
    assert checkpoint.stats().misses == before + 1

amid(count, count_here)
"""

NOTED = """
numbers = iter(range(10**9))

def noted():
    for _ in range(100):
        note(number=1)

def call():
    checkpoint.load_or_run(noted, next(numbers))

amid(call, call)
"""

MEASURED = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
set_meter_provider(MeterProvider([reader]))

def open_one():
    Checkpoint(MemoryStore(), name="step")

open_one()
amid(reader.get_metrics_data, open_one)
"""

LEFT = """
import os
from skipstone import open_checkpoint

def work(x):
    import time
    time.sleep(0.2)
    return x

if __name__ == "__main__":
    for executor in ("threads", "processes"):
        with open_checkpoint(executor, {"artifacts_dir": "data"}) as checkpoint:
            done = []
            for number in checkpoint.map(work, range(8), executor=executor, workers=2, grace_seconds=0.1):
                done.append(number)
                if number == 2 and (child := os.fork()) == 0:
                    break
            if child == 0:
                os._exit(done != [0, 1, 2])
            assert done == list(range(8))
            assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(COMPUTED, id="computed"),
        pytest.param(COUNTED, id="counted"),
        pytest.param(NOTED, id="noted"),
        pytest.param(MEASURED, id="measured"),
    ],
)
def test_a_process_is_forked_at_any_time(script, program):
    """The child waits for nothing that it has no thread for."""
    script.write("app.py", AMID + program)
    assert script("app.py", warnings="ignore").stderr == ""


def test_a_child_leaves_the_map_that_it_was_forked_in(script):
    """It is its parent's: nobody waits for its calls there, and its workers go on."""
    script.write("app.py", LEFT)
    assert script("app.py", warnings="ignore").stderr == ""
