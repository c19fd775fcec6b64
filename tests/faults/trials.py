"""Faults, caused again and again: what the tests and `tools/torture.py` share."""

import os
import random
import shutil
from collections import Counter
from contextlib import ExitStack, suppress
from itertools import islice

import tracing
from harness import Child, Died, Hung, in_parallel, run
from migration import IDS as MIGRATED
from scenarios import ids_of

TRIAL_SECONDS = 30


class Tally(Counter):
    """Counts of what happened, and the first examples of what must not."""

    def __init__(self):
        super().__init__()
        self._examples = []

    def note(self, what, examples, where=""):
        """Count examples of something that must not happen."""
        self[what] += len(examples)
        self._examples += [(what, f"{what}{where}: {example}") for example in list(examples)[:3]]

    def told_of(self, *bad):
        """Tell examples of these things that must not have happened; an empty text if none did."""
        return "\n".join(example for what, example in self._examples if what in bad)


def kill(servers, kind, folder, count, *, seed=0, settings=None):
    """SIGKILL a process that saves, again and again, and look at the store after each; each server has a store of its own."""
    tally = Tally()

    def rounds(server, first):
        mine = os.path.join(folder, f"store{first}")
        chance = random.Random(f"{seed}:{first}")
        saved = []
        for number in range(first, count, len(servers)):
            with Child("save_for_ever", kind=kind, folder=mine, seed=number, settings=settings) as child:
                # From before the store is open, or from its first record, to some hundred records later.
                try:
                    first_lines = [] if number % 5 == 0 else [child.line(TRIAL_SECONDS)]
                except AssertionError as error:
                    tally.note("died", [error], f" before kill {number}")
                    break
                acknowledged = first_lines + child.kill_after(chance.uniform(0, 0.35))
            tally["kills"] += 1
            tally["acknowledged"] += len(acknowledged)
            saved += acknowledged
            asked = [*islice(ids_of(number), len(acknowledged) + 2), *chance.sample(saved, min(len(saved), 20))]
            where = f" after kill {number}"
            _examine(tally, server, kind, mine, asked, acknowledged=set(saved), where=where, settings=settings)
            if sum(tally[bad] for bad in ("hung", "died", "not opened")) > 3:
                break

    in_parallel(servers, rounds, range(len(servers)))
    return tally


def _examine(tally, server, kind, folder, ids, *, acknowledged, where, settings=None):
    try:
        seen = server.run("examine", kind=kind, folder=folder, ids=ids, settings=settings, timeout=TRIAL_SECONDS)
    except (Hung, Died) as error:
        tally.note(type(error).__name__.lower(), [error], where)
        return None
    tally.note("not opened", [] if seen["opened"] else seen["errors"], where)
    tally.note("lost", acknowledged.intersection(seen["ran"]), where)
    tally.note("wrong", seen["wrong"], where)
    tally.note("errors", seen["errors"], where)
    return seen


DAMAGE_IDS = [
    *(f"tiny{number}-{120 + number}" for number in range(30)),
    *(f"row{number}-{20_000 + number}" for number in range(12)),
    *(f"file{number}-{90_000 + number}" for number in range(6)),
    "large0-1500000",
    "large1-1500001",
]
_PAGE = 4096


def healthy(server, kind, folder, *, settings=None):
    """Make two stores to be damaged: one that was closed, and one that was killed, with a log beside its database."""
    closed, killed = os.path.join(folder, "closed"), os.path.join(folder, "killed")
    server.run("save", kind=kind, folder=closed, ids=DAMAGE_IDS, settings=settings)
    server.run("save", kind=kind, folder=killed, ids=DAMAGE_IDS[::2], settings=settings)
    server.run("save", kind=kind, folder=killed, ids=DAMAGE_IDS[1::2], settings=settings, leave_open=True)
    return [closed, killed]


