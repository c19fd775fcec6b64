"""Object storage for the tests: started when a test first asks for it, stopped at the end."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

import pytest


@pytest.fixture(scope="session")
def s3():
    """An S3-compatible server. A test that stops it starts it again."""
    from servers.s3 import S3Server

    yield from _running(S3Server)


@pytest.fixture(scope="session")
def azure():
    """An Azure-compatible server. A test that stops it starts it again."""
    from servers.azure import AzureServer

    yield from _running(AzureServer)


def _running(kind):
    with tempfile.TemporaryDirectory(prefix="skipstone-", ignore_cleanup_errors=True) as folder:
        server = kind(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


_SLOW_SERVERS = {"test_any_number_of_keys", "test_records_may_change_while_they_are_scanned"}


def pytest_collection_modifyitems(items):
    """Mark what makes thousands of requests as slow: the servers of these tests answer some hundred in a second."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.originalname in _SLOW_SERVERS:
            item.add_marker(pytest.mark.slow)
