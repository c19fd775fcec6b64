"""What each earlier commit stored opens, with the results, failures, items and records that are in it, and is gone on with."""

import os
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "fixtures"))

import earlier
import holdings


@pytest.fixture
def kept(commit, tmp_path):
    """What one commit stored."""
    return earlier.Kept(commit, tmp_path / commit)


@earlier.commits_with("local")
def test_what_was_kept_locally(kept, commit):
    """A local store of every earlier commit opens: what it holds is found, and more is kept beside it."""
    if commit != earlier.FIRST:
        earlier.is_kept(kept, kept.steps, kept.local)


@earlier.commits_with("folder")
def test_what_was_kept_in_a_folder(kept):
    """So does a folder that several machines share."""
    earlier.is_kept(kept, kept.shared_steps, {"store": f"file://{kept.folder}/folder"})


@earlier.commits_with("exports")
def test_what_was_exported(kept, tmp_path):
    """An export file of every earlier commit can be taken in."""
    place = {"artifacts_dir": str(tmp_path / "taken in")}
    for step in kept.shared_steps:
        with holdings.opened(step, place) as checkpoint:
            taken = checkpoint.import_from(kept.folder / f"exports/{step}.skip")
        assert (taken.failures, taken.left_out) == (1, 0)
        earlier.is_found(kept, step, place)


@earlier.commits_with("local")
def test_what_was_kept_is_whole(kept):
    """Every checksum and signature of it fits, as the command line tells."""
    for step in kept.shared_steps:
        keys = {name: value for name, value in holdings.STEPS[step].items() if name.endswith("_key")}
        subprocess.run(
            [
                sys.executable,
                "-m",
                "skipstone",
                "verify",
                "--artifacts-dir",
                kept.folder / "local",
                "--step",
                step,
            ],
            env={**os.environ, **{f"SKIPSTONE_{name.upper()}": value for name, value in keys.items()}},
            check=True,
            timeout=60,
        )


@earlier.commits_with("local")
def test_what_was_kept_can_be_removed(kept):
    """Nothing of it is left over after it was cleared, also of files that no record names."""
    for step in kept.steps:
        folder = kept.folder / "local/checkpoint/default" / step
        files = list(folder.glob("values/*/*.value"))
        for file in files[:1]:
            shutil.copy(file, file.with_name(f"{'0' * 30}-00000000.value"))
            os.utime(file.with_name(f"{'0' * 30}-00000000.value"), (0, 0))
        with holdings.opened(step, kept.local) as checkpoint:
            assert checkpoint.gc(dry_run=True).orphans >= len(files[:1])
            checkpoint.gc()
            assert sorted(folder.glob("values/*/*.value")) == sorted(files)
            checkpoint.clear()
        assert not list(folder.glob("values/*/*.value"))


@earlier.commits_with("local")
def test_runs_that_were_told(kept, commit):
    """Runs that earlier commits told of are listed, with what they counted."""
    is_told = os.path.exists(kept.folder / "local/checkpoint/default/pickle~runs")
    with holdings.opened("pickle", kept.local) as checkpoint:
        runs = list(checkpoint.runs())
    assert {run.host for run in runs} == ({"a-machine"} if is_told else set())
    assert sum(run.stats.failures for run in runs) == is_told


def test_the_first_keys(tmp_path):
    """The first commits made keys in another way: what they stored is listed and kept, and calls run anew beside it."""
    kept = earlier.Kept(earlier.FIRST, tmp_path)
    ran = []

    def run(id, result):
        ran.append(id)
        return result

    for step in kept.steps:
        with holdings.opened(step, kept.local) as checkpoint:
            before = {record.key for record in checkpoint.records()}
            (failure,) = checkpoint.failures()
        right = holdings.right(step)
        for what, answer in holdings.ask(step, kept.local, run, kept.kinds).items():
            assert holdings.alike(answer, right[what])
        with holdings.opened(step, kept.local) as checkpoint:
            assert before < {record.key for record in checkpoint.records()}
            assert [*checkpoint.failures()] == [failure]
    assert ran
