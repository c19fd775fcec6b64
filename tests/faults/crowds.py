"""Processes that use one step at full speed: what they do."""

import importlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings

from harness import acknowledge, import_everything, size_of, told, value_of

SUBINTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
_SIZES = (100, 700, 3000, 70_000)


class Worker:
    """One function whose results are kept, and what was wrong with them."""

    def __init__(self, checkpoint, name):
        from skipstone import cache_with_checkpoint, use_checkpoint

        self._use = lambda: use_checkpoint(checkpoint)
        self.ran = ran = set()
        self.bad = []

        @cache_with_checkpoint(id="id", name=name, on_code_change="ignore")
        def compute(id):
            ran.add(id)
            return value_of(id, size_of(id))

        self._cached = compute

    def ask(self, id):
        """Ask for an id; note what goes wrong."""
        try:
            with self._use():
                if self._cached(id) != value_of(id, size_of(id)):
                    self.bad.append(f"{id} is wrong")
        except Exception:
            self.bad.append(traceback.format_exc())


def busy(folder, number, seconds):
    """Save and load at full speed, records that are kept and records that somebody clears."""
    from skipstone import open_checkpoint

    chance = random.Random(number)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            kept, cleared = Worker(checkpoint, "faults.kept"), Worker(checkpoint, "faults.cleared")
            mine, runs, twice = [], 0, []
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                id = f"{number}.{len(mine)}-{chance.choice(_SIZES)}"
                kept.ask(id)
                mine.append(id)
                runs += 1
                old = chance.choice(mine)
                kept.ran.clear()
                kept.ask(old)  # its own, saved before: never again computed
                twice += kept.ran
                kept.ask(f"shared.{chance.randrange(50)}-700")
                cleared.ask(f"cleared.{chance.randrange(50)}-{chance.choice(_SIZES)}")
    return {"mine": mine, "bad": kept.bad + cleared.bad, "lost": twice, "warnings": told(caught)}


def clearing(folder, seconds):
    """Clear one function again and again; return how often, and what went wrong."""
    from skipstone import open_checkpoint

    times, removed, bad = 0, 0, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                try:
                    removed += checkpoint.clear("faults.cleared")
                    sum(1 for _ in checkpoint.records())
                except Exception:
                    bad.append(traceback.format_exc())
                times += 1
    return {"times": times, "removed": removed, "bad": bad, "warnings": told(caught)}


def save_when_told(folder, ids):
    """Open the step, wait for the word, then save these records; return what went wrong."""
    from skipstone import open_checkpoint

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this process ignores
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            kept = Worker(checkpoint, "faults.kept")
            kept.ask(f"{os.getpid()}-300")
            acknowledge("ready")
            os.read(0, 1)
            for id in ids:
                kept.ask(id)
    return {"bad": kept.bad, "warnings": told(caught)}


def ask_kept(folder, ids):
    """Ask for these ids of `busy`; return which ran, and what was wrong."""
    from skipstone import open_checkpoint

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            kept = Worker(checkpoint, "faults.kept")
            for id in ids:
                kept.ask(id)
    return {"ran": sorted(kept.ran), "bad": kept.bad, "warnings": told(caught)}


