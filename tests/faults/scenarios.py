"""What the children of the fault tests do. Each function is a scenario: it gets its arguments, and returns JSON."""

import itertools
import os
import random
import time
import warnings

import crowds
import harness
import interrupts
import migration
import once
import quick_maps
import sequence
import tracing
from harness import acknowledge, adapter, mixed_size, size_of, told, value_of

perform, look = sequence.perform, sequence.look
ask_for_one_key = once.ask
map_them, ask_them, map_in_fault = quick_maps.map_them, quick_maps.ask_them, quick_maps.map_in_fault
busy, clearing, ask_kept, open_at_once = crowds.busy, crowds.clearing, crowds.ask_kept, crowds.open_at_once
save_when_told = crowds.save_when_told
saves_and_reruns, saves_in_a_handler = interrupts.saves_and_reruns, interrupts.saves_in_a_handler
keeps_what_interrupted_it = interrupts.keeps_what_interrupted_it
fork_after_opening, fork_while_holding = crowds.fork_after_opening, crowds.fork_while_holding
spawn, in_subinterpreters = crowds.spawn, crowds.in_subinterpreters
migrate, migrate_at_once, stay_open = migration.migrate, migration.migrate_at_once, migration.stay_open
look_at_tables, ask_present = migration.look_at_tables, migration.ask


def under_strace(scenario, options, **arguments):
    """Do another scenario under strace; return its status and what it acknowledged."""
    return tracing.fork_under_strace(globals()[scenario], options, arguments)


def ids_of(seed):
    """Yield ids of mixed sizes for ever, the same for each seed."""
    chance = random.Random(seed)
    for number in itertools.count():
        yield f"r{seed}.{number}-{mixed_size(chance)}"


def save_for_ever(kind, folder, seed, settings=None):
    """Save records, and acknowledge each, until killed."""
    store = adapter(kind, settings)
    store.open(folder)
    for id in ids_of(seed):
        store.call(id, size_of(id))
        acknowledge(id)


def save(kind, folder, ids, settings=None, leave_open=False):
    """Save these records."""
    store = adapter(kind, settings)
    store.open(folder)
    for id in ids:
        store.call(id, size_of(id))
    if not leave_open:
        store.close()


def examine(kind, folder, ids, settings=None):
    """Ask for these ids, as a user would; return which ran, which came back wrong or raised, and what was warned of."""
    store = adapter(kind, settings)
    wrong, errors = [], []
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            store.open(folder)
        except Exception as error:
            return {
                "opened": False,
                "ran": [],
                "wrong": [],
                "errors": [repr(error)],
                "warnings": told(caught),
                "seconds": time.monotonic() - started,
            }
        for id in ids:
            try:
                if store.call(id, size_of(id)) != value_of(id, size_of(id)):
                    wrong.append(id)
            except Exception as error:
                errors.append(f"{id}: {error!r}")
        store.close()
    return {
        "opened": True,
        "ran": store.ran,
        "wrong": wrong,
        "errors": errors,
        "warnings": told(caught),
        "seconds": time.monotonic() - started,
    }


def race(kind, folder, id="race-1000"):
    """Open the store, wait for the word, and ask for one id that takes a while; return how often it was computed here."""
    store = adapter(kind)
    store.open(folder)
    harness.set_work(0.3)
    acknowledge("ready")
    os.read(0, 1)
    right = store.call(id, size_of(id)) == value_of(id, size_of(id))
    return {"ran": len(store.ran), "right": right}


def full_disk(kind, folder, ids):
    """Fill the disk up, and ask; make room, and ask again; return what was lost to an exception then and afterwards."""
    import causes

    store = adapter(kind)
    store.open(folder)
    answer = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with causes.full(folder, None):
            answer["full"] = _bad(store, ids)
        answer["afterwards"] = _bad(store, ids)
    return answer


def _bad(store, ids):
    bad = []
    for id in ids:
        try:
            if store.call(id, size_of(id)) != value_of(id, size_of(id)):
                bad.append(f"{id} is wrong")
        except Exception as error:
            bad.append(f"{id}: {error!r}")
    return bad


class Asked:
    """Calls of two functions, one with small results and one with large ones, and what came of them."""

    def __init__(self):
        self.ran = []

    def small(self, id):
        self.ran.append(id)
        return value_of(id, size_of(id))

    def large(self, id):
        self.ran.append(id)
        return value_of(id, size_of(id))

    def ask(self, checkpoint, ids):
        """Ask for these; return which ran, what went wrong, and the warnings."""
        bad, self.ran = [], []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for id in ids:
                try:
                    function = self.small if size_of(id) < 60_000 else self.large
                    if checkpoint.load_or_run(function, id, id) != value_of(id, size_of(id)):
                        bad.append(f"{id} is wrong")
                except Exception as error:
                    bad.append(f"{id}: {error!r}")
        return {"ran": self.ran, "bad": bad, "warnings": told(caught)}


def ids_for(what, count=6):
    """Return ids of small and large results."""
    return [f"{what}{number}-{(300, 70_000, 20_000, 1_200_000)[number % 4] + number}" for number in range(count)]


