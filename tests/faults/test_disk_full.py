"""A disk that is full, away or forbidden: results are returned, one warning, and the store works again by itself."""

import os

import pytest
from harness import run
from needs import need_root
from scenarios import ids_for

NOBODY = 65534
LATE = pytest.mark.parametrize("late", [False, True], ids=["open before", "opened meanwhile"])


def check(answers, folder, *, keeps_what_was=True):
    """Nothing is wrong at any time; there is one warning per function; afterwards all is kept."""
    for when, answer in answers.items():
        assert answer["bad"] == [], when
    assert len(answers["during"]["ran"]) == 12
    told = answers["during"]["warnings"] + answers["hits"]["warnings"]
    saves = [message for category, message in told if category == "SaveWarning"]
    assert len(saves) <= 2, saves
    for name in ("small", "large"):
        assert sum(f"Asked.{name}" in message for message in saves) <= 1
    # Beside it, at most one of each kind per function: that the store does not answer, that a value is gone.
    assert len(told) <= 2 + 1 + len(answers["hits"]["ran"]), told
    assert answers["after"]["warnings"] == []
    assert (answers["kept"]["ran"], answers["kept"]["warnings"]) == ([], [])
    later = run("ask_all", folder=folder, ids=ids_for("after") + ids_for("during", 12))
    assert (later["ran"], later["bad"], later["warnings"]) == ([], [], [])
    if keeps_what_was:
        assert run("ask_all", folder=folder, ids=ids_for("before"))["ran"] == []


def told(answers):
    return [category for category, _ in answers["during"]["warnings"]]


@LATE
def test_full(small_disk, late):
    """A full disk costs no result: each is returned, with one warning per function, and kept again once there is room."""
    answers = run("fault", cause="full", folder=small_disk, late=late)
    assert "SaveWarning" in told(answers)
    if not late:
        assert sorted(told(answers)) == ["SaveWarning", "SaveWarning"]
        assert answers["hits"]["ran"] == []
    check(answers, small_disk)


@LATE
def test_nearly_full(small_blocks, late):
    """So does one that has some bytes left: SQLite maps what it has not got, and is not to be killed for that."""
    answers = run("fault", cause="nearly_full", folder=small_blocks, late=late)
    assert "SaveWarning" in told(answers)
    check(answers, small_blocks)


@LATE
def test_read_only(small_disk, late):
    """A file system that was remounted read-only costs no result, and is used again when it can be written."""
    answers = run("fault", cause="read_only", folder=small_disk, late=late)
    assert sorted(told(answers)) == ["SaveWarning", "SaveWarning"]
    assert (answers["hits"]["ran"], answers["hits"]["warnings"]) == ([], [])
    check(answers, small_disk)


@pytest.mark.parametrize("cause", ["deleted", "values_deleted"])
def test_deleted(folder, cause):
    """A folder that is deleted under a running process costs no result, and what is saved afterwards is kept."""
    answers = run("fault", cause=cause, folder=folder)
    check(answers, folder, keeps_what_was=False)


@LATE
def test_replaced_by_a_file(folder, late):
    """A file in the folder's place costs no result, and the folder is made again when the file is gone."""
    answers = run("fault", cause="replaced_by_a_file", folder=folder, late=late)
    assert told(answers)
    check(answers, folder, keeps_what_was=False)


@LATE
def test_forbidden(folder, late):
    """A folder that its owner may no longer enter costs no result, and is used again when he may."""
    need_root("becoming another user")
    os.chown(folder, NOBODY, NOBODY)
    answers = run("fault", cause="forbidden", folder=folder, late=late, user=NOBODY)
    assert told(answers)
    check_as_nobody(answers)


def check_as_nobody(answers):
    for when, answer in answers.items():
        assert answer["bad"] == [], when
    assert len(answers["during"]["warnings"]) <= 3
    assert answers["after"]["warnings"] == []
    assert (answers["kept"]["ran"], answers["kept"]["warnings"]) == ([], [])


@LATE
def test_quota(folder, late):
    """A limit on the size of files costs no result, and what did not fit is kept when it is lifted."""
    answers = run("fault", cause="small_files_only", folder=folder, late=late)
    assert told(answers)
    check(answers, folder)


@LATE
def test_too_many_open_files(folder, late):
    """A process that has no descriptor left still gets its results, and keeps them when it has some."""
    answers = run("fault", cause="no_descriptors", folder=folder, late=late)
    assert told(answers)
    check(answers, folder)
