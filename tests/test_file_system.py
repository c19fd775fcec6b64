"""A local store on a network file system is noticed."""

import pytest

from skipstone import NetworkFileSystemWarning, open_checkpoint
from skipstone.stores import _file_system


def test_a_network_file_system_is_told_once(tmp_path, monkeypatch):
    """The first opening of a store on a network file system warns, and says what to do; calls work all the same."""
    mounts = tmp_path / "mounts"
    (tmp_path / "a b").mkdir()
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/home {point} nfs4 rw 0 0\n")
    monkeypatch.setattr(_file_system, "MOUNTS", str(mounts))
    with pytest.warns(
        NetworkFileSystemWarning, match=r"network file system \(nfs4\).*use an artifacts_dir on a local"
    ):
        checkpoint = open_checkpoint("step", {"artifacts_dir": tmp_path / "a b"})
    assert [checkpoint.load_or_run(str, 1, "x") for _ in range(2)] == ["x", "x"]
    checkpoint.close()
    with open_checkpoint("step", {"artifacts_dir": tmp_path / "a b"}) as again:
        assert again.load_or_run(str, 1, "y") == "x"


def test_a_local_one_is_not(tmp_path, monkeypatch):
    """A store on a local disk opens without a word, also beside a network mount."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/home {tmp_path}/art nfs rw 0 0\n")
    monkeypatch.setattr(_file_system, "MOUNTS", str(mounts))
    with open_checkpoint("step", {"artifacts_dir": tmp_path / "artifacts"}) as checkpoint:
        assert checkpoint.load_or_run(str, 1, "x") == "x"
