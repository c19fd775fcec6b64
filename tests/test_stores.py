"""What every store keeps to: the local one, the one in memory, and the one that the documentation shows."""

import errno
import fcntl
import os
import shutil

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

    def test_files_of_one_time_share_a_folder(self, store):
        """Large payloads that are written one after the other are in one folder, or in two if the next one's time began."""
        from skipstone._store_trials import sample

        for number in range(30):
            assert store.put(sample(number, b"a" * 100_000)._replace(key=bytes([number]) * 16))
        assert len(self.files()) == 30
        assert len({path.parent for path in self.files()}) <= 2

    @pytest.mark.parametrize("removed", ["values/??", "values", "."])
    def test_folders_that_were_removed_are_made_again(self, store, removed):
        """Where somebody deletes a folder of large payloads, or all of them, later ones are kept."""
        from skipstone._store_trials import content_of, sample, sample_key

        store.put(sample(1, b"a" * 100_000))
        (file,) = self.files()
        step = file.parents[2]
        for folder in step.glob(removed) if removed != "." else [step]:
            shutil.rmtree(folder)
        assert store.put(sample(2, b"b" * 100_000))
        assert store.put_many([sample(3, b"c" * 100_000)])
        assert [content_of(store.get(sample_key(number)))[:1] for number in (2, 3)] == [b"b", b"c"]
        assert len(self.files()) == 2

    @pytest.mark.parametrize(("size", "together"), [(0, 1), (60_000, 1), (60_000, 50)])
    def test_the_log_stays_short(self, store, size, together):
        """However records are saved and removed, they do not pile up in the log of the database."""
        from skipstone._store_trials import sample

        records = [sample(number, b"a" * size) for number in range(600 if size else 10_000)]
        for start in range(0, len(records), together):
            if together == 1:
                store.put(records[start])
            else:
                store.put_many(records[start : start + together])
        for start in range(0, len(records), 50):
            assert store.delete([record.key for record in records[start : start + 50]]) == 50
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

    @pytest.mark.parametrize("distance", [-30, -1, 1, 30])
    def test_what_is_removed_beside_a_reader_in_order(self, store, distance):
        """It is not found any more, wherever in what was read ahead it stands."""
        from skipstone._store_trials import sample, sample_key

        store.put_many([sample(number, b"x" * 60_000) for number in range(500)])
        removed = set()
        for number in range(500):
            assert (store.get(sample_key(number)) is None) == (number in removed)
            assert not any(store.get(sample_key(each)) for each in removed if each < number)
            if number % 10 == 0 and number > 30:
                removed.add(number + distance)
                store.delete([sample_key(number + distance)])

    def test_what_is_saved_amid_a_transaction_of_the_same_thread_is_not_acknowledged(self, store):
        """Garbage may be collected amid it, and what ends then may save something: it would be lost with the transaction."""
        from skipstone._store_trials import sample

        with store._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for number, size_bytes in enumerate((10, 2_000_000)):
                with pytest.raises(StoreUnavailableError, match="the same thread"):
                    store.put(sample(number, b"x" * size_bytes))
            connection.execute("ROLLBACK")
        assert store.put(sample(0, b"x"))
        assert self.files() == []

    def test_a_database_that_cannot_be_opened(self, store, monkeypatch):
        """That is raised, and nothing else is said of it."""
        store.open()
        store.close()
        (database,) = self.folder.rglob("records.sqlite3")
        database.unlink()
        database.mkdir()
        said = []
        monkeypatch.setattr("sys.unraisablehook", said.append)
        with pytest.raises(StoreUnavailableError, match="unable to open"):
            store.open()
        assert said == []
        database.rmdir()

    def test_claims_that_are_taken_together(self, store):
        """They are those that nobody has, each ends by itself, and where the system refuses one, none is held."""
        from skipstone._store_trials import sample_key

        def claimed(keys):
            claims = {}
            store.claim_many(keys, claims)
            return claims

        keys = [sample_key(number) for number in range(5)]
        with store.claim(keys[3]):
            claims = claimed(keys)
            assert list(claims) == [key for key in keys if key != keys[3]]
            assert claimed(keys) == {}
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
                claimed(keys)
        assert list(claimed(keys)) == keys

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
