"""What every store keeps to: the local one, the one in memory, and the one that the documentation shows."""

import pytest
from tests import pages

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
