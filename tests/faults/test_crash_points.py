"""A crash at every write: whichever system call a process is stopped at, what it had acknowledged holds.

With durability="power", every second write and sync is enough here, and all other calls; `make torture` stops at all.
"""

import glob
import shutil

import pytest
import sequence
import tracing
import trials
from needs import need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def _strace():
    need(tracing.is_there(), "strace is not installed: apt-get install strace")


def all_hold(tally, fewest):
    assert tally["points"] >= fewest
    # Next to all: whether a call is made may depend on timing.
    assert tally["killed"] >= 0.9 * tally["points"]
    assert not tally.told_of("violations", "hung", "died")


@pytest.mark.parametrize("durability", ["process", "power"])
def test_stopped_at_every_system_call(servers, folder, durability):
    """First save, small and large saves, overwriting, failing, forgetting, clearing, closing: stopped anywhere, all that was acknowledged holds."""

    def check(server, left, acknowledged):
        return sequence.violations(server.run("look", folder=left, durability=durability), len(acknowledged))

    all_hold(
        trials.crash_points(
            servers, "perform", folder, check, durability=durability, every=1 if durability == "process" else 2
        ),
        120,
    )


def test_stopped_while_it_sets_a_damaged_database_aside(servers, folder):
    """A process that mends a damaged database is stopped anywhere: the next one opens it, and has no fewer records."""
    ids = [f"a{number}-300" for number in range(300)] + ["b-100000"]
    origin = f"{folder}/origin"
    servers[0].run("save", kind="skipstone", folder=origin, ids=ids)
    (path,) = glob.glob(f"{origin}/checkpoint/*/*[!s]/records.sqlite3")
    with open(path, "r+b") as file:  # an index leaf: all rows can be read
        content = file.read()
        leaf = [page for page in range(1, len(content) // 4096) if content[page * 4096] == 0x0A][-1]
        file.seek(leaf * 4096)
        file.write(bytes(4096))

    def prepare(left):
        shutil.copytree(origin, left, dirs_exist_ok=True)

    def check(server, left, _acknowledged):
        seen = server.run("examine", kind="skipstone", folder=left, ids=ids)
        again = server.run("examine", kind="skipstone", folder=left, ids=ids)
        bad = seen["wrong"] + seen["errors"] + again["wrong"] + again["errors"] + again["ran"]
        return bad + ([f"{len(seen['ran'])} records were lost"] if len(seen["ran"]) > 1 else [])

    tally = trials.crash_points(servers, "examine", folder, check, prepare=prepare, kind="skipstone", ids=ids)
    all_hold(tally, 15)
