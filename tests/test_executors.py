"""What every executor keeps to: those of the standard library. Those of clusters are in `tests/clusters`."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from executor_suite import ExecutorSuite


@pytest.fixture(scope="module")
def spawned():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


class TestThreads(ExecutorSuite):
    is_here = True

    @pytest.fixture
    def executor(self):
        return "threads"


class TestProcesses(ExecutorSuite):
    @pytest.fixture
    def executor(self):
        return "processes"


class TestThreadPool(ExecutorSuite):
    is_here = True

    @pytest.fixture
    def executor(self):
        with ThreadPoolExecutor(2) as pool:
            yield pool


class TestSpawnedProcesses(ExecutorSuite):
    @pytest.fixture
    def executor(self, spawned):
        return spawned
