"""What servers have in common: a free port, and that they are there."""

import importlib.util
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

START_SECONDS = 30


def need(condition, reason):
    """Skip the test where a server cannot be started; in CI, fail."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def folder_of(package):
    """Return the folder of an installed package, which is not imported, or None."""
    spec = importlib.util.find_spec(package)
    return spec.submodule_search_locations[0] if spec is not None else None


def free_port():
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(is_there, what, process=None):
    """Wait until a server answers."""
    end = time.monotonic() + START_SECONDS
    while not is_there():
        assert process is None or process.poll() is None, f"{what} ended at once"
        assert time.monotonic() < end, f"{what} does not answer within {START_SECONDS} s"
        time.sleep(0.02)


def running(kind):
    """Yield a server of this kind, in a folder of its own, that is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="skipstone-", ignore_cleanup_errors=True) as folder:
        server = kind(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
