"""What every store keeps to: the local one, the one in memory, and the one that the documentation shows."""

import errno
import fcntl
import os

import pytest
from tests import pages

from skipstone import StoreUnavailableError
from skipstone.stores import MemoryStore, SqliteStore
from skipstone.testing import OneProcessStoreConformance, StoreConformance

PAGE = "docs/how-to/add-a-store.md"


class TestSqliteStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.folder = tmp_path / "checkpoint"

    def make_store(self, scope):
        return SqliteStore(str(self.folder / scope))

    def test_a_replaced_file_is_removed(self, store):
        """A large payload's file goes with its record."""
        from skipstone._store_trials import sample, sample_key

        assert store.put_many([sample(1, b"a" * 2_000_000), sample(2, b"b" * 2_000_000)])
        assert store.put_many([sample(1, b"c" * 2_000_000)]) == set()
        assert store.put_many([sample(1, b"d" * 2_000_000)], replace=True)
        assert len(self.files()) == 2
        store.delete([sample_key(1), sample_key(2)])
        assert self.files() == []

    @pytest.mark.parametrize(("size", "together"), [(0, 1), (60_000, 1), (60_000, 50)])
    def test_the_log_stays_short(self, store, size, together):
        """However records are saved, they do not pile up in the log of the database."""
        from skipstone._store_trials import sample

        records = [sample(number, b"a" * size) for number in range(600 if size else 10_000)]
        for start in range(0, len(records), together):
            if together == 1:
                store.put(records[start])
            else:
                store.put_many(records[start : start + together])
        (log,) = self.folder.rglob("records.sqlite3-wal")
        assert log.stat().st_size < 20 << 20

    @pytest.mark.parametrize(("order", "is_swept"), [("in order", True), ("at random", False)])
    def test_of_a_large_database_only_a_reader_in_order_reads_ahead(self, store, order, is_swept):
        """What is read ahead for a reader at random is of no use where the whole cannot be held."""
        from random import Random

        from skipstone._store_trials import sample, sample_key

        store.put_many([sample(number, b"x" * 60_000) for number in range(500)])
        store.close()
        numbers = list(range(500)) if order == "in order" else Random(1).sample(range(500), 100)
        store.open()
        queries = []
        store._connection.opened().set_trace_callback(queries.append)
        assert all(store.get(sample_key(number)) for number in numbers)
        assert (len([query for query in queries if "found.key =" in query]) < 50) == is_swept
        assert (len([query for query in queries if "sequence >" in query]) > 5) == is_swept

    def test_claims_that_are_taken_together(self, store):
        """They are those that nobody has, each ends by itself, and where the system refuses one, none is held."""
        from skipstone._store_trials import sample_key

        keys = [sample_key(number) for number in range(5)]
        with store.claim(keys[3]):
            claims = store.claim_many(keys)
            assert list(claims) == [key for key in keys if key != keys[3]]
            assert store.claim_many(keys) == {}
        for claim in claims.values():
            with claim:
                pass
        lock, left = fcntl.lockf, [1, 2]

        def some_locks(descriptor, kind, *args):
            if kind != fcntl.LOCK_UN and not (left and left.pop()):
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
            lock(descriptor, kind, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcntl, "lockf", some_locks)
            with pytest.raises(StoreUnavailableError, match="No locks available"):
                store.claim_many(keys)
        assert list(store.claim_many(keys)) == keys

    def files(self):
        return [path for path in self.folder.glob("*/*/values/**/*") if path.is_file()]


class TestMemoryStore(OneProcessStoreConformance):
    @pytest.fixture(autouse=True)
    def place(self):
        self.stores = {}

    def make_store(self, scope):
        return self.stores.setdefault(scope, MemoryStore())


class TestDocumentedStore(OneProcessStoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        (source,) = [block.text for block in pages.blocks(PAGE) if block.title == "folder_store.py"]
        names = {}
        exec(source, names)
        self.kind = names["FolderStore"]
        self.folder = tmp_path

    def make_store(self, scope):
        return self.kind(str(self.folder / scope))
