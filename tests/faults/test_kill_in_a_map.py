"""Quick calls of a map are saved together: what is given out is stored, and a kill costs some milliseconds at most."""

import functools
import os
import random

import pytest
from harness import Child, run
from once import Log
from test_once import until

from skipstone import open_checkpoint

COUNT = 30_000
AT_ONCE = 128
EXECUTORS = pytest.mark.parametrize("executor", ["threads", "processes"])


class Runs:
    """How often each call ran, from the log."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "log")

    def counted(self):
        """Return the count of each call."""
        counts = {}
        for _, _, (number,) in Log(self.path).read():
            counts[int(number)] = counts.get(int(number), 0) + 1
        return counts

    def are_more_than(self, number):
        """Tell whether more calls than that have run."""
        return len(self.counted()) > number


def stored(folder):
    """Return the numbers of the calls that are stored, seen by another process than that which saves."""
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        return {int(info.call_id) for info in checkpoint.records()}


@EXECUTORS
def test_killed_among_quick_calls(folder, executor):
    """After kills at random moments, what was given out does not run again, and of the rest, little runs twice."""
    runs, chance, kills = Runs(folder), random.Random(3), 3
    given, before = set(), {}
    for _ in range(kills):
        with Child("map_them", folder=folder, log=runs.path, count=COUNT, executor=executor) as child:
            until(functools.partial(runs.are_more_than, len(before) + 300))
            lines = child.kill_after(chance.uniform(0, 0.2))
        given.update(map(int, lines))
        assert given <= stored(folder)
        before = runs.counted()
    assert len(given) > 1000
    count = max(before) + 100
    assert run("map_them", folder=folder, log=runs.path, count=count, executor=executor) == []
    counts = runs.counted()
    assert {number: counts[number] for number in given} == {number: before[number] for number in given}
    assert sum(counts.values()) - len(counts) <= kills * 2 * AT_ONCE


@EXECUTORS
def test_killed_in_a_slow_call(folder, executor):
    """Where a call takes long, the quick ones before it are stored, whatever becomes of that one."""
    runs = Runs(folder)
    arguments = {"folder": folder, "log": runs.path, "executor": executor}
    with Child("map_them", count=COUNT, workers=1, slow=True, **arguments) as child:
        line = next(line for line in iter(child.line, None) if line.startswith("slow"))
        slow = int(line.split()[1])
        before = runs.counted().keys() - {slow}
        until(lambda: before <= stored(folder))
    assert len(before) > 3
    assert run("map_them", count=slow + 100, **arguments) == []
    counts = runs.counted()
    assert {counts[number] for number in before} == {1}


def test_others_need_not_wait_for_a_slow_call(folder):
    """While a slow call runs, another process has the results before it, and runs those after it."""
    runs = Runs(folder)
    with Child("map_them", folder=folder, log=runs.path, count=COUNT, workers=1, slow=True) as child:
        line = next(line for line in iter(child.line, None) if line.startswith("slow"))
        slow = int(line.split()[1])
        wanted = [slow - 1, slow - 2, slow + 1, slow + 2]
        assert run("ask_them", folder=folder, log=runs.path, numbers=wanted) == []
    counts = runs.counted()
    assert {number: counts.get(number) for number in wanted} == dict.fromkeys(wanted, 1)


@EXECUTORS
def test_two_processes_map_the_same(folder, executor):
    """Two processes that map over the same calls at the same time run each of them once."""
    runs, arguments = Runs(folder), {"folder": folder, "count": 3000, "executor": executor, "waits": True}
    with (
        Child("map_them", log=runs.path, **arguments) as one,
        Child("map_them", log=runs.path, **arguments) as other,
    ):
        for child in (one, other):
            assert child.line() == "ready"
        for child in (one, other):
            child.go()
        assert [one.result(), other.result()] == [[], []]
    assert runs.counted() == dict.fromkeys(range(3000), 1)


def test_a_full_disk(small_disk):
    """A map of quick calls on a full disk returns all results with one warning, and keeps them when there is room."""
    answers = run("map_in_fault", cause="full", folder=small_disk, log=os.devnull, count=500)
    assert [answer["wrong"] for answer in answers.values()] == [[]] * 4
    assert [category for category, _ in answers["during"]["warnings"]] == ["SaveWarning"]
    assert answers["after"]["warnings"] == answers["kept"]["warnings"] == []
    assert stored(small_disk) == set(range(1000))
