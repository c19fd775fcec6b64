"""Maps of quick calls: what their processes do. A log tells which calls ran."""

import os
import threading
import warnings

from harness import acknowledge, told, value_of
from once import Log

SIZE = 100

_size_bytes = 0


def _id_of(number):
    return f"quick{number}"


def _unsaved():
    """Return how many calls of this process have ended whose results are not saved yet; the first one was saved alone."""
    global _size_bytes
    from skipstone import get_checkpoint

    stats = get_checkpoint().stats()
    _size_bytes = _size_bytes or stats.bytes_saved
    return stats.misses - stats.bytes_saved // _size_bytes if _size_bytes else 0


def quick(number):
    """Return a result at once; but when some before it wait to be saved, wait for ever, if that is wanted."""
    Log(os.environ["QUICK_LOG"]).write(number)
    if os.environ["QUICK_IS_SLOW"] == "True" and _unsaved() >= 3:
        acknowledge(f"slow {number}")
        threading.Event().wait()
    return value_of(_id_of(number), SIZE)


def begin(log, *, slow=False):
    """Say to which log calls write, and whether one takes for ever; in the environment, which worker processes have, too."""
    os.environ.update(QUICK_LOG=str(log), QUICK_IS_SLOW=str(slow))


def mapped(checkpoint, numbers, log, *, executor="threads", workers=2, slow=False):
    """Return the results of quick calls, which write to a log."""
    begin(log, slow=slow)
    return checkpoint.map(quick, numbers, id="number", executor=executor, workers=workers)


def map_them(folder, log, count, executor="threads", workers=2, slow=False, waits=False, settings=None):
    """Map over so many numbers, and acknowledge each result that is given out; return which were wrong.

    Args:
        folder: Of the store.
        log: Path of the log.
        count: How many.
        executor: As for `map`.
        workers: As for `map`.
        slow: One of the calls takes for ever.
        waits: Begin when the parent says so.
        settings: Of the config.
    """
    from skipstone import open_checkpoint, use_checkpoint

    with (
        open_checkpoint("step", {"artifacts_dir": folder, **(settings or {})}) as checkpoint,
        use_checkpoint(checkpoint),
    ):
        if waits:
            acknowledge("ready")
            input()
        wrong = []
        results = mapped(checkpoint, range(count), log, executor=executor, workers=workers, slow=slow)
        for number, result in enumerate(results):
            if result != value_of(_id_of(number), SIZE):
                wrong.append(number)
            if not waits:
                acknowledge(number)
        return wrong


def ask_them(folder, log, numbers):
    """Ask for single calls, and return which came back wrong."""
    from skipstone import open_checkpoint

    begin(log)
    with open_checkpoint("step", {"artifacts_dir": folder, "wait_timeout": 15}) as checkpoint:
        return [
            number
            for number in numbers
            if checkpoint.load_or_run(quick, number, number) != value_of(_id_of(number), SIZE)
        ]


def map_in_fault(cause, folder, log, count):
    """Map before, during and after a fault; return, of each, which results were wrong and what was warned of."""
    import causes

    from skipstone import open_checkpoint

    checkpoint, answers = open_checkpoint("step", {"artifacts_dir": folder}), {}

    def map_over(when, numbers):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = list(mapped(checkpoint, numbers, log))
            wrong = [
                number
                for number, result in zip(numbers, found, strict=True)
                if result != value_of(_id_of(number), SIZE)
            ]
        answers[when] = {"wrong": wrong, "warnings": told(caught)}

    map_over("before", range(count))
    with getattr(causes, cause)(folder, checkpoint):
        map_over("during", range(2 * count))
    map_over("after", range(2 * count))
    map_over("kept", range(2 * count))
    checkpoint.close()
    return answers
