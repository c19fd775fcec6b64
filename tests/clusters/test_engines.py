"""`Checkpoint.map` on Ray and Dask: what is missing runs there, once, and is saved where it runs."""

import functools
import os
import signal
import sys
import time
from dataclasses import dataclass

import cloudpickle
import pytest

from skipstone import MapSummary, NullCheckpoint, cache_with_checkpoint

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file

TIMES_A_WORKER_MAY_DIE = 4


@dataclass
class Document:
    number: int
    runs: str
    """A file that the numbers of documents that ran are written to."""


@cache_with_checkpoint(id="document.number")
def embed(document):
    note(document.runs, document.number)
    return [document.number, os.getpid()]


@cache_with_checkpoint(id="document.number")
def nested(document):
    return embed(document)[0] + 1


@cache_with_checkpoint(id="document.number", each="documents")
def embed_all(documents):
    for document in documents:
        note(document.runs, document.number)
    return [-document.number for document in documents]


def deadly(times, document):
    note(document.runs, document.number)
    if document.number == 3 and read(document.runs).count("3") <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)  # quick calls are saved together: a kill may cost those of the last milliseconds
    return document.number


class Loud:
    """Notes which process loads it."""

    def __init__(self, log):
        self.log = log

    def __reduce__(self):
        return os.system, (f"echo $PPID >> {self.log}",)


@cache_with_checkpoint(id="number")
def loud(log, number):
    return Loud(log)


def note(path, number):
    with open(path, "a") as file:
        file.write(f"{number}\n")


def read(path):
    with open(path) as file:
        return file.read().split()


@pytest.fixture
def documents(tmp_path):
    return functools.partial(Document, runs=str(tmp_path / "runs"))


def test_results_stay_where_they_are(checkpoint, engine, tmp_path):
    """A result is written by the process that computed it, and loaded by this one only if it is asked for."""
    log = tmp_path / "loads"
    mapping = functools.partial(loud, str(log))
    assert checkpoint.map(mapping, range(10), executor=engine).drain() == MapSummary(0, 10, 0)
    assert not log.exists()
    assert {record.process for record in checkpoint.records()} - {os.getpid()}
    assert len(list(checkpoint.map(mapping, range(10), executor=engine))) == 10
    assert read(log) == [str(os.getpid())] * 10


def test_a_worker_that_dies_is_replaced(checkpoint, engine, documents):
    """What it had done is not done again, and its call runs in another one."""
    mapping = functools.partial(deadly, 1)
    results = checkpoint.map(mapping, map(documents, range(8)), executor=engine, id="document.number")
    assert list(results) == list(range(8))
    assert sorted(read(documents(0).runs)) == sorted("012334567")


def test_a_call_that_kills_its_workers(checkpoint, engine, documents):
    """The engine gives it up at last, with an error; what was done is there."""
    mapping = functools.partial(deadly, TIMES_A_WORKER_MAY_DIE)
    with pytest.raises(Exception, match=r"(?i)worker"):
        list(checkpoint.map(mapping, map(documents, range(4)), executor=engine, id="document.number"))
    assert {"0", "1", "2"} <= {record.call_id for record in checkpoint.records()}
    assert read(documents(0).runs).count("3") == TIMES_A_WORKER_MAY_DIE


def test_what_ray_is_to_give_a_worker(checkpoint, on_ray, documents):
    """`ray.remote(...)` says what each worker needs; as many run as there is room for."""
    import ray

    results = list(checkpoint.map(embed, map(documents, range(20)), executor=ray.remote(num_cpus=2)))
    assert [number for number, _ in results] == list(range(20))
    assert len({process for _, process in results}) == 1


def test_the_executor_of_a_dask_client(checkpoint, on_dask, documents):
    """It is one of the standard library's kind. Each map is a new one to it."""
    from distributed import get_client

    pool = get_client().get_executor()
    off = NullCheckpoint()
    for _ in range(2):
        assert len(list(off.map(embed, map(documents, range(3)), executor=pool))) == 3
        assert len(list(checkpoint.map(embed, map(documents, range(3)), executor=pool))) == 3
    assert len(read(documents(0).runs)) == 9
    assert pool.submit(int, "3").result() == 3


@pytest.mark.filterwarnings(r"ignore:::ray\.")  # deprecated settings of its own
def test_ray_data(checkpoint, on_ray, documents):
    """A wrapped function over batches of Ray Data skips the items that are done."""
    import numpy as np
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False

    def embed_batch(batch):
        return {"vector": np.array(embed_all([documents(int(number)) for number in batch["id"]]))}

    for count in (10, 15):
        rows = ray.data.range(count).map_batches(checkpoint.wrap(embed_batch), batch_size=4).take_all()
        assert sorted(row["vector"] for row in rows) == [-number for number in reversed(range(count))]
    assert sorted(map(int, read(documents(0).runs))) == list(range(15))


def test_a_dask_bag(checkpoint, on_dask, documents):
    """A wrapped function over the items, or over the partitions, of a bag skips what is done."""
    from dask import bag

    for count in (6, 8):
        items = bag.from_sequence(list(map(documents, range(count))), npartitions=3)
        assert items.map(checkpoint.wrap(nested)).compute() == list(range(1, count + 1))
        vectors = items.map_partitions(checkpoint.wrap(lambda part: embed_all(list(part)))).compute()
        assert vectors == [-number for number in range(count)]
    assert sorted(map(int, read(documents(0).runs))) == sorted([*range(8)] * 2)


DONE = """
    import sys
    from pathlib import Path
    from skipstone import init_checkpoint

    def square(x):
        return x * x

    checkpoint = init_checkpoint("step")
    list(checkpoint.map(square, range(20)))
    for executor in ("ray", "slurm"):
        assert list(checkpoint.map(square, range(20), executor=executor))[-1] == 361
    print("ray" in sys.modules, Path("artifacts/slurm").exists())
"""


def test_no_engine_starts_where_nothing_is_missing(script):
    """Ray, which takes seconds, is not even imported, and no job of Slurm is prepared."""
    script.write("pipeline.py", DONE)
    assert script("pipeline.py").stdout == "False False\n"
