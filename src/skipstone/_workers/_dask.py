"""Run calls as tasks of Dask, on the cluster of the current client or of an executor."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from ._crew import Job
from ._elsewhere import run_in_worker
from ._processes import RemoteCrew


class DaskCrew(RemoteCrew):
    """Tasks of Dask, one for each chunk. If a worker dies, Dask runs its tasks again."""

    def __init__(self, job: Job, executor: Any | None, workers: int | None) -> None:
        """Find the client.

        Args:
            job: What the tasks have in common.
            executor: The executor from `client.get_executor(...)`; None to get one from the current client.
            workers: How many chunks run at a time; None for one for each thread that the cluster has now.

        Raises:
            ValueError: There is no client.
        """
        super().__init__(job)
        options: dict[str, Any]
        self._client, options = (
            (_current_client(), {}) if executor is None else (executor._client, executor._kwargs)
        )
        # Otherwise Dask would treat calls with the same arguments as one, and answer with the result of an earlier map.
        self._options = {**options, "pure": False}
        self._has_all = workers is None
        self.workers = workers or 1

    def start(self) -> None:
        self._executor = self._client.get_executor(**self._options)
        if self._has_all:
            self.workers = max(1, int(sum(self._client.nthreads().values())))

    def send(self, tasks: bytes) -> Future[bytes]:
        done: Future[bytes] = self._executor.submit(run_in_worker, self._parcel, tasks)
        return done

    def end(self, *, at_once: bool) -> None:
        if at_once:
            self._executor.shutdown(wait=False)
        super().end(at_once=at_once)


def _current_client() -> Any:
    from distributed import get_client

    try:
        return get_client()
    except ValueError as error:
        message = (
            'executor="dask" needs a client: connect to your cluster with distributed.Client(address), or begin one '
            "on this machine with distributed.Client()"
        )
        raise ValueError(message) from error