def ask_all(folder, ids, settings=None, user=None, groups=(), umask=0o022):
    """Open the store, as this user, and ask for these."""
    from skipstone import open_checkpoint

    os.umask(umask)
    if user is not None:
        harness.become(user, groups)
    with open_checkpoint("step", {"artifacts_dir": folder, **(settings or {})}) as checkpoint:
        return Asked().ask(checkpoint, ids)


def follow(folder, words):
    """Open the store, and ask for one call at each word; acknowledge what came of it."""
    from skipstone import open_checkpoint

    with open_checkpoint("step", {"artifacts_dir": folder, "on_code_change": "ignore"}) as checkpoint:
        for _ in range(words):
            os.read(0, 1)
            time.sleep(0.02)  # a reader looks for changes every few milliseconds
            acknowledge(checkpoint.load_or_run(harness.value_of, "followed", "computed", 4).hex())


def fault(cause, folder, late=False, user=None):
    """Use a store before, during and after a fault.

    Args:
        cause: A context manager of `causes.py`, by name: the fault lasts as long as it.
        folder: Of the store.
        late: The store is opened when the fault is there already.
        user: Become this user first.
    """
    import causes

    from skipstone import open_checkpoint

    if user is not None:
        harness.become(user)
    asked, answers = Asked(), {}
    settings = {"artifacts_dir": folder}
    if late:
        with open_checkpoint("step", settings) as checkpoint:
            answers["before"] = asked.ask(checkpoint, ids_for("before"))
        checkpoint = None
    else:
        checkpoint = open_checkpoint("step", settings)
        answers["before"] = asked.ask(checkpoint, ids_for("before"))
    with getattr(causes, cause)(folder, checkpoint):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checkpoint = checkpoint or open_checkpoint("step", settings)
        answers["during"] = asked.ask(checkpoint, ids_for("during", 12))
        answers["during"]["warnings"] += told(caught)
        answers["hits"] = asked.ask(checkpoint, ids_for("before"))
    answers["after"] = asked.ask(checkpoint, ids_for("after") + ids_for("during", 12))
    answers["kept"] = asked.ask(checkpoint, ids_for("after") + ids_for("during", 12))
    checkpoint.close()
    return answers


def commands(folder, commands, user):
    """Run these commands as another user; return of each its status, and what it printed."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from skipstone.cli._app import run

    def answer(command, place):
        where = [] if command[0] == "clear_checkpoints" else ["--artifacts-dir"]
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed):
            return run([*command, *where, place]), printed.getvalue()

    os.chdir("/")
    if user is not None:
        for command in commands:  # what they import may be forbidden later
            answer(command, folder if command[0] in ("ls", "verify") else "/nowhere")
        harness.become(user)
    return [answer(command, folder) for command in commands]


def save_with_umask(folder, umask, settings=None):
    """Save under an umask, damage the database, and mend it; return the modes of all that there is after each."""
    import stat

    from skipstone import open_checkpoint

    def look():
        modes, names = {"folders": set(), "files": set()}, []
        for parent, _, files in os.walk(os.path.join(folder, "checkpoint")):
            modes["folders"].add(stat.S_IMODE(os.stat(parent).st_mode))
            for name in files:
                modes["files"].add(stat.S_IMODE(os.stat(os.path.join(parent, name)).st_mode))
                names.append(name)
        return {kind: sorted(found) for kind, found in modes.items()}, names

    os.umask(umask)
    answer = {}
    settings = {"artifacts_dir": folder, **(settings or {})}
    with open_checkpoint("step", settings) as checkpoint:
        Asked().ask(checkpoint, ids_for("some", 8))
        answer["open"], answer["open names"] = look()
    answer["closed"], _ = look()
    with open(f"{folder}/checkpoint/default/step/records.sqlite3", "r+b") as file:
        file.write(b"no database".ljust(100))
    with open_checkpoint("step", settings) as checkpoint:
        Asked().ask(checkpoint, ids_for("some", 8))
        answer["mended"], answer["names"] = look()
    return answer


def open_as(folder, user):
    """Become another user, and open the store; return the error."""
    from skipstone import open_checkpoint

    harness.become(user)
    try:
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            return {"error": None, "records": len(list(checkpoint.records()))}
    except Exception as error:
        return {"error": type(error).__name__}


def large_result(folder, size, settings):
    """Ask for one large result; return by how much the peak of memory went beyond the result itself."""
    import resource

    from skipstone import open_checkpoint

    def peak_bytes():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    ran = []

    def compute():
        ran.append(peak_bytes())
        result = bytes(bytearray(b"x") * 1) * size
        ran.append(peak_bytes())
        return result

    with open_checkpoint("step", {"artifacts_dir": folder, **settings}) as checkpoint:
        before = peak_bytes()
        result = checkpoint.load_or_run(compute, "id")
        after = peak_bytes()
    return {
        "right": len(result) == size and result.count(b"x") == size,
        "saving_bytes": after - ran[1] if ran else None,
        "loading_bytes": None if ran else after - before,
    }


if __name__ == "__main__":
    harness.main(globals())
