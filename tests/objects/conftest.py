"""Object storage for the tests: started when a test first asks for it, stopped at the end."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

import pytest

from servers.processes import running


@pytest.fixture(scope="session")
def s3():
    """An S3-compatible server. A test that stops it starts it again."""
    from servers.s3 import S3Server

    yield from running(S3Server)


@pytest.fixture(scope="session")
def azure():
    """An Azure-compatible server. A test that stops it starts it again."""
    from servers.azure import AzureServer

    yield from running(AzureServer)


@pytest.fixture(scope="session")
def gcs():
    """A server of Google Cloud Storage."""
    from servers.gcs import GcsServer

    yield from running(GcsServer)


_MANY_REQUESTS = {"test_any_number_of_keys", "test_records_may_change_while_they_are_scanned"}


def pytest_collection_modifyitems(items):
    """Mark as slow what makes thousands of requests, of which these servers answer some hundred in a second, and one server."""
    for item in items:
        is_here = item.path.parent == Path(__file__).parent
        if is_here and (item.originalname in _MANY_REQUESTS or item.parent.name == "TestAzure"):
            item.add_marker(pytest.mark.slow)
