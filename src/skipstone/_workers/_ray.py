"""Run calls as tasks of Ray, on the cluster that this process is connected to, or on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ._crew import Job
from ._elsewhere import run_in_worker
from ._processes import RemoteCrew


class RayCrew(RemoteCrew):
    """Tasks of Ray, one for each chunk. If a worker dies, Ray runs its tasks again."""

    def __init__(self, job: Job, remote: Callable[..., Any] | None, workers: int | None) -> None:
        """Prepare calls for the cluster that this process is connected to, or for one on this machine.

        Args:
            job: What the tasks have in common.
            remote: `ray.remote`, or what it returns for the resources that a chunk needs: `ray.remote(num_gpus=1)`.
            workers: How many chunks run at a time; None for as many as the cluster has room for.
        """
        super().__init__(job)
        self._remote = remote
        self._refs: dict[Future[bytes], Any] = {}
        self._has_all = workers is None
        self.workers = workers or 1

    def start(self) -> None:
        import ray  # here, because it takes a second

        if not ray.is_initialized():
            ray.init()
        self._run: Any = (self._remote or ray.remote)(run_in_worker)
        self._stored_parcel = ray.put(self._parcel)  # sent once to each machine
        if self._has_all:
            self.workers = self._room(ray.cluster_resources())

    def _room(self, there: Mapping[str, float]) -> int:
        """Return how many chunks the cluster has room for."""
        options: dict[str, Any] = self._run._default_options
        needed = {
            "CPU": options.get("num_cpus", 1),
            "GPU": options.get("num_gpus"),
            **(options.get("resources") or {}),
        }
        return max(1, int(min(there.get(name, 0) / count for name, count in needed.items() if count)))

    def send(self, tasks: bytes) -> Future[bytes]:
        ref = self._run.remote(self._stored_parcel, tasks)
        done: Future[bytes] = ref.future()
        self._refs[done] = ref
        done.add_done_callback(self._refs.pop)
        return done

    def end(self, *, at_once: bool) -> None:
        if at_once and self._refs:
            import ray

            for ref in list(self._refs.values()):
                ray.cancel(ref, force=True)
        super().end(at_once=at_once)
