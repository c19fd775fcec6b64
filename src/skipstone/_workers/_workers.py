"""Who runs the missing calls of a map: what `executor` stands for."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

from .._errors import MissingExtraError
from ._crew import Crew, Job, ThreadCrew

ExecutorLike: TypeAlias = Literal["threads", "processes", "ray", "dask", "slurm"] | Executor | Any
"""Any: an executor of submitit, or what `ray.remote(...)` returns."""

_LIBRARIES = {"ray": "ray", "dask": "distributed", "slurm": "submitit"}
_SLURM_TASKS = 16


def crew_for(executor: ExecutorLike, workers: int | None, job: Job) -> tuple[Crew, int]:
    """Return the crew that `executor` stands for, and how many workers it has.

    Raises:
        ValueError: There is no such executor, or a wrong number of workers.
        TypeError: The function cannot be sent to another process.
        MissingExtraError: The executor needs a library that is not installed.
    """
    if workers is not None and workers < 1:
        message = f"workers is {workers}, expected at least 1"
        raise ValueError(message)
    cores = os.cpu_count() or 1
    kind = _kind_of(executor)
    given: Any = None if isinstance(executor, str) else executor
    if kind == "threads":
        count = workers or int(getattr(given, "_max_workers", min(32, cores + 4)))
        return ThreadCrew(job, given, count), count
    if kind == "processes":
        from ._processes import PoolCrew  # which imports multiprocessing: 15 ms

        count = workers or int(getattr(given, "_max_workers", getattr(given, "num_workers", cores)))
        return PoolCrew(job, given, count), count
    if kind == "ray":
        from ._ray import RayCrew

        on_ray = RayCrew(job, given)
        return on_ray, workers or on_ray.workers
    if kind == "dask":
        from ._dask import DaskCrew

        on_dask = DaskCrew(job, given)
        return on_dask, workers or on_dask.workers
    from ._slurm import SlurmCrew

    count = workers or _SLURM_TASKS
    return SlurmCrew(job, given, count), count


def is_unhandled(number: int) -> bool:
    """Tell whether a signal would end the process, and this thread may change that."""
    import signal

    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL


def _kind_of(executor: Any) -> str:
    """Return the name of the executor that this is, or is one of."""
    if isinstance(executor, str):
        if executor in _LIBRARIES:
            _check_installed(executor)
        if executor in ("threads", "processes", *_LIBRARIES):
            return executor
    elif isinstance(executor, ThreadPoolExecutor):
        return "threads"
    elif isinstance(executor, Executor):
        return "dask" if _package_of(type(executor)) == "distributed" else "processes"
    elif any(_package_of(kind) == "submitit" for kind in type(executor).__mro__):
        return "slurm"
    elif _package_of(getattr(executor, "func", executor)) == "ray":
        return "ray"
    message = (
        f"executor is {executor!r}, expected 'threads', 'processes', 'ray', 'dask', 'slurm', a "
        f"concurrent.futures.Executor, an executor of submitit, or ray.remote(...)"
    )
    raise ValueError(message)


def _package_of(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def _check_installed(executor: str) -> None:
    from importlib.util import find_spec

    library = _LIBRARIES[executor]
    if find_spec(library) is None:
        message = f'executor={executor!r} needs {library}: pip install "skipstone[{executor}]"'
        raise MissingExtraError(message)