def damage(servers, kind, folder, count, *, seed=0, settings=None, only=None, ways=None):
    """Damage files of a store in one of many ways, and ask for all of it, again and again.

    Args:
        only: Damage only files for which this is true of their relative path.
        ways: Damage only in these ways.
    """
    tally = Tally()
    origins = healthy(servers[0], kind, os.path.join(folder, f"healthy-{kind}"), settings=settings)
    origins = [origin for origin in origins if any(map(only or bool, files_below(origin)))]

    def trial(server, number):
        chance = random.Random(f"{seed}:{number}")
        copy = os.path.join(folder, f"{kind}-{number}")
        shutil.copytree(origins[number % len(origins)], copy)
        did = _damage_one(chance, copy, only, ways or WAYS)
        where = f" in trial {number} ({'; '.join(did)})"
        seen = _examine(tally, server, kind, copy, DAMAGE_IDS, acknowledged=set(), where=where, settings=settings)
        again = seen and _examine(
            tally,
            server,
            kind,
            copy,
            [*DAMAGE_IDS, "new-500"],
            acknowledged=set(),
            where=f" again{where}",
            settings=settings,
        )
        tally["trials"] += 1
        if seen and seen["seconds"] > 5:
            tally.note("slow", [f"{seen['seconds']:.1f} s"], where)
        if seen and again:
            tally["computed again"] += len(seen["ran"])
            tally["set aside"] += any(category == "DamagedStoreWarning" for category, _ in seen["warnings"])
            if seen["ran"] and not seen["warnings"]:
                tally.note("silent", [len(seen["ran"])], where)
            tally.note("not kept afterwards", set(again["ran"]) - {"new-500"}, where)
        shutil.rmtree(copy, ignore_errors=True)

    in_parallel(servers, trial, range(count))
    return tally


def files_below(folder):
    """Return the relative paths of all files, in a fixed order."""
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _damage_one(chance, folder, only, ways):
    paths = [path for path in files_below(folder) if only is None or only(path)]
    # The database and its log are few among many files, and the most worth damaging.
    central = [path for path in paths if "sqlite3" in path or "cache.db" in path]
    return [
        damage_file(chance, os.path.join(folder, path), chance.choice(ways))
        for path in {
            chance.choice(central if central and chance.random() < 0.7 else paths)
            for _ in range(chance.randint(1, 2))
        }
    ]


WAYS = ["flip a bit", "flip bytes", "cut", "zero a page", "delete", "append"]


def damage_file(chance, path, way):
    """Damage one file, and say how."""
    size = os.path.getsize(path)
    told = f"{way}: {os.path.basename(path)} of {size} bytes"
    if way == "delete" or (size == 0 and way != "append"):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return f"delete: {os.path.basename(path)}"
    with open(path, "r+b") as file:
        if way == "cut":
            file.truncate(chance.randrange(size))
        elif way == "append":
            file.seek(0, os.SEEK_END)
            file.write(chance.randbytes(chance.randint(1, 2 * _PAGE)))
        elif way == "zero a page":
            start = chance.randrange(0, size, _PAGE)
            file.seek(start)
            file.write(bytes(min(_PAGE, size - start)))
            told += f" at {start}"
        else:
            at = chance.randrange(size)
            file.seek(at)
            length = 1 if way == "flip a bit" else chance.randint(2, 64)
            old = file.read(length)
            flipped = bytes(
                byte ^ (1 << chance.randrange(8) if way == "flip a bit" else chance.randrange(1, 256))
                for byte in old
            )
            file.seek(at)
            file.write(flipped)
            told += f" at {at}"
    return told


