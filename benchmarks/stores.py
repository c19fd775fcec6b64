"""Records a second in the stores that machines share, beside what their clients do by themselves.

    python benchmarks/stores.py [--rounds N] [--records N] [--bytes N] [STORE ...]

For each store, `skipstone` puts and gets records through the store's own methods, with 1, 8 and 64 in flight: one at a
time from so many threads. `in bulk` gives all of them to `put_many` and `get_many`. `bare` makes the same requests
with the client alone, from the same threads. They take turns in each round, on fresh keys; figures are medians of the
rounds, and ratios those of one round. Servers are those of the tests, on this machine: they take most of its time.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from skipstone._store_trials import sample
from skipstone.stores import SqliteStore
from skipstone.stores._shared_folder import SharedFolderStore
from skipstone.stores._tiers import TieredStore

IN_FLIGHT = (1, 8, 64)


class Local:
    """Rows of SQLite; bare: files of their own, written and renamed."""

    def __init__(self, folder):
        self.folder = folder

    def store(self, scope):
        return SqliteStore(f"{self.folder}/{scope}")

    def bare(self, scope):
        return Files(f"{self.folder}/{scope}")

    def stop(self):
        pass


class SharedFolder(Local):
    """Files; bare: the same."""

    def store(self, scope):
        return SharedFolderStore(f"{self.folder}/{scope}")


class Files:
    """Files as one writes them by hand."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)

    def put(self, name, content):
        aside = f"{self.folder}/{name}.part"
        with open(aside, "wb") as file:
            file.write(content)
        os.rename(aside, f"{self.folder}/{name}")

    def get(self, name):
        with open(f"{self.folder}/{name}", "rb") as file:
            return file.read()


class Objects:
    """An object for each record; bare: `put` and `get` of obstore."""

    def __init__(self, kind, folder):
        self.server = kind(Path(folder))
        self.server.start()
        os.environ.update(self.server.environment())
        self.stop = self.server.stop

    def store(self, scope):
        from skipstone.stores._services._objects import ObjectStore

        return ObjectStore(self.server.url("bench"), scope)

    def bare(self, scope):
        return BareObjects(self.server.client(f"bare/{scope}"))


class BareObjects:
    """obstore by itself."""

    def __init__(self, client):
        self.client = client

    def put(self, name, content):
        self.client.put(name, content, mode="create", use_multipart=False)

    def get(self, name):
        return self.client.get(name).bytes()


def _s3(folder):
    from servers.s3 import S3Server

    return Objects(S3Server, folder)


def _azure(folder):
    from servers.azure import AzureServer

    return Objects(AzureServer, folder)


class Postgres:
    """Rows of a table; bare: a statement for each record, on connections that are kept."""

    def __init__(self, folder):
        from servers.postgres import Postgres as Server

        self.server = Server(Path(folder), fsync="on")
        self.server.start()
        self.stop = self.server.stop
        self.url = self.server.url(self.server.new_place())
        self.free = deque()

    def store(self, scope):
        from skipstone.stores._services._postgres import PostgresStore

        return PostgresStore(self.url, scope)

    def bare(self, scope):
        return BareRows(self.url, self.free, f"bare_{scope.partition('/')[0]}")


