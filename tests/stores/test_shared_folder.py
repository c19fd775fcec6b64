"""The store in a folder that several machines share."""

import errno
import os

import pytest

from skipstone.stores._shared_folder import SharedFolderStore
from skipstone.testing import StoreConformance


def no_link(source, target):
    raise OSError(errno.EPERM, "there are no hard links on this file system", target)


class NoLinksStore(SharedFolderStore):
    """As on a file system without hard links."""

    def __init__(self, folder, **settings):
        super().__init__(folder, **settings)
        os.link = no_link

    def __reduce__(self):
        return NoLinksStore, (self.folder,)


class TestSharedFolder(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.folder = tmp_path / "shared"

    def make_store(self, scope):
        return SharedFolderStore(str(self.folder / scope))


class TestWithoutHardLinks(TestSharedFolder):
    @pytest.fixture(autouse=True)
    def no_links(self, monkeypatch):
        monkeypatch.setattr(os, "link", os.link)

    def make_store(self, scope):
        return NoLinksStore(str(self.folder / scope))