def crash_points(servers, scenario, folder, check, *, prepare=lambda _folder: None, every=1, **arguments):
    """Stop a scenario at each system call that changes its folder, and look at what is left.

    Args:
        servers: For looking.
        scenario: What is stopped, by name.
        folder: Of the trials.
        check: Called with a server, a trial's folder and what the scenario had acknowledged; returns what is wrong.
        prepare: Fills a trial's folder before.
        every: 1: at all calls; 3: at every third of the writes and syncs, and at all others.
        **arguments: For the scenario.
    """
    first = os.path.join(folder, "whole")
    os.mkdir(first)
    prepare(first)
    found = _sampled(
        tracing.points(servers[0], scenario, first, os.path.join(folder, "trace"), **arguments), every
    )
    tally = Tally()

    def trial(server, number):
        point = found[number]
        mine = os.path.join(folder, f"point{number}")
        os.mkdir(mine)
        prepare(mine)
        killed, lines = tracing.stopped_at(server, point, scenario, mine, **arguments)
        where = f" at {point.call} {point.number} ({point.about[:200]})"
        tally["points"] += 1
        tally["killed"] += killed
        try:
            tally.note("violations", check(server, mine, lines), where)
        except (Hung, Died) as error:
            tally.note(type(error).__name__.lower(), [error], where)
        shutil.rmtree(mine, ignore_errors=True)

    in_parallel(servers, trial, range(len(found)))
    return tally


def migrations(servers, origin, folder):
    """Stop a migration at each system call, and look at what is left; return a tally, and which formats were left."""
    left = []

    def check(server, store, acknowledged):
        found = server.run("look_at_tables", folder=store)
        left.append(found)
        bad = [] if found in (("new",) if acknowledged else ("old", "new")) else [f"it was left as {found}"]
        for scenario in ("ask_present", "migrate") if found == "old" else ("migrate",):
            seen = server.run(scenario, folder=store, ids=MIGRATED)
            bad += [f"{scenario}: {seen}"] if any(seen.values()) else []
        return bad + ([] if server.run("look_at_tables", folder=store) == "new" else ["it was not finished"])

    def prepare(store):
        shutil.copytree(origin, store, dirs_exist_ok=True)

    return crash_points(servers, "migrate", folder, check, prepare=prepare), left


def _sampled(points, every):
    """Return every n-th of the writes and syncs, which are many and alike, and all other calls."""
    seen, chosen = Counter(), []
    for point in points:
        if point.call not in _MANY or seen[point.call] % every == 0:
            chosen.append(point)
        seen[point.call] += 1
    return chosen


_MANY = ("pwrite64", "fdatasync", "fsync")


def race(kind, folder, count=8):
    """Let processes ask for one key at the same time; return how often it was computed."""
    with ExitStack() as stack:
        children = []
        for _ in range(count):  # one after the other: opening at once is another matter
            children.append(stack.enter_context(Child("race", kind=kind, folder=folder)))
            assert children[-1].line() == "ready"
        for child in children:
            child.go()
        answers = [child.result() for child in children]
    assert all(answer["right"] for answer in answers)
    return sum(answer["ran"] for answer in answers)


def full_speed(server, folder, seconds, processes):
    """Let processes save and load one step as fast as they can while another clears a function of it."""
    tally = Tally()
    with ExitStack() as stack:
        busy = [
            stack.enter_context(Child("busy", folder=folder, number=number, seconds=seconds))
            for number in range(processes)
        ]
        clearing = stack.enter_context(Child("clearing", folder=folder, seconds=seconds))
        answers = [child.result(seconds + TRIAL_SECONDS) for child in busy]
        cleared = clearing.result(seconds + TRIAL_SECONDS)
    ids = [id for answer in answers for id in answer["mine"]]
    later = server.run("ask_kept", folder=folder, ids=ids, timeout=seconds + TRIAL_SECONDS)
    tally["saved"] = len(ids)
    tally["cleared"] = cleared["removed"]
    tally["idle"] = sum(not answer["mine"] for answer in answers) + (not cleared["removed"])
    for answer in (*answers, cleared, later):
        tally.note("errors", answer["bad"])
        tally.note("warnings", answer["warnings"])
        tally.note("lost", answer.get("lost", answer.get("ran", [])))
    return tally


FULL_IDS = [f"full{number}-{(300, 5_000, 100_000)[number % 3]}" for number in range(60)]


def full_disk(kind, folder):
    """Fill a small file system up under a store; return the results lost to an exception then, and afterwards."""
    return run("full_disk", kind=kind, folder=folder, ids=FULL_IDS)
