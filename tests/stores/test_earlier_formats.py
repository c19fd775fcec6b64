"""What earlier commits stored in databases is found by this one, which goes on with it."""

import os
import sys

import msgspec
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../fixtures"))

import earlier


@pytest.fixture
def kept(commit, tmp_path):
    """What one commit stored."""
    return earlier.Kept(commit, tmp_path / commit)


def content_of(path):
    return msgspec.msgpack.decode(path.read_bytes())


@earlier.commits_with("redis.msgpack")
def test_what_was_kept_in_redis(kept, redis_server):
    """What every earlier commit kept in Redis is found, and more is kept beside it."""
    values = content_of(kept.folder / "redis.msgpack")
    place = redis_server.new_place()
    with redis_server.client(place) as client:
        for name, value in values:
            client.hset(name, mapping=value) if isinstance(value, dict) else client.set(name, value)
    earlier.is_kept(kept, kept.shared_steps, {"store": redis_server.url(place)})


@earlier.commits_with("postgres.msgpack")
def test_what_was_kept_in_postgres(kept, postgres):
    """What every earlier commit kept in PostgreSQL is found, and more is kept beside it."""
    statements, tables = content_of(kept.folder / "postgres.msgpack")
    place = postgres.new_place()
    for statement in statements:
        postgres.execute(statement, place)
    postgres.execute(f"UPDATE skipstone_format SET format = {len(statements)}", place)
    for table, rows in tables.items():
        for row in rows:
            postgres.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", place, row)
    last = max(row[0] for row in tables["skipstone_records"])
    postgres.execute(f"SELECT setval(pg_get_serial_sequence('skipstone_records', 'sequence'), {last})", place)
    earlier.is_kept(kept, kept.shared_steps, {"store": postgres.url(place)})