class BareRows:
    """psycopg by itself."""

    def __init__(self, url, free, table):
        self.url = url
        self.free = free
        self.table = table
        self.execute(f"CREATE TABLE {table} (key text PRIMARY KEY, content bytea)")

    def execute(self, query, parameters=()):
        import psycopg

        try:
            connection = self.free.pop()
        except IndexError:
            connection = psycopg.connect(self.url, autocommit=True)
        try:
            return connection.execute(query, parameters, binary=True)
        finally:
            self.free.append(connection)

    def put(self, name, content):
        self.execute(f"INSERT INTO {self.table} VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, content))

    def get(self, name):
        return self.execute(f"SELECT content FROM {self.table} WHERE key = %s", (name,)).fetchone()[0]


class Redis:
    """Values; bare: SET NX and GET of redis-py."""

    def __init__(self, folder):
        from servers.redis_server import RedisServer

        self.server = RedisServer(Path(folder))
        self.server.start()
        self.stop = self.server.stop
        self.database = self.server.new_place()

    def store(self, scope):
        from skipstone.stores._services._redis import RedisStore

        return RedisStore(self.server.url(self.database), scope)

    def bare(self, scope):
        return BareValues(self.server.client(self.database), scope)


class BareValues:
    """redis-py by itself."""

    def __init__(self, client, scope):
        self.client = client
        self.scope = scope

    def put(self, name, content):
        self.client.set(f"{self.scope}/{name}", content, nx=True)

    def get(self, name):
        return self.client.get(f"{self.scope}/{name}")


STORES = {
    "local": Local,
    "shared folder": SharedFolder,
    "S3": _s3,
    "Azure": _azure,
    "PostgreSQL": Postgres,
    "Redis": Redis,
}
"""To add one: what makes it from a folder. It has `store`, `bare` and `stop`, as those above."""


def measure(place, records, size_bytes):
    """Return the records a second of each way, with so many in flight."""
    figures = {}
    for in_flight in IN_FLIGHT:
        some = [
            sample(number, os.urandom(size_bytes)) for number in range(records if in_flight > 1 else records // 4)
        ]
        for (what, who), way in _ways(place, some, in_flight).items():
            began = time.perf_counter()
            way()
            figures[what, in_flight, who] = len(some) / (time.perf_counter() - began)
    return figures


def _ways(place, some, in_flight):
    """Return what to do with some records: saving first, and all of it on fresh keys."""
    scope = os.urandom(6).hex()
    store, bulk, bare = place.store(f"{scope}/one"), place.store(f"{scope}/bulk"), place.bare(f"{scope}/bare")
    keys = [record.key for record in some]

    def put(record):
        bare.put(record.key.hex(), record.payload)

    ways = {
        ("save", "bare"): lambda: _each(in_flight, put, some),
        ("save", "skipstone"): lambda: _each(in_flight, store.put, some),
        ("load", "bare"): lambda: _each(in_flight, bare.get, [key.hex() for key in keys]),
        ("load", "skipstone"): lambda: _each(in_flight, store.get, keys),
    }
    if in_flight == IN_FLIGHT[-1]:
        ways["save", "in bulk"] = lambda: bulk.put_many(some)
        ways["load", "in bulk"] = lambda: bulk.get_many(keys)
    return ways


def _each(in_flight, function, items):
    """Do something with each item, in threads that take one after the other."""
    todo = iter(items)

    def work():
        for item in todo:  # the next one of a list's iterator is one thread's alone
            function(item)

    with ThreadPoolExecutor(in_flight) as threads:
        for done in [threads.submit(work) for _ in range(in_flight)]:
            done.result()


def hit_through_tiers(place, folder, size_bytes):
    """Return the seconds of a hit that the near store has, and of one that it has not, each the median of many."""
    near = SqliteStore(f"{folder}/near/index/step")
    far = place.store("tiers/step")
    some = [sample(number, os.urandom(size_bytes)) for number in range(200)]
    far.put_many(some)
    tiers = TieredStore(near, far)
    first, second = ([_seconds(tiers.get, record.key) for record in some] for _ in range(2))
    tiers.close()
    return statistics.median(second), statistics.median(first)


def _seconds(function, argument):
    began = time.perf_counter()
    assert function(argument) is not None
    return time.perf_counter() - began


def main():
    """Print a table for each store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", default=list(STORES), metavar="STORE", help=", ".join(STORES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=1000)
    given = parser.parse_args()
    for name in given.stores:
        with tempfile.TemporaryDirectory(prefix="skipstone-stores-", ignore_cleanup_errors=True) as folder:
            place = STORES[name](folder)
            try:
                rounds = [measure(place, given.records, given.bytes) for _ in range(given.rounds)]
                near, far = hit_through_tiers(place, folder, given.bytes)
            finally:
                place.stop()
        print(f"\n## {name}: records of {given.bytes:,} bytes a second, medians of {given.rounds} rounds\n")
        print("| | in flight | bare client | skipstone | of it |\n| --- | ---: | ---: | ---: | ---: |")
        for what, in_flight, who in rounds[0]:
            if who != "bare":
                mine = [figures[what, in_flight, who] for figures in rounds]
                theirs = [figures[what, in_flight, "bare"] for figures in rounds]
                ratio = statistics.median(one / other for one, other in zip(mine, theirs, strict=True))
                how = f"{in_flight}, {who}" if who != "skipstone" else in_flight
                print(
                    f"| {what} | {how} | {statistics.median(theirs):,.0f} | {statistics.median(mine):,.0f} | {ratio:.0%} |"
                )
        print(
            f"\nA hit through two tiers: {near * 1e6:,.1f} µs where the near one has it, {far * 1e6:,.0f} µs where not."
        )


if __name__ == "__main__":
    main()
