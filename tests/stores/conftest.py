"""Servers for the tests of stores: started when a test first asks for one, stopped at the end."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

import pytest

from servers.processes import running


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server. A test that stops it starts it again."""
    from servers.postgres import Postgres

    yield from running(Postgres)


@pytest.fixture(scope="session")
def redis_server():
    """A Redis server. A test that stops it starts it again."""
    from servers.redis_server import RedisServer

    yield from running(RedisServer)


@pytest.fixture
def proxies():
    """Begin networks that fail when they are told to: give the port of the server."""
    from servers.proxy import Proxy

    begun = []

    def begin(port):
        begun.append(Proxy(port))
        return begun[-1]

    yield begin
    for proxy in begun:
        proxy.close()
