"""Formats side by side: a store of every format that was released opens, and one of a newer format is refused."""

import glob
import os
import re
import shutil
import sqlite3
import sys

import numpy as np
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "fixtures"))

import format_fixture

from skipstone import DamagedStoreWarning, StoreFormatError, open_checkpoint
from skipstone.stores._local import _schema

FORMATS = sorted(glob.glob(f"{format_fixture.HERE}/format_*[0-9]"))
NEXT = _schema.Migration(
    "99.1",
    """
    ALTER TABLE records ADD COLUMN note TEXT NOT NULL DEFAULT 'none';
    ALTER TABLE origins ADD COLUMN branch TEXT NOT NULL DEFAULT '';
    ALTER TABLE origins ADD COLUMN changes TEXT NOT NULL DEFAULT ''
    """,
)


def copied(folder, target):
    """Copy a store, private as it was before git kept it."""
    shutil.copytree(folder, target)
    for parent, _, names in os.walk(target):
        os.chmod(parent, 0o700)
        for name in names:
            os.chmod(os.path.join(parent, name), 0o600)
    return str(target)


@pytest.fixture(params=FORMATS, ids=os.path.basename)
def store(request, tmp_path):
    """A store as an earlier version left it."""
    return copied(request.param, tmp_path / "store")


@pytest.fixture
def next_format(monkeypatch):
    """A format after the present one."""
    monkeypatch.setattr(_schema, "_MIGRATIONS", (*_schema._MIGRATIONS, NEXT))
    return len(_schema._MIGRATIONS)


def must_not_run(id, _result):
    pytest.fail(f"the result for {id!r} was not loaded")


def database(store, step):
    return f"{store}/checkpoint/default/{step}/records.sqlite3"


def facts(path):
    """Return format, state and columns of a database."""
    connection = sqlite3.connect(path)
    try:
        return (
            connection.execute("PRAGMA user_version").fetchone()[0],
            dict(connection.execute("SELECT name, value FROM state WHERE name != 'epoch'")),
            {
                table: len(connection.execute(f"PRAGMA table_info({table})").fetchall())
                for table in ("records", "origins")
            },
        )
    finally:
        connection.close()


def all_is_there(store, step):
    """Ask for everything that a step holds: all of it is loaded, and right."""
    found = format_fixture.ask(step, store, must_not_run)
    for id, value in found.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, format_fixture.array_of(id))
        else:
            assert value == format_fixture.result_of(id)
    with open_checkpoint(step, {"artifacts_dir": store, **format_fixture.STEPS[step]}) as checkpoint:
        assert len(list(checkpoint.records())) == len(found)
        (failure,) = checkpoint.failures()
        assert failure.call_id == format_fixture.FAILED
        assert failure.call_id == format_fixture.FAILED


def test_every_format_is_kept():
    """A store of each format up to the present one is among the fixtures."""
    assert [os.path.basename(path) for path in FORMATS] == [
        f"format_{number + 1}" for number in range(len(_schema._MIGRATIONS))
    ]


@pytest.mark.parametrize("step", format_fixture.STEPS)
def test_an_earlier_store_loads(store, step):
    """All that earlier versions saved is loaded: rows, value files, compressed and signed records, failures, with each serializer."""
    all_is_there(store, step)


@pytest.mark.parametrize("step", format_fixture.STEPS)
def test_an_earlier_store_is_migrated(store, step, next_format):
    """It is brought to the present format when it is opened, once, and all is there."""
    all_is_there(store, step)
    version, state, columns = facts(database(store, step))
    assert (version, state) == (next_format, {"format": next_format, "since": "99.1"})
    assert columns == {"records": 12, "origins": 10}
    all_is_there(store, step)


def test_a_migrated_store_is_like_a_new_one(store, tmp_path, next_format):
    """A new database has the same tables as one that was migrated."""

    def tables(path):
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        connection.close()
        return found

    all_is_there(store, "json")
    open_checkpoint("json", {"artifacts_dir": tmp_path / "new"}).close()
    assert tables(database(store, "json")) == tables(database(tmp_path / "new", "json"))


@pytest.mark.parametrize("step", ["pickle", "signed"])
def test_new_records_beside_old_ones(store, step, next_format):
    """What is saved after a migration stands beside what was there, and failures of before are counted on."""
    ran = []

    def run(id, result):
        ran.append(id)
        return result

    settings = {"artifacts_dir": store, "on_code_change": "ignore", **format_fixture.STEPS[step]}
    for _ in range(2):
        with open_checkpoint(step, settings) as checkpoint, format_fixture.use_checkpoint(checkpoint):
            format_fixture.functions(run)[0]("new")
    assert ran == ["new"]
    format_fixture.fail(step, store)
    (failure,) = checkpoint.failures()
    assert failure.attempts == 2


def test_a_newer_store_is_refused(store, next_format, monkeypatch):
    """A store of a newer format is refused with a message that says which version can read it, and is not touched."""
    all_is_there(store, "pickle")
    path = database(store, "pickle")
    with open(path, "rb") as file:
        before = file.read()
    monkeypatch.undo()
    with pytest.raises(StoreFormatError) as caught:
        open_checkpoint("pickle", {"artifacts_dir": store})
    assert str(caught.value) == (
        f"{path} has format {next_format}, and this skipstone reads formats up to {next_format - 1}: update it "
        f"(pip install 'skipstone>=99.1'), or choose another artifacts_dir or index_name"
    )
    with open(path, "rb") as file:
        assert file.read() == before


def test_a_flipped_bit_in_the_version(store, next_format):
    """A version in the header that the state does not confirm is damage: nothing is migrated by it, all is carried over."""
    all_is_there(store, "pickle")
    connection = sqlite3.connect(database(store, "pickle"))
    connection.execute(f"PRAGMA user_version = {next_format - 1}")
    connection.close()
    with pytest.warns(DamagedStoreWarning, match="its header says format"):
        all_is_there(store, "pickle")
    assert facts(database(store, "pickle"))[0] == next_format


@pytest.mark.parametrize("page", ["schema", "leaf"])
def test_a_damaged_earlier_store(store, next_format, page):
    """Damage that is met while a database is migrated: it is set aside, and its rows are carried over into the present format."""
    path = database(store, "pickle")
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchone()
    connection.close()
    with open(path, "r+b") as file:
        file.seek(100 if page == "schema" else (root - 1) * 4096)
        file.write(b"\xff" * (4 if page == "schema" else 4096))
    with pytest.warns(DamagedStoreWarning) as caught:
        all_is_there(store, "pickle")
    assert re.search(r"\b1[35] readable records were carried over", str(caught[0].message))
    assert facts(path)[0] == next_format


def test_damage_after_a_migration(store, next_format):
    """Rows that stand in a damaged database as earlier formats wrote them are carried over, page by page, each into its table."""

    def counts():
        connection = sqlite3.connect(path)
        try:
            return [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("records", "origins")
            ]
        finally:
            connection.close()

    path = database(store, "pickle")
    all_is_there(store, "pickle")
    format_fixture.fail("pickle", store)  # as the present format writes it
    before = counts()
    with open(path, "r+b") as file:
        file.write(b"no database".ljust(100))
    with pytest.warns(DamagedStoreWarning):
        all_is_there(store, "pickle")
    assert counts() == before
