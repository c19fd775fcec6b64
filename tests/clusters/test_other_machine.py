"""Workers on another machine, which does not see this one's disk."""

import os
import subprocess
import sys

import cloudpickle
import pytest
from needs import need_root

from skipstone import StoreUnavailableWarning, cache_with_checkpoint, open_checkpoint, use_checkpoint

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@cache_with_checkpoint(id="number")
def work(number):
    if number < 0:
        raise ValueError("negative")
    return inner(number), os.uname().nodename


@cache_with_checkpoint(id="number")
def inner(number):
    return number * number


@pytest.fixture(scope="module")
def client():
    """A Dask client whose one worker has another host's name."""
    from distributed import Client, LocalCluster

    need_root("giving a process another host name")
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster, Client(cluster) as client:
        begin = f"hostname elsewhere; exec {sys.executable} -m distributed.cli.dask_worker"
        options = f"{cluster.scheduler_address} --nthreads 1 --no-dashboard --host 127.0.0.1"
        worker = subprocess.Popen(
            ["unshare", "--uts", "sh", "-c", f"{begin} {options}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(1, timeout=60)
            yield client
        finally:
            worker.terminate()
            worker.wait(30)


def test_its_results_come_back(client, tmp_path):
    """They are kept here, with those of the calls inside them, and a warning says that this is the longer way."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        with pytest.warns(StoreUnavailableWarning, match="such as elsewhere, do not see"):
            results = list(checkpoint.map(work, range(20), executor="dask"))
        assert results == [(number * number, "elsewhere") for number in range(20)]
        with pytest.raises(ValueError, match="negative"):
            list(checkpoint.map(work, [-1], executor="dask"))
        assert [failure.error for failure in checkpoint.failures()] == ["ValueError: negative"]
        assert {record.host for record in checkpoint.records()} == {"elsewhere"}
        assert checkpoint.stats().misses == 40
        assert list(checkpoint.map(work, range(20))) == results
        assert inner(19) == 361
        assert checkpoint.stats().misses == 40


def test_a_shared_folder_is_seen(client, tmp_path):
    """Then it writes its results itself."""
    config = {"store": f"file://{tmp_path}", "signing_key": "secret"}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        results = list(checkpoint.map(work, range(5), executor="dask"))
        assert results == [(number * number, "elsewhere") for number in range(5)]
        assert {record.host for record in checkpoint.records()} == {"elsewhere"}


def test_a_wrapped_function_says_so(client, tmp_path):
    """Where nothing comes back but what the function returns, it is an error that says what to do."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        with pytest.raises(ConnectionError, match="which elsewhere does not see"):
            client.submit(checkpoint.wrap(lambda number: inner(number)), 2).result()
