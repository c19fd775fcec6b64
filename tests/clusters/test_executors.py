"""What every executor keeps to: those of clusters, and of libraries."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from executor_suite import ExecutorSuite


@pytest.fixture(scope="module")
def on_loky():
    import loky

    pool = loky.get_reusable_executor(2)
    yield pool
    pool.shutdown()


class Elsewhere(ExecutorSuite):
    knows_modules = False


class TestRay(Elsewhere):
    @pytest.fixture
    def executor(self, on_ray):
        return on_ray


class TestDask(Elsewhere):
    @pytest.fixture
    def executor(self, on_dask):
        return on_dask


class TestDaskClient(Elsewhere):
    @pytest.fixture
    def executor(self, on_dask):
        from distributed import get_client

        return get_client().get_executor()


class TestLoky(Elsewhere):
    @pytest.fixture
    def executor(self, on_loky):
        return on_loky


class TestSubmitit(Elsewhere):
    goes_on = True

    @pytest.fixture
    def executor(self, local_executor):
        return local_executor()


class TestSlurm(Elsewhere):
    goes_on = True

    @pytest.fixture
    def executor(self, slurm_node, tmp_path):
        import submitit

        executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="slurm")
        executor.update_parameters(timeout_min=5, cpus_per_task=1)
        return executor
