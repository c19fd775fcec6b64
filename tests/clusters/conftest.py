"""What the tests of clusters share: engines, started once for all tests of a module."""

import os
import sys
import warnings

import pytest

from skipstone import open_checkpoint, use_checkpoint

sys.path[:0] = [os.path.dirname(__file__), os.path.join(os.path.dirname(__file__), "../faults")]

from needs import need  # noqa: E402
from slurm_node import is_installed, slurm  # noqa: E402

LIBRARIES = ["distributed", "loky", "pyspark", "ray", "submitit"]


def pytest_collection_modifyitems(items):
    """All of these are slow: they start engines."""
    for item in items:
        if item.path.parent.name == "clusters":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _libraries():
    from importlib.util import find_spec

    missing = [library for library in LIBRARIES if find_spec(library) is None]
    need(not missing, f"not installed: {', '.join(missing)}; make test_slow installs them")


@pytest.fixture(scope="module")
def on_ray():
    """Ray with two processors, and what map is told to use it."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own code
        ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    yield "ray"
    ray.shutdown()


@pytest.fixture(scope="module")
def on_dask():
    """Dask with two workers of one thread, and what map is told to use it."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        yield "dask"


@pytest.fixture(scope="module", params=["ray", "dask"])
def engine(request):
    """One after the other."""
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture(scope="module")
def slurm_node(tmp_path_factory):
    """A Slurm of one node, whose commands find it."""
    need(os.geteuid() == 0, "starting Slurm's daemons needs root")
    need(is_installed(), "Slurm is not installed: apt-get install slurm-wlm munge")
    with slurm(tmp_path_factory.mktemp("slurm")) as config:
        os.environ["SLURM_CONF"] = str(config)
        try:
            yield
        finally:
            del os.environ["SLURM_CONF"]


@pytest.fixture
def local_executor(tmp_path):
    """Makes executors that submit to processes of submitit's, and waits for those: they end a moment after they have answered."""
    import submitit

    started = []

    class LocalExecutor(submitit.LocalExecutor):
        def _submit_command(self, command):
            job = super()._submit_command(command)
            started.append(job._process)
            return job

    yield lambda **settings: LocalExecutor(tmp_path / "jobs", **settings)
    for process in started:
        process.wait(60)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in a folder, current for the test."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as opened, use_checkpoint(opened):
        yield opened
