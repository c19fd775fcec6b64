"""Faults of a disk that come and go. Each is a context manager: the fault lasts as long as it."""

import glob
import os
import resource
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager, suppress

FILLER = "filler"


@contextmanager
def full(folder, _checkpoint):
    """Not a byte is free on the file system, nor in the logs of databases: what was written back there can be written over."""
    for database in glob.glob(f"{folder}/checkpoint/*/*/*.sqlite3"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = os.path.join(folder, FILLER)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096, 1):
        with suppress(OSError):
            while True:
                os.write(descriptor, bytes(size))
    yield
    os.close(descriptor)
    os.unlink(path)


@contextmanager
def nearly_full(folder, checkpoint):
    """Some blocks are free, but not enough for what SQLite maps into memory."""
    path = os.path.join(folder, FILLER)
    with full(folder, checkpoint):
        os.truncate(path, os.path.getsize(path) - 45_056)
        yield


@contextmanager
def read_only(folder, checkpoint):
    """The file system is mounted read-only."""
    if checkpoint is not None:
        checkpoint.close()  # or the kernel refuses
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@contextmanager
def deleted(folder, _checkpoint):
    """The folder is deleted by somebody, once."""
    shutil.rmtree(os.path.join(folder, "checkpoint"))
    yield


@contextmanager
def values_deleted(folder, _checkpoint):
    """The folder of large values is deleted by somebody, once."""
    shutil.rmtree(os.path.join(folder, "checkpoint/default/step/values"))
    yield


@contextmanager
def replaced_by_a_file(folder, _checkpoint):
    """Where the folder was, there is a file."""
    path = os.path.join(folder, "checkpoint")
    shutil.rmtree(path)
    with open(path, "w"):
        pass
    yield
    os.unlink(path)


@contextmanager
def forbidden(folder, _checkpoint):
    """Nobody may look into the folder."""
    path = os.path.join(folder, "checkpoint/default/step")
    os.chmod(path, 0)
    yield
    os.chmod(path, 0o700)


@contextmanager
def small_files_only(_folder, _checkpoint):
    """No file may grow beyond 50 KB: what a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def no_descriptors(_folder, _checkpoint):
    """The process has as many files open as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    yield
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
