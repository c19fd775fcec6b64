"""Clearing deletes checkpoint data and nothing else."""

import subprocess
import sys

import pytest

from skipstone import open_checkpoint


def clear(folder, cwd):
    return subprocess.run(
        [sys.executable, "-m", "skipstone", "clear_checkpoints", str(folder)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def artifacts(tmp_path):
    """A folder with two steps of two indexes, small and large records, and files of somebody else's."""
    folder = tmp_path / "artifacts"
    for index_name in ("default", "other"):
        for step in ("load", "embed"):
            config = {"artifacts_dir": folder, "index_name": index_name}
            with open_checkpoint(step, config) as checkpoint:
                checkpoint.load_or_run(str, 1, "small")
                checkpoint.load_or_run(bytes, 2, 200_000)
    (folder / "results.csv").write_text("mine")
    return folder


def test_all_checkpoints_go(artifacts, tmp_path):
    """Every step is deleted, with its values and its folders; what lies beside them stays."""
    done = clear(artifacts, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    assert [path.name for path in artifacts.rglob("*")] == ["results.csv"]


def test_files_of_others_stay(artifacts, tmp_path):
    """A file that skipstone did not make stays, even inside a checkpoint folder."""
    mine = artifacts / "checkpoint/default/load/notes.txt"
    mine.write_text("mine")
    assert clear(artifacts, tmp_path).returncode == 0
    assert [path for path in artifacts.rglob("*.txt")] == [mine]
    assert not list(artifacts.rglob("*.sqlite3"))


def test_a_folder_that_is_none_is_refused(tmp_path):
    """A folder called checkpoint without the marker is not touched."""
    folder = tmp_path / "artifacts/checkpoint/default/load"
    folder.mkdir(parents=True)
    (folder / "records.sqlite3").write_text("mine")
    done = clear(tmp_path / "artifacts", tmp_path)
    assert done.returncode == 1
    assert "is no checkpoint folder" in done.stderr
    assert (folder / "records.sqlite3").exists()


def test_a_step_in_use_is_refused(artifacts, tmp_path):
    """The checkpoints of a running process are not deleted under it."""
    with open_checkpoint("load", {"artifacts_dir": artifacts}) as checkpoint:
        done = clear(artifacts, tmp_path)
        assert done.returncode == 1
        assert "is in use" in done.stderr
        assert checkpoint.load_or_run(str, 1, "other") == "small"


def test_nothing_to_clear(tmp_path):
    """Clearing where there is nothing says so, and is no error."""
    done = clear(tmp_path, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"no checkpoints in {tmp_path}\n")


def test_wrong_use_is_told(tmp_path):
    """An unknown command is told, with a status of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "skipstone", "destroy"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "No such command 'destroy'" in done.stderr
