"""The store in a PostgreSQL database, with a real server."""

import pytest

from skipstone.stores._postgres import PostgresStore
from skipstone.stores._urls import received
from skipstone.testing import StoreConformance


class TestPostgresStore(StoreConformance):
    takeover_seconds = 10

    @pytest.fixture(autouse=True)
    def place(self, postgres):
        self.url = postgres.url(postgres.new_place())

    def make_store(self, scope):
        return PostgresStore(received(self.url), scope)
