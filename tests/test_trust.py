"""Who may read and write a store, and whose records are loaded."""

import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import warnings

import pytest

from skipstone import (
    DamagedRecordWarning,
    LoadWarning,
    SaveWarning,
    UnsafeStoreError,
    UnsafeStoreWarning,
    open_checkpoint,
)
from skipstone.stores import SqliteStore


def double(x):
    return {"twice": 2 * x}


def step(folder, **settings):
    return open_checkpoint("step", {"artifacts_dir": folder, **settings})


@pytest.mark.parametrize("umask", ["0", "022", "077"])
def test_nobody_else_can_look_in(tmp_path, umask):
    """Folders are 0700 and files 0600, whatever the umask."""
    script = (
        f"import os; os.umask(0o{umask})\n"
        "from skipstone import open_checkpoint\n"
        "checkpoint = open_checkpoint('step', {'artifacts_dir': 'artifacts', 'durability': 'power'})\n"
        "checkpoint.load_or_run(bytes, 'large', 200_000), checkpoint.load_or_run(bytes, 'small', 20)\n"
        "os._exit(0)\n"  # leaves the log behind
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    found = [path for path in (tmp_path / "artifacts/checkpoint").rglob("*")]
    assert {path.suffix for path in found} >= {".sqlite3", ".sqlite3-wal", ".value", ".lock"}
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("place", ["", "default", "default/step", "default/step/records.sqlite3"])
def test_what_others_can_write_is_refused(tmp_path, place):
    """A store that others can write to is refused with the command that mends it, unless the config trusts it."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
    path = tmp_path / "checkpoint" / place
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    with pytest.raises(UnsafeStoreError, match="can be written by others: chmod -R go-rwx '.*trust_store=True"):
        step(tmp_path)
    with step(tmp_path, trust_store=True) as checkpoint:
        assert checkpoint.load_or_run(double, "k", 5) == {"twice": 2}
    path.chmod(path.stat().st_mode & ~stat.S_IWOTH)
    step(tmp_path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_others_own_is_refused(tmp_path):
    """A store that belongs to another user is refused."""
    step(tmp_path).close()
    os.chown(tmp_path / "checkpoint/default/step", 12345, -1)
    with pytest.raises(UnsafeStoreError, match="belongs to user 12345, not to you"):
        step(tmp_path)


class Planted:
    """Its pickle runs code when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def replace_payload(folder, payload, **columns):
    """Do what somebody can do who writes to the database and can compute checksums, but has no signing key."""
    from xxhash import xxh3_64_digest

    salt = int.from_bytes(xxh3_64_digest(b"pickle"), "little")
    changes = {"payload": payload, "size": len(payload), "checksum": xxh3_64_digest(payload, salt), **columns}
    database = sqlite3.connect(folder / "checkpoint/default/step/records.sqlite3")
    names = ", ".join(f"{name} = ?" for name in changes)
    database.execute(f"UPDATE records SET {names}", list(changes.values()))
    database.commit()
    database.close()


def test_a_planted_pickle_runs_without_a_signing_key(tmp_path):
    """This shows that the next test plants what would run: the folder's permissions are all that guards it."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
    replace_payload(tmp_path, pickle.dumps(Planted(tmp_path / "planted"), protocol=5))
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(double, "k", 1).close()
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize("checksum", ["forged", "kept"])
def test_a_planted_pickle_does_not_run_with_a_signing_key(tmp_path, checksum):
    """With a signing key, a record without its signature is reported, never unpickled, and computed again."""
    settings = {"signing_key": "secret"}
    with step(tmp_path, **settings) as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
        (kept,) = [checkpoint._engine._store.get(info.key).checksum for info in checkpoint.records()]
    columns = {"checksum": kept} if checksum == "kept" else {}
    replace_payload(tmp_path, pickle.dumps(Planted(tmp_path / "planted"), protocol=5), **columns)
    with step(tmp_path, **settings) as checkpoint:
        with pytest.warns(DamagedRecordWarning, match="does not bear the signature"):
            assert checkpoint.load_or_run(double, "k", 1) == {"twice": 2}
        assert checkpoint.load_or_run(double, "k", 5) == {"twice": 2}
    assert not (tmp_path / "planted").exists()


def test_signed_records_cannot_be_swapped(tmp_path):
    """The record of one call, put under the key of another, is not loaded, though its signature is genuine."""
    settings = {"signing_key": b"secret"}
    with step(tmp_path, **settings) as checkpoint:
        checkpoint.load_or_run(double, "one", 1)
        checkpoint.load_or_run(double, "two", 2)
        keys = {info.call_id: info.key for info in checkpoint.records()}
    store = SqliteStore(str(tmp_path / "checkpoint/default/step"))
    store.put(store.get(keys["one"])._replace(key=keys["two"]), replace=True)
    store.close()
    with step(tmp_path, **settings) as checkpoint:
        with pytest.warns(DamagedRecordWarning):
            assert checkpoint.load_or_run(double, "two", 2) == {"twice": 4}
        assert checkpoint.load_or_run(double, "one", 9) == {"twice": 2}


def test_keys_can_be_rotated(tmp_path):
    """Of several keys the first signs and all are accepted; a key that is not among them any more is not."""
    with step(tmp_path, signing_key="old") as checkpoint:
        checkpoint.load_or_run(double, "one", 1)
    with step(tmp_path, signing_key=["new", "old"]) as checkpoint:
        assert checkpoint.load_or_run(double, "one", 9) == {"twice": 2}
        checkpoint.load_or_run(double, "two", 2)
    with step(tmp_path, signing_key="new") as checkpoint:
        assert checkpoint.load_or_run(double, "two", 9) == {"twice": 4}
        with pytest.warns(DamagedRecordWarning):
            assert checkpoint.load_or_run(double, "one", 1) == {"twice": 2}


def test_a_signed_record_needs_a_key(tmp_path):
    """Without a key, signed records are not loaded and not replaced, and the warning says why."""
    with step(tmp_path, signing_key="secret") as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
    with step(tmp_path) as checkpoint:
        with pytest.warns((LoadWarning, SaveWarning), match="the config has no signing_key"):
            assert checkpoint.load_or_run(double, "k", 1) == {"twice": 2}
        assert checkpoint.stats().not_saved == 1
    with step(tmp_path, signing_key="secret") as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
        assert checkpoint.stats().hits == 1


def test_a_file_name_cannot_lead_out_of_the_folder(tmp_path):
    """A record that names a file elsewhere is not read, and replacing it does not delete that file."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
    replace_payload(tmp_path, b"x", file=str(mine), size=4)
    with step(tmp_path) as checkpoint:
        with pytest.warns(DamagedRecordWarning):
            assert checkpoint.load_or_run(double, "k", 1) == {"twice": 2}
        checkpoint.clear()
    assert mine.read_text() == "mine"


def shared(folder, **settings):
    return open_checkpoint("step", {"store": f"file://{folder}/shared", "artifacts_dir": folder, **settings})


def test_pickles_in_a_shared_store_are_warned_of_once(tmp_path):
    """Whoever opens a shared store with pickles that nobody vouches for is told the safe choices, once for each place."""
    place = f"file://{tmp_path}/shared"
    told = f"pickled to {place}: a pickle runs code.*signing_key.*encryption_key.*msgpack.*json.*trust_store=True"
    with pytest.warns(UnsafeStoreWarning, match=told) as caught:
        shared(tmp_path).close()
    assert [each.filename for each in caught] == [__file__]
    shared(tmp_path).close()
    with pytest.warns(UnsafeStoreWarning, match="to local, then file://"):
        shared(tmp_path, store=["local", place]).close()


def test_worker_processes_are_not_told_again(script):
    """A map in processes warns once, where it was called."""
    script.write(
        "pipeline.py",
        """
        import multiprocessing, sys
        from concurrent.futures import ProcessPoolExecutor
        from skipstone import open_checkpoint

        if __name__ == "__main__":
            checkpoint = open_checkpoint("step", {"store": f"file://{sys.argv[1]}"})
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
                print(sum(checkpoint.map(abs, range(-9, 0), executor=pool, progress=False)))
        """,
    )
    done = script("pipeline.py", script.folder / "shared", warnings="always::skipstone.UnsafeStoreWarning")
    assert done.stdout == "45\n"
    assert done.stderr.count("UnsafeStoreWarning") == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"signing_key": "s"},
        {"encryption_key": "k" * 32},
        {"serializer": "msgpack"},
        {"serializer": "json"},
        {"trust_store": True},
        {"store": "local"},
        {"use_checkpoints": False},
    ],
)
def test_safe_choices_are_not_warned_of(tmp_path, settings):
    """Each of the choices that the warning names silences it, and a local store needs none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared(tmp_path, **settings).close()


def test_a_planted_pickle_does_not_run_where_the_serializer_is_another(tmp_path):
    """With msgpack or json, a pickle in a shared store is not loaded, and not replaced, unless the config trusts it."""
    with shared(tmp_path, trust_store=True) as checkpoint:
        checkpoint.load_or_run(double, "k", 1)
        (info,) = checkpoint.records()
        record = checkpoint._engine._store.get(info.key)
        planted = record._replace(payload=pickle.dumps(Planted(tmp_path / "planted"), protocol=5))
        checkpoint._engine._store.put(checkpoint._engine._codec.seal(planted), replace=True)
    with shared(tmp_path, serializer="json") as checkpoint:
        with pytest.warns(LoadWarning, match="it is a pickle, which runs code"), pytest.warns(SaveWarning):
            assert checkpoint.load_or_run(double, "k", 1) == {"twice": 2}
    assert not (tmp_path / "planted").exists()
    with shared(tmp_path, serializer="json", trust_store=True) as checkpoint:
        checkpoint.load_or_run(double, "k", 1).close()
    assert (tmp_path / "planted").exists()
