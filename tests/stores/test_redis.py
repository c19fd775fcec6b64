"""The store in Redis, with a real server."""

import pytest

from skipstone.stores._redis import RedisStore
from skipstone.stores._urls import received
from skipstone.testing import StoreConformance


class TestRedisStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, redis_server):
        self.url = redis_server.url(redis_server.new_place())

    def make_store(self, scope):
        return RedisStore(received(self.url), scope)
