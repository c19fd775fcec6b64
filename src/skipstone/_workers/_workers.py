"""Choose the crew of a map: what `executor` stands for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from .._errors import MissingExtraError, check_count
from ._crew import Crew, Job

ExecutorLike: TypeAlias = Literal["threads", "processes", "ray", "dask", "slurm"] | Executor | Any
"""`Any` is for an executor of submitit, or what `ray.remote(...)` returns."""


class _Kind(NamedTuple):
    """A kind of executor."""

    module: str
    crew: str
    """A class that takes the job, an executor or None, and a number of workers or None."""
    library: str = ""
    """The library whose executors are of this kind; the extra that installs it has the name of the kind."""


_KINDS = {
    "threads": _Kind("_crew", "ThreadCrew"),
    "processes": _Kind("_processes", "PoolCrew"),
    "ray": _Kind("_ray", "RayCrew", "ray"),
    "dask": _Kind("_dask", "DaskCrew", "distributed"),
    "slurm": _Kind("_slurm", "SlurmCrew", "submitit"),
}


def crew_for(executor: ExecutorLike, workers: int | None, job: Job) -> Crew:
    """Return the crew that `executor` stands for.

    Raises:
        ValueError: There is no such executor, or a wrong number of workers.
        TypeError: The function cannot be sent to another process.
        MissingExtraError: The executor needs a library that is not installed.
    """
    if workers is not None:
        check_count("workers", workers)
    name = _kind_of(executor)
    kind = _KINDS[name]
    if kind.library and find_spec(kind.library) is None:
        message = f'executor={executor!r} needs {kind.library}: pip install "skipstone[{name}]"'
        raise MissingExtraError(message)
    make = getattr(import_module(f"{__package__}.{kind.module}"), kind.crew)
    return cast("Crew", make(job, None if isinstance(executor, str) else executor, workers))


def is_unhandled(number: int) -> bool:
    """Tell whether a signal would end the process, and this thread is allowed to change that."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL


def _kind_of(executor: Any) -> str:
    """Return the name of the kind that an executor is of."""
    if isinstance(executor, str):
        if executor in _KINDS:
            return executor
    else:
        packages = set(_packages_of(executor))
        for name, kind in _KINDS.items():
            if kind.library in packages:
                return name
        if isinstance(executor, Executor):
            return "threads" if isinstance(executor, ThreadPoolExecutor) else "processes"
    message = (
        f"executor is {executor!r}, expected {', '.join(map(repr, _KINDS))}, a concurrent.futures.Executor, an executor "
        f"of submitit, or ray.remote(...)"
    )
    raise ValueError(message)


def _packages_of(executor: Any) -> Iterator[str]:
    """Yield the libraries that an executor may come from: those of its classes, and, for `ray.remote`, its function's."""
    for thing in (*type(executor).__mro__, getattr(executor, "func", executor)):
        yield str(getattr(thing, "__module__", "")).partition(".")[0]
