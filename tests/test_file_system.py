"""A folder on a network file system is noticed: records are kept there in another way."""

import os
import shutil
import subprocess
import warnings

import pytest

from skipstone import LocalStorageCheckpoint, NetworkFileSystemWarning, open_checkpoint
from skipstone._clearing import clear_checkpoints
from skipstone.stores import _file_system


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Say that a folder is on a network file system, or that none is."""

    def mounted(folder=None):
        mounts = tmp_path / "mounts"
        point = str(folder).replace(" ", "\\040")
        mounts.write_text(
            "/dev/sda1 / ext4 rw 0 0\n" + (f"server:/home {point} nfs4 rw 0 0\n" if folder else ""),
            encoding="utf-8",
        )
        monkeypatch.setattr(_file_system, "MOUNTS", str(mounts))

    mounted()
    return mounted


def files(folder):
    """Return the names of the files below a folder."""
    return sorted(os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file())


def test_records_are_files_there(tmp_path, mounted):
    """A step on a network file system has a file for each record, and no database; that is said once, when it is made."""
    folder = tmp_path / "a b"
    mounted(folder)
    with pytest.warns(
        NetworkFileSystemWarning, match=r"on a network file system \(nfs4\): .* one file each"
    ) as told:
        checkpoint = open_checkpoint("step", {"artifacts_dir": folder})
    assert len(told) == 1
    assert isinstance(checkpoint, LocalStorageCheckpoint)
    assert [checkpoint.load_or_run(str, 1, "x") for _ in range(2)] == ["x", "x"]
    checkpoint.close()
    assert not any("sqlite" in name for name in files(folder))
    with open_checkpoint("step", {"artifacts_dir": folder}) as again:
        assert again.load_or_run(str, 1, "y") == "x"
        assert [record.call_id for record in again.records()] == ["1"]


def test_a_step_stays_what_it_is(tmp_path, mounted):
    """A folder that comes to another file system is opened as what it is; a database on a network warns."""
    for name, place in (("files", tmp_path / "net"), ("database", tmp_path / "disk")):
        mounted(tmp_path / "net")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NetworkFileSystemWarning)
            with open_checkpoint(name, {"artifacts_dir": place}) as checkpoint:
                checkpoint.load_or_run(str, 1, "x")
    with open_checkpoint("files", {"artifacts_dir": shutil.move(tmp_path / "net", tmp_path / "copy")}) as moved:
        assert moved.load_or_run(str, 1, "y") == "x"
    mounted(tmp_path / "disk")
    with pytest.warns(NetworkFileSystemWarning, match=r"\(nfs4\), where SQLite's log and locks cannot be trusted"):
        checkpoint = open_checkpoint("database", {"artifacts_dir": tmp_path / "disk"})
    assert checkpoint.load_or_run(str, 1, "y") == "x"
    checkpoint.close()


def test_a_local_one_is_not(tmp_path, mounted):
    """A store on a local disk opens without a word, also beside a network mount."""
    mounted(tmp_path / "art")
    with open_checkpoint("step", {"artifacts_dir": tmp_path / "artifacts"}) as checkpoint:
        assert checkpoint.load_or_run(str, 1, "x") == "x"


def test_it_is_cleared_like_any_other(tmp_path, mounted):
    """Clearing removes the files of records, and nothing else."""
    mounted(tmp_path)
    with pytest.warns(NetworkFileSystemWarning):
        checkpoint = open_checkpoint("step", {"artifacts_dir": tmp_path / "artifacts"})
    checkpoint.load_or_run(str, 1, "x")
    checkpoint.close()
    note = tmp_path / "artifacts/checkpoint/default/note.txt"
    note.write_text("mine", encoding="utf-8")
    assert [os.path.basename(step) for step in clear_checkpoints(str(tmp_path / "artifacts"))] == ["step"]
    assert files(tmp_path / "artifacts") == ["checkpoint/.skipstone", "checkpoint/default/note.txt"]


def test_a_real_mount_is_noticed(tmp_path, script):
    """On a mounted file system that says that it is one of a network, processes share records without a database."""
    if shutil.which("bindfs") is None or os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs bindfs, and root")
    for name in ("disk", "mount"):
        (tmp_path / name).mkdir()
    subprocess.run(["bindfs", "-o", "subtype=sshfs", tmp_path / "disk", tmp_path / "mount"], check=True)
    try:
        script.write(
            "app.py",
            """
            from skipstone import cache_with_checkpoint, init_checkpoint

            @cache_with_checkpoint(id="n")
            def square(n):
                print("ran", n)
                return n * n

            checkpoint = init_checkpoint("step", {"artifacts_dir": "mount"})
            assert list(checkpoint.map(square, range(30), executor="processes", workers=2)) == [n * n for n in range(30)]
            """,
        )
        first = script("app.py", warnings="default")
        assert "network file system (fuse.sshfs)" in first.stderr
        assert len(first.stdout.split()) == 60
        second = script("app.py")
        assert (second.stdout, second.stderr) == ("", "")
        assert not any("sqlite" in name for name in files(tmp_path / "disk"))
    finally:
        subprocess.run(["umount", tmp_path / "mount"], check=True)
