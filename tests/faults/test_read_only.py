"""A store that can only be read: what it holds is returned, and what cannot be kept is told once."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from harness import Child, run, value_of
from migration import IDS as MIGRATED
from needs import need_root
from scenarios import ids_for

from skipstone import open_checkpoint

NOBODY = 65534
IDS = ids_for("kept", 8)
STEP = "checkpoint/default/step"


@contextmanager
def mounted_read_only(folder):
    """Mount a folder at another place, read-only."""
    need_root("mounting a folder read-only")
    place = f"{folder}-mounted"
    os.mkdir(place)
    subprocess.run(["mount", "--bind", folder, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def store(folder):
    """A store that was closed."""
    saved = f"{folder}/store"
    assert len(run("ask_all", folder=saved, ids=IDS)["ran"]) == len(IDS)
    return saved


def served(folder, **options):
    """Check that all is loaded without a word, and that what is not there runs, with one warning per function."""
    seen = run("ask_all", folder=folder, ids=[*IDS, *ids_for("new", 8), *IDS], **options)
    assert seen["bad"] == []
    assert seen["ran"] == ids_for("new", 8)
    assert [category for category, _ in seen["warnings"]] == ["SaveWarning"] * 2
    for _, message in seen["warnings"]:
        assert "can be read, but not written" in message
        assert "The result was returned" in message


def test_a_read_only_mount(store):
    """A store on a file system that is mounted read-only serves what it holds."""
    with mounted_read_only(store) as place:
        served(place)
    assert sorted(os.listdir(f"{store}/{STEP}")) == ["claims.lock", "records.sqlite3", "values"]
    assert run("ask_all", folder=store, ids=ids_for("new", 8))["ran"] == ids_for("new", 8)


@pytest.mark.parametrize("what", ["all", "folders", "files"])
def test_without_permission_to_write(store, what):
    """So does one that its owner may read only, whether it is the folders, the files or both that cannot be written."""
    user = None
    if os.geteuid() == 0:
        user = NOBODY
        subprocess.run(["chown", "-R", f"{user}:{user}", os.path.dirname(store)], check=True)
    kinds = {"all": [], "folders": ["-type", "d"], "files": ["-type", "f"]}[what]
    subprocess.run(["find", store, *kinds, "-exec", "chmod", "a-w", "{}", "+"], check=True)
    try:
        seen = run("ask_all", folder=store, ids=[*IDS, *ids_for("new", 8), *IDS], user=user)
    finally:
        subprocess.run(["chmod", "-R", "u+w", store], check=True)
    assert seen["bad"] == []
    assert seen["ran"] == ids_for("new", 8)
    assert {category for category, _ in seen["warnings"]} == {"SaveWarning"}
    assert len(seen["warnings"]) <= 2
    assert run("ask_all", folder=store, ids=IDS, user=user)["ran"] == []


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open elsewhere"])
def test_a_store_of_somebody_else(store, is_open):
    """A store that is somebody else's, and trusted, serves what it holds, also while its owner has it open."""
    need_root("becoming another user")
    os.chmod(os.path.dirname(store), 0o755)
    subprocess.run(["chmod", "-R", "a+rX", store], check=True)
    with open_checkpoint("step", {"artifacts_dir": store}) as checkpoint:
        if is_open:
            checkpoint.load_or_run(str, "kept open", 1)
        else:
            checkpoint.close()
        served(store, settings={"trust_store": True}, user=NOBODY)


@pytest.mark.parametrize("index", ["with", "without"])
def test_what_stands_in_the_log(store, index):
    """Records of a process that was killed stand in the log: they are served as well, with and without SQLite's index of it."""
    with Child("save_for_ever", kind="skipstone", folder=store, seed=1) as child:
        acknowledged = [child.line() for _ in range(30)]
    assert os.path.getsize(f"{store}/{STEP}/records.sqlite3-wal")
    if index == "without":
        os.unlink(f"{store}/{STEP}/records.sqlite3-shm")
    with mounted_read_only(store) as place:
        seen = run("examine", kind="skipstone", folder=place, ids=acknowledged)
        assert (seen["ran"], seen["wrong"], seen["errors"], seen["warnings"]) == ([], [], [], [])
        served(place)


def test_what_an_artifact_leaves_out(store):
    """A copy without hidden files, lock file and empty folders is served, too."""
    os.unlink(f"{store}/checkpoint/.skipstone")
    os.unlink(f"{store}/{STEP}/claims.lock")
    with mounted_read_only(store) as place:
        served(place)


def test_somebody_else_writes(store):
    """What another process saves, replaces and clears through a place that can be written is seen by one that only reads."""
    settings = {"artifacts_dir": store, "on_code_change": "ignore"}

    def write(text):
        checkpoint.clear(value_of, id="followed")
        checkpoint.load_or_run(value_of, "followed", text, 4)

    with mounted_read_only(store) as place, Child("follow", folder=place, words=6) as reader:

        def reads(text):
            reader.go()
            assert reader.line() == value_of(text, 4).hex()

        with open_checkpoint("step", settings) as checkpoint:
            write("zero")
        reads("zero")
        with open_checkpoint("step", settings) as checkpoint:
            write("one")
            reads("one")
            write("two")
            reads("two")
        reads("two")
        with open_checkpoint("step", settings) as checkpoint:
            write("three")
        reads("three")
        with open_checkpoint("step", settings) as checkpoint:
            checkpoint.clear()
        reads("computed")
        assert reader.end()[0] == 0


def test_it_can_be_written_again(store):
    """Once it can be written, it is: a call is kept, and clearing clears."""
    with mounted_read_only(store) as place, open_checkpoint("step", {"artifacts_dir": place}) as checkpoint:
        with pytest.warns(match="can be read, but not written"):
            checkpoint.load_or_run(str, "a", 1)
        with pytest.raises(ConnectionError, match="can be read, but not written"):
            checkpoint.clear()
        subprocess.run(["mount", "-o", "remount,bind,rw", place], check=True)
        assert checkpoint.clear() == len(IDS)
        assert checkpoint.load_or_run(str, "a", 2) == "2"
        assert checkpoint.load_or_run(str, "a", 3) == "2"
        checkpoint.close()


def test_an_older_format(folder):
    """A store of an older format is migrated in memory, and the files stay as they are."""
    store = f"{folder}/old"
    run("ask_present", folder=store, ids=MIGRATED)
    with mounted_read_only(store) as place:
        assert run("migrate", folder=place, ids=MIGRATED) == {"ran": [], "bad": [], "warnings": []}
    assert run("look_at_tables", folder=store) == "old"


def test_a_newer_format(folder):
    """A store of a newer format is refused, as where it can be written."""
    store = f"{folder}/new"
    run("migrate", folder=store)
    with mounted_read_only(store) as place, Child("ask_present", folder=place, ids=[]) as child:
        status, _, errors = child.end()
    assert status
    assert "StoreFormatError" in errors


@pytest.mark.parametrize("start", [0, 100, 4096, 8192, 12_288, 16_384])
def test_a_damaged_one(store, folder, start):
    """A damaged one returns what is right, and runs the rest; nothing is wrong, and nothing is raised."""
    copy = f"{folder}/damaged"
    shutil.copytree(store, copy)
    with open(f"{copy}/{STEP}/records.sqlite3", "r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 4096)
    with mounted_read_only(copy) as place:
        seen = run("ask_all", folder=place, ids=[*IDS, *ids_for("new", 4)])
    assert seen["bad"] == []
    assert len(seen["warnings"]) <= 4
