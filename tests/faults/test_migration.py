"""A store of an older format is migrated whole or not at all, whatever happens meanwhile."""

import os
import shutil

import pytest
import tracing
import trials
from harness import Child, run
from migration import IDS
from needs import need


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A store as the present skipstone leaves it."""
    folder = str(tmp_path_factory.mktemp("old"))
    assert len(run("ask_present", folder=folder, ids=IDS)["ran"]) == len(IDS)
    return folder


@pytest.fixture
def store(old, folder):
    shutil.copytree(old, f"{folder}/store")
    return f"{folder}/store"


NOTHING = {"ran": [], "bad": [], "warnings": []}


def test_migrated_once(store):
    """A newer skipstone that opens the store has everything, and so has the next one."""
    assert run("look_at_tables", folder=store) == "old"
    for _ in range(2):
        assert run("migrate", folder=store, ids=IDS) == NOTHING
        assert run("look_at_tables", folder=store) == "new"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_stopped_at_every_system_call_of_a_migration(servers, old, folder):
    """A migration that is stopped anywhere leaves the old format or the new; the next to open it finishes, and nothing is lost."""
    need(tracing.is_there(), "strace is not installed: apt-get install strace")
    tally, left = trials.migrations(servers, old, folder)
    assert tally["killed"] >= 0.9 * tally["points"]
    assert not tally.told_of("violations", "hung", "died")
    assert {"old", "new"} == set(left), "it was never stopped before, or never after"
    assert left.count("old") >= 10


def test_eight_processes_migrate_at_once(store):
    """Eight processes that open an old store at once all have everything, and the store is migrated once."""
    assert run("migrate_at_once", folder=store, count=8) == [[0] * 8, 1]


def test_an_older_process_goes_on(store):
    """A process of an older skipstone that has the store open while it is migrated saves and loads as before."""
    with Child("stay_open", folder=store) as older:
        assert older.line() == "open"
        assert run("migrate", folder=store, ids=[*IDS, "between-300"])["ran"] == ["between-300"]
        older.go()
        seen = older.result()
    saved = [f"{when}-{size}" for when in ("after", "before") for size in (300, 70000)]
    assert seen == {**NOTHING, "ran": saved}
    assert run("migrate", folder=store, ids=[*IDS, "between-300", *saved]) == NOTHING


def test_an_older_process_is_refused_afterwards(store):
    """One that opens it later is refused, and told what to install."""
    run("migrate", folder=store)
    with Child("ask_present", folder=store, ids=IDS) as older:
        status, _, errors = older.end()
    assert status != 0
    assert "StoreFormatError" in errors
    assert "pip install 'skipstone>=99.1'" in errors
    assert os.listdir(f"{store}/checkpoint/default/step")
