"""What the fault tests share: their helpers can be imported, and their folders are gone afterwards."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager

sys.path.insert(0, os.path.dirname(__file__))

import pytest
from harness import Server
from needs import need, need_root


@pytest.fixture
def folder():
    """A folder of the test's own: some tests fill gigabytes, so it is deleted at once."""
    with tempfile.TemporaryDirectory(prefix="skipstone-faults-", ignore_cleanup_errors=True) as path:
        yield path


@pytest.fixture(scope="session")
def servers():
    """Two processes that fork a fresh child for each trial: one for each core of the CI machine."""
    with Server() as one, Server() as other:
        yield one, other


@pytest.fixture
def small_disk(folder):
    """A real file system of 12 MB."""
    need_root("mounting a small file system")
    with mounted(folder, "-t", "tmpfs", "-o", "size=12m", "tmpfs") as disk:
        yield disk


@pytest.fixture
def small_blocks(folder):
    """A real file system of 12 MB, whose blocks are smaller than the pages of memory."""
    need_root("mounting a small file system")
    need(shutil.which("mkfs.ext4"), "small blocks need mkfs.ext4")
    image = f"{folder}/image"
    with open(image, "wb") as file:
        file.truncate(12 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", image], check=True)
    with mounted(folder, "-o", "loop", image) as disk:
        yield disk


@contextmanager
def mounted(folder, *what):
    disk = os.path.join(folder, "disk")
    os.mkdir(disk)
    subprocess.run(["mount", *what, disk], check=True)
    os.chmod(disk, 0o700)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
