"""What the fault tests share: their helpers can be imported, and their folders are gone afterwards."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))

import pytest
from harness import Server
from needs import need_root


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
    mounted = os.path.join(folder, "disk")
    os.mkdir(mounted)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True)