def _forked(act):
    """Run something in a fork; return its process id. It ends with status 0 if it returned nothing bad."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        bad = act()
        status = 0 if not bad else 2
        if bad:
            print(bad, file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _ended(pids):
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def open_at_once(folder, count, rounds):
    """Open one fresh store in many processes at once, and save in each; return what each ended with."""
    import_everything()  # once, not in each of them: that takes longer than what they do
    statuses = []
    for number in range(rounds):
        reading, writing = os.pipe()

        def act(number=number, reading=reading, writing=writing):
            from skipstone import open_checkpoint

            warnings.simplefilter("error")
            os.close(writing)
            os.read(reading, 1)  # ends when the parent closes the other end
            with open_checkpoint("step", {"artifacts_dir": f"{folder}/{number}"}) as checkpoint:
                worker = Worker(checkpoint, "faults.kept")
                for id in (f"{os.getpid()}-300", f"{os.getpid()}-70000", "same-300"):
                    worker.ask(id)
                return worker.bad

        pids = [_forked(act) for _ in range(count)]
        os.close(reading)
        os.close(writing)
        statuses += _ended(pids)
    return statuses


def fork_after_opening(folder, threads):
    """Fork while the store is open, and in use by threads; return what the children ended with, and what was bad."""
    from skipstone import open_checkpoint

    warnings.simplefilter("error")
    checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
    worker = Worker(checkpoint, "faults.kept")
    for number in range(20):
        worker.ask(f"before{number}-300")
    stop = threading.Event()

    def keep_busy(number):
        chance = random.Random(number)
        while not stop.is_set():
            worker.ask(f"thread{number}.{chance.randrange(10_000)}-{chance.choice(_SIZES)}")

    def act():
        worker.ran.clear()
        worker.bad.clear()
        for number in range(20):
            worker.ask(f"before{number}-300")
        again = [f"computed again: {id}" for id in worker.ran]
        for number in range(10):
            worker.ask(f"child{os.getpid()}.{number}-{_SIZES[number % 4]}")
        checkpoint.close()
        return worker.bad + again

    running = [threading.Thread(target=keep_busy, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    pids = []
    for _ in range(6):
        pids.append(_forked(act))
        worker.ask(f"parent{len(pids)}-700")
    statuses = _ended(pids)
    stop.set()
    for thread in running:
        thread.join()
    worker.ran.clear()
    for pid in pids:
        for number in range(10):
            worker.ask(f"child{pid}.{number}-{_SIZES[number % 4]}")
    lost = sorted(worker.ran)
    checkpoint.close()
    return {"statuses": statuses, "bad": worker.bad, "lost": lost}


def fork_while_holding(folder):
    """Fork inside a call: the claim stays the parent's, the child waits for it and gets its result."""
    from skipstone import open_checkpoint

    checkpoint = open_checkpoint("step", {"artifacts_dir": folder, "wait_timeout": 20})
    ran, pids = [], []

    def ask_in_child():
        os.close(0)
        value = checkpoint.load_or_run(forbidden, "key")
        return None if value == "right" else f"{value!r}"

    def forbidden():
        return "computed in the child"

    forbidden.__qualname__ = "compute"

    def compute():
        ran.append(os.getpid())
        reading, writing = os.pipe()
        pids.append(_forked(lambda: _in_fresh_context(ask_in_child, writing)))
        os.close(writing)
        os.read(reading, 1)
        threading.Event().wait(0.2)
        return "right"

    compute.__qualname__ = "compute"
    checkpoint.load_or_run(compute, "key")
    statuses = _ended(pids)
    return {"statuses": statuses, "ran": len(ran)}


def _in_fresh_context(act, writing):
    import contextvars

    os.close(writing)
    return contextvars.Context().run(act)


def _spawned(checkpoint, ids):
    worker = Worker(checkpoint, "faults.kept")
    for id in ids:
        worker.ask(id)
    return sorted(worker.ran), worker.bad


def spawn(folder, method):
    """Give an open checkpoint to workers of another start method; return what they computed."""
    from concurrent.futures import ProcessPoolExecutor

    from skipstone import open_checkpoint

    checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
    worker = Worker(checkpoint, "faults.kept")
    worker.ask("parent-300")
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context(method)) as pool:
        futures = [
            pool.submit(_spawned, checkpoint, ["parent-300", f"child{number}-70000"]) for number in range(6)
        ]
        answers = [future.result() for future in futures]
    worker.ran.clear()
    for number in range(6):
        worker.ask(f"child{number}-70000")
    checkpoint.close()
    return {"answers": answers, "lost": sorted(worker.ran), "bad": worker.bad}


def in_subinterpreters(folder):
    """Use the store in this interpreter and in others of the same process."""
    interpreters = importlib.import_module(SUBINTERPRETERS)
    from skipstone import open_checkpoint

    checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
    worker = Worker(checkpoint, "faults.kept")
    worker.ask("main-300")
    source = f"""
import sys
sys.path[:] = {sys.path!r}
import crowds
told = crowds.ask_kept({folder!r}, ["main-300", "inner-70000", "inner-300"])
assert told["bad"] == [] and "main-300" not in told["ran"], told
"""
    for _ in range(2):
        # Not one with a lock of its own, as is usual from Python 3.13 on: not every library can be imported there.
        interpreter = interpreters.create(*["legacy"] if sys.version_info >= (3, 13) else [])
        trouble = interpreters.run_string(interpreter, source)  # before Python 3.13, it is raised
        assert trouble is None, trouble
        interpreters.destroy(interpreter)
    worker.ran.clear()
    for id in ("inner-70000", "inner-300", "main-300", "after-300"):
        worker.ask(id)
    checkpoint.close()
    acknowledge("done")
    return {"ran": sorted(worker.ran), "bad": worker.bad}
