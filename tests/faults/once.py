"""Many who ask for one key at a time: what their processes do. A log tells who ran when."""

import asyncio
import os
import threading
import time
import warnings
from contextlib import suppress

from harness import acknowledge, value_of

SIZE = 5000
NAME = "faults.once"


class Log:
    """Lines from many processes: who began and ended to run when. Appending is atomic."""

    def __init__(self, path):
        self._path = path

    def write(self, *words):
        """Add a line."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{time.monotonic()} {os.getpid()} {' '.join(map(str, words))}\n".encode())
        os.close(descriptor)

    def read(self):
        """Return time, process and words of each line."""
        with suppress(FileNotFoundError), open(self._path) as file:
            lines = [line.split() for line in file]
            return [(float(line[0]), int(line[1]), line[2:]) for line in lines]
        return []


def _functions(log, seconds, failures):
    """Return a function and a coroutine function that are the same to the store."""
    from skipstone import cache_with_checkpoint

    def begin():
        log.write("begin")
        runs = sum(words == ["begin"] for _, _, words in log.read())
        return runs <= failures

    def end(fails):
        log.write("end")
        if fails:
            raise ValueError(f"run by {os.getpid()}")

    @cache_with_checkpoint(id="id", name=NAME, on_code_change="ignore")
    def compute(id):
        fails = begin()
        if seconds is None:
            os.read(0, 1)
        else:
            threading.Event().wait(seconds)
        end(fails)
        return value_of(id, SIZE)

    @cache_with_checkpoint(id="id", name=NAME, on_code_change="ignore")
    async def compute_async(id):
        fails = begin()
        await asyncio.sleep(seconds)
        end(fails)
        return value_of(id, SIZE)

    return compute, compute_async


def ask(folder, log, threads=0, tasks=0, seconds=0.3, failures=0, id="key", **settings):
    """Open the store, wait for the word, then ask from so many threads or tasks, or plainly; return all answers.

    A plain call that takes None seconds ends at the next word.
    """
    from skipstone import init_checkpoint

    init_checkpoint("step", {"artifacts_dir": folder, **settings})
    compute, compute_async = _functions(Log(log), seconds, failures)
    answers = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def one():
            try:
                answers.append("right" if compute(id) == value_of(id, SIZE) else "wrong")
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")

        async def one_async():
            try:
                answers.append("right" if await compute_async(id) == value_of(id, SIZE) else "wrong")
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")

        async def all_tasks():
            async with asyncio.TaskGroup() as group:
                for _ in range(tasks):
                    group.create_task(one_async())

        acknowledge("ready")
        os.read(0, 1)
        if tasks:
            asyncio.run(all_tasks())
        elif threads:
            started = [threading.Thread(target=one) for _ in range(threads)]
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
        else:
            one()
    return {"answers": answers, "warnings": [str(each.message) for each in caught], "ended": time.monotonic()}
