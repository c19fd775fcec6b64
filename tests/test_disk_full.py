"""When the disk does not take a result, the caller gets it all the same, and the store works again afterwards."""

import os
import resource
import shutil
import subprocess
import sys
import warnings

import pytest

from skipstone import SaveWarning, SkipstoneWarning, StoreUnavailableWarning, open_checkpoint

MEGABYTE = 1 << 20


def blob(n, size):
    return n.to_bytes(4, "big") * (size // 4)


def ask(checkpoint, numbers, size):
    """Ask for results of one size, check them, and return the warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for n in numbers:
            assert checkpoint.load_or_run(blob, (n, size), n, size) == blob(n, size)
    assert all(issubclass(warning.category, SkipstoneWarning) for warning in told)
    return told


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 12 MB."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("size", [20_000, MEGABYTE])
def test_a_full_disk(small_disk, size):
    """With a full disk every result is returned with one warning in all; with room again, results are kept again."""
    with open_checkpoint("step", {"artifacts_dir": small_disk / "artifacts"}) as checkpoint:
        assert ask(checkpoint, [0], size) == []
        filler = small_disk / "filler"
        with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        told = ask(checkpoint, range(1, 61), size)
        assert [warning.category for warning in told if warning.category is SaveWarning] == [SaveWarning]
        assert "full" in str(told[0].message) or "No space left" in str(told[0].message)
        assert checkpoint.stats().not_saved >= 50
        filler.unlink()
        assert ask(checkpoint, range(100, 103), size) == []
        before = checkpoint.stats().hits
        ask(checkpoint, [0, 100, 101, 102], size)
        assert checkpoint.stats().hits == before + 4
    with open_checkpoint("step", {"artifacts_dir": small_disk / "artifacts"}) as checkpoint:
        ask(checkpoint, [0, 100, 101, 102], size)
        assert checkpoint.stats().hits == 4


def test_a_disk_that_becomes_read_only(small_disk):
    """A store on a disk that is read-only returns all results, and keeps them again when the disk can be written."""
    config = {"artifacts_dir": small_disk / "artifacts"}
    with open_checkpoint("step", config) as checkpoint:
        ask(checkpoint, [0], 100)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.warns(StoreUnavailableWarning):
        checkpoint = open_checkpoint("step", config)
    ask(checkpoint, range(5), 100)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert ask(checkpoint, range(5), 100) == []
    assert ask(checkpoint, range(5), 100) == []
    assert checkpoint.stats().hits >= 6
    checkpoint.close()


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_folder_that_is_deleted_under_a_running_process(tmp_path, size):
    """What is acknowledged after the folder was deleted is in a new folder, not in files that nobody can open."""
    config = {"artifacts_dir": tmp_path / "artifacts"}
    with open_checkpoint("step", config) as checkpoint:
        ask(checkpoint, range(5), size)
        shutil.rmtree(tmp_path / "artifacts")
        ask(checkpoint, range(5, 10), size)
        with open_checkpoint("step", config) as other:
            ask(other, range(5, 10), size)
            assert other.stats().hits == 5


def limited(tmp_path, what, limit, numbers, size):
    """Run calls in a process with a limit, then without; return how many were hits at the end, and its warnings."""
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); from test_disk_full import *\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"checkpoint = open_checkpoint('step', {{'artifacts_dir': {str(tmp_path)!r}}})\n"
        "ask(checkpoint, [0], 100)\n"
        f"before = resource.getrlimit(resource.{what})\n"
        f"resource.setrlimit(resource.{what}, ({limit}, before[1]))\n"
        f"told = ask(checkpoint, {numbers}, {size})\n"
        f"resource.setrlimit(resource.{what}, before)\n"
        f"ask(checkpoint, {numbers}, {size}); hits = checkpoint.stats().hits\n"
        f"ask(checkpoint, {numbers}, {size}); print(checkpoint.stats().hits - hits, len(told))"
    )
    command = [sys.executable, "-c", script, os.path.dirname(__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_quota(tmp_path):
    """A limit of file size, as a quota sets it, costs no result, and nothing once it is lifted."""
    limit = 200_000
    assert limit < resource.getrlimit(resource.RLIMIT_FSIZE)[0] or resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0
    hits, told = limited(tmp_path, "RLIMIT_FSIZE", limit, "range(1, 30)", 300_000)
    assert hits == "29"
    assert int(told) >= 1


def test_too_many_open_files(tmp_path):
    """A process that can open no file gets its results, and keeps them once it can again."""
    hits, told = limited(tmp_path, "RLIMIT_NOFILE", 3, "range(1, 10)", 100_000)
    assert hits == "9"
    assert int(told) >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the test gives its rights away, which only root can")
def test_a_folder_without_permission(tmp_path):
    """A process that may not write to the folder gets its results with a warning."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    folder = tmp_path / "artifacts"
    folder.mkdir()
    folder.chmod(0o555)
    script = (
        "import os, warnings, skipstone._code, reprlib; warnings.simplefilter('always')\n"
        "from skipstone import open_checkpoint\n"
        "os.setuid(65534)\n"  # from here on it may not read the library any more
        f"checkpoint = open_checkpoint('step', {{'artifacts_dir': {str(folder)!r}}})\n"
        "print(*[checkpoint.load_or_run(len, n, 'x' * n) for n in range(5)])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0 1 2 3 4\n", done.stderr
    assert done.stderr.count("Warning: ") <= 3
    assert "Permission denied" in done.stderr
