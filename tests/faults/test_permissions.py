"""Who may read and write: folders and files are their owner's only, foreign stores are refused, signed records are checked."""

import glob
import os
import re
import sqlite3
import stat
import subprocess
import warnings
from contextlib import contextmanager

import planted
import pytest
from harness import run
from needs import need_root
from scenarios import ids_for

from skipstone import (
    ConfigError,
    DamagedRecordWarning,
    LoadWarning,
    SaveWarning,
    UnsafeStoreError,
    open_checkpoint,
)

NOBODY = 65534
IDS = [f"small{number}-300" for number in range(5)] + ["large0-100000", "large1-1500000"]


def saved(folder, **settings):
    """Fill a store, and return how often a call runs when all of it is asked for."""
    ran = []

    def compute(id, size):
        ran.append(id)
        return id * (size // len(id))

    with open_checkpoint("step", {"artifacts_dir": folder, **settings}) as checkpoint:
        for id in IDS:
            size = int(id.rpartition("-")[2])
            assert checkpoint.load_or_run(compute, id, id, size) == id * (size // len(id))
    return len(ran)


def modes_below(folder):
    found = {}
    for parent, folders, files in os.walk(os.path.join(folder, "checkpoint")):
        found.setdefault("folders", set()).add(stat.S_IMODE(os.stat(parent).st_mode))
        for name in files:
            found.setdefault("files", set()).add(stat.S_IMODE(os.stat(os.path.join(parent, name)).st_mode))
    return found


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
def test_modes(folder, umask):
    """Folders are 0700 and files 0600, whatever the umask: of an open store, a closed one, and one that was set aside."""
    answer = run("save_with_umask", folder=f"{folder}", umask=umask)
    for when in ("open", "closed", "mended"):
        assert answer[when] == {"folders": [0o700], "files": [0o600]}, when
    assert any("damaged" in name for name in answer["names"])
    assert any(name.endswith("-wal") for name in answer["open names"])
    assert any(name.endswith(".value") for name in answer["names"])


@pytest.mark.parametrize("umask", [0, 0o077, 0o777], ids=oct)
@pytest.mark.parametrize("mode", [0o750, 0o2770], ids=oct)
def test_modes_where_others_are_let_in(folder, umask, mode):
    """What is made in a `checkpoint` folder that its owner has opened to a group is as open as it, whatever the umask."""
    root = f"{folder}/checkpoint"
    os.mkdir(root)
    os.chmod(root, mode)
    answer = run("save_with_umask", folder=f"{folder}", umask=umask, settings={"trust_store": True})
    for when in ("open", "closed", "mended"):
        assert answer[when] == {"folders": [mode], "files": [0o600 | mode & 0o066]}, when
    assert any(name.endswith("-wal") for name in answer["open names"])


ALICE, BOB, GROUP = 54321, 54322, 54323


@pytest.fixture
def of_a_group(folder):
    """A folder that a group shares."""
    need_root("becoming another user")
    os.chmod(folder, 0o755)
    os.mkdir(f"{folder}/checkpoint")
    os.chown(f"{folder}/checkpoint", ALICE, GROUP)
    os.chmod(f"{folder}/checkpoint", 0o2770)
    return folder


def asks(folder, user, ids):
    return run(
        "ask_all",
        folder=folder,
        ids=ids,
        settings={"trust_store": True},
        user=user,
        groups=[GROUP],
    )


def test_a_group_shares_a_folder(of_a_group):
    """What one of a group saves, small or large, another one finds, and goes on from there; the first one finds that in turn."""
    some, more = ids_for("some", 8), ids_for("more", 8)
    assert asks(of_a_group, ALICE, some) == {"ran": some, "bad": [], "warnings": []}
    assert asks(of_a_group, BOB, some + more) == {"ran": more, "bad": [], "warnings": []}
    assert asks(of_a_group, ALICE, more + some) == {"ran": [], "bad": [], "warnings": []}


def test_a_private_folder_of_somebody_else(folder):
    """A store that only its owner can look into is refused as one that all can: the error says whose it is."""
    need_root("becoming another user")
    os.chmod(folder, 0o777)
    saved(folder)
    answer = run("open_as", folder=folder, user=NOBODY)
    assert answer["error"] == "UnsafeStoreError"
    assert (
        (run("ask_all", folder=folder, ids=IDS[:1], user=NOBODY, settings={"trust_store": True})["ran"]) == IDS[:1]
    )


def test_a_folder_of_somebody_else_without_a_store(folder):
    """Where a folder cannot be made, that is told: calls run, and their results are returned."""
    need_root("becoming another user")
    os.chmod(folder, 0o755)
    asked = run("ask_all", folder=folder, ids=IDS[:1], user=NOBODY)
    assert (asked["ran"], asked["bad"]) == (IDS[:1], [])
    assert f"Permission denied: '{folder}/checkpoint'" in asked["warnings"][0][1]


@contextmanager
def may_not(path):
    """Forbid all to a user who is not root; yield who that is."""
    user = NOBODY if os.geteuid() == 0 else None
    before = os.stat(path)
    if user is not None:
        subprocess.run(["chown", "-R", f"{user}:{user}", path.partition("/checkpoint")[0]], check=True)
    os.chmod(path, 0)
    yield user
    os.chmod(path, stat.S_IMODE(before.st_mode))


def test_what_may_not_be_looked_into_is_told(folder):
    """Nobody is told that there are no checkpoints where there may be some."""
    saved(folder)
    commands = [["ls"], ["verify"], ["gc"], ["clear", "--yes"], ["clear_checkpoints"]]
    with may_not(f"{folder}/checkpoint") as user:
        for status, printed in run("commands", folder=folder, commands=commands, user=user):
            assert status, printed
            assert "Permission denied" in printed
            assert "Traceback" not in printed


def test_an_index_that_may_not_be_looked_into(folder):
    """Of an index that somebody else keeps to himself, no step is known; those of others are."""
    saved(folder)
    saved(folder, index_name="other")
    commands = [["ls"], ["verify", "--index", "other"], ["verify"], ["clear_checkpoints"]]
    with may_not(f"{folder}/checkpoint/default") as user:
        ls, other, verify, clear = run("commands", folder=folder, commands=commands, user=user)
    assert ls[0] == 0
    assert "default / ?" in ls[1]
    assert "Permission denied" in ls[1]
    assert "other / step" in ls[1]
    assert other[0] == 0
    for status, printed in (verify, clear):
        assert status, printed
        assert "Permission denied" in printed


def test_a_value_that_may_not_be_read(folder):
    """`verify` says of which results the files may not be read, and that the others are intact; calls of those run."""
    ids = ids_for("some", 8)
    run("ask_all", folder=folder, ids=ids)
    path = glob.glob(f"{folder}/checkpoint/*/*/values/*/*.value")[0]
    with may_not(path) as user:
        [(status, printed)] = run("commands", folder=folder, commands=[["verify"]], user=user)
        assert status
        assert re.search("1 of [0-9]+ records of all kinds", printed)
        assert "its value may not be read: [Errno 13] Permission denied" in printed
        asked = run("ask_all", folder=folder, ids=ids, user=user)
        assert (len(asked["ran"]), asked["bad"]) == (1, [])


PLACES = {
    "all checkpoints": "checkpoint",
    "index": "checkpoint/default",
    "step": "checkpoint/default/step",
    "database": "checkpoint/default/step/records.sqlite3",
}
INSIDE = {
    "values": "checkpoint/default/step/values",
    "folder of values": "checkpoint/default/step/values/??",
    "value": "checkpoint/default/step/values/??/*.value",
}


def refused(folder, mark):
    """Check that opening is refused before anything is unpickled, and return the message."""
    with pytest.raises(UnsafeStoreError) as caught:
        saved(folder)
    assert not os.path.exists(mark)
    return str(caught.value)


def mend(message):
    """Run the command that a message gives."""
    command = re.search(r"(?:chmod|chown) -R \S+ (?:'[^']+'|\S+)", message)
    assert command, message
    subprocess.run(command[0], shell=True, check=True)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722], ids=oct)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_store_that_others_can_write(folder, place, mode):
    """A folder or database that its group or others can write is refused before anything is unpickled, with the command that mends it."""
    saved(folder)
    mark = f"{folder}/mark"
    planted.plant(folder, mark)
    path = os.path.join(folder, place)
    os.chmod(path, mode & 0o666 if os.path.isfile(path) else mode)
    message = refused(folder, mark)
    assert path in message
    mend(message)
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        assert len(list(checkpoint.records())) == len(IDS)


@pytest.mark.parametrize("place", INSIDE.values(), ids=INSIDE)
def test_values_that_others_can_write(folder, place):
    """So is one where others can get through to the value files and write them."""
    saved(folder)
    step = f"{folder}/checkpoint/default/step"
    for path in (
        f"{folder}/checkpoint",
        os.path.dirname(step),
        step,
        *glob.glob(f"{step}/values"),
        *glob.glob(f"{step}/values/??"),
    ):
        os.chmod(path, 0o755)
    for path in glob.glob(os.path.join(folder, place)):
        os.chmod(path, 0o777 if os.path.isdir(path) else 0o666)
    os.chmod(folder, 0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ran = saved(folder)
        except UnsafeStoreError as error:
            mend(str(error))
            assert saved(folder) == 0
        else:
            assert ran == 2, "value files that others could write were loaded"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_store_of_somebody_else(folder, place):
    """A folder or database that somebody else owns is refused before anything is unpickled, with the command that mends it."""
    need_root("giving files to another user")
    saved(folder)
    mark = f"{folder}/mark"
    planted.plant(folder, mark)
    path = os.path.join(folder, place)
    os.chown(path, NOBODY, NOBODY)
    message = refused(folder, mark)
    assert path in message
    assert str(NOBODY) in message
    mend(message)
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        assert len(list(checkpoint.records())) == len(IDS)


def test_a_store_that_was_made_by_somebody_else(folder):
    """A user who opens a store that root made for all gets an error, not its pickles."""
    need_root("becoming another user")
    saved(folder)
    for parent, folders, files in os.walk(folder):
        os.chmod(parent, 0o755)
        for name in files:
            os.chmod(os.path.join(parent, name), 0o644)
    answer = run("open_as", folder=folder, user=NOBODY)
    assert answer["error"] == "UnsafeStoreError"


def test_a_trusted_store(folder):
    """With `trust_store=True` such a store is opened, on the user's own responsibility."""
    saved(folder)
    os.chmod(f"{folder}/checkpoint/default/step", 0o777)
    with pytest.raises(UnsafeStoreError):
        saved(folder)
    assert saved(folder, trust_store=True) == 0


def test_a_store_that_becomes_unsafe_while_it_is_closed(folder):
    """A checkpoint that was closed and is used again looks again: the call runs, and the warning gives the command."""
    mark = f"{folder}/mark"
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        assert checkpoint.load_or_run(str, "id", 1) == "1"
        checkpoint.close()
        planted.plant(folder, mark)
        os.chmod(f"{folder}/checkpoint/default/step", 0o777)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert checkpoint.load_or_run(str, "id", 2) == "2"
        assert "chmod -R go-rwx" in str(caught[0].message)
        os.chmod(f"{folder}/checkpoint/default/step", 0o700)
    assert not os.path.exists(mark)


def test_what_is_planted_would_run(folder):
    """What these tests plant does run in a store that is trusted and not signed: else they would prove nothing."""
    saved(folder)
    mark = f"{folder}/mark"
    assert planted.plant(folder, mark) == len(IDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            names = {record.function for record in checkpoint.records()}
        assert len(names) == 1
        try:
            saved(folder)
        except AssertionError:  # the first record gave what the pickle made
            pass
    assert os.path.exists(mark)


KEY, OTHER = "secret", b"another secret"


@pytest.fixture
def signed(folder):
    assert saved(folder, signing_key=KEY) == len(IDS)
    return folder


def runs_again(folder, count, **settings):
    """Check that so many records are not accepted, that it is told, and that they are then replaced."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert saved(folder, **settings) == count
    assert [each.category for each in caught] == [DamagedRecordWarning] * count
    if settings:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert saved(folder, **settings) == 0


@pytest.mark.parametrize("key", [KEY, KEY.encode(), [KEY], [KEY, OTHER], [OTHER, KEY.encode()]], ids=repr)
def test_signed_records(signed, key):
    """Records that were signed with one of the keys are loaded, whether it is given as text or bytes, alone or in a list."""
    assert saved(signed, signing_key=key) == 0


def test_another_key(signed):
    """Records that bear no signature of a key of the config are computed again, with a warning."""
    runs_again(signed, len(IDS), signing_key=OTHER)


def test_no_key(signed):
    """Signed records are not loaded without a key either, and stay as they are: a key that was forgotten costs no results."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert saved(signed) == len(IDS)
    assert {each.category for each in caught} == {LoadWarning, SaveWarning}
    assert saved(signed, signing_key=KEY) == 0


def test_unsigned_records(folder):
    """With a key, records without a signature are not loaded."""
    saved(folder)
    runs_again(folder, len(IDS), signing_key=KEY)


@pytest.mark.parametrize("checksum", [None, b"", bytes(32), b"x" * 32], ids=["right", "empty", "zeros", "letters"])
def test_a_planted_pickle_in_a_signed_store(signed, checksum):
    """With a key, a pickle that somebody planted is not unpickled, whatever its checksum."""
    mark = f"{signed}/mark"
    assert planted.plant(signed, mark, checksum) == len(IDS)
    runs_again(signed, len(IDS), signing_key=KEY)
    assert not os.path.exists(mark)


def test_a_planted_value_file(signed):
    """Nor is one in a value file."""
    import pickle

    mark = f"{signed}/mark"
    for path in glob.glob(f"{signed}/checkpoint/*/*/values/*/*.value"):
        with open(path, "r+b") as file:
            file.write(pickle.dumps(planted.Attack(mark)))
    runs_again(signed, 2, signing_key=KEY)
    assert not os.path.exists(mark)


def test_swapped_records(signed):
    """With a key, a record that was moved to another key is not loaded, though its signature is genuine."""
    path = planted.database(signed)
    connection = sqlite3.connect(path)
    with connection:
        query = f"SELECT sequence, key FROM records WHERE origin IN ({planted.RESULTS}) ORDER BY sequence LIMIT 2"
        (first, one), (second, two) = connection.execute(query).fetchall()
        for key, sequence in ((bytes(16), first), (one, second), (two, first)):
            connection.execute("UPDATE records SET key = ? WHERE sequence = ?", (key, sequence))
    connection.close()
    runs_again(signed, 2, signing_key=KEY)


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE records SET duration = duration + 1 WHERE sequence = 1",
        "UPDATE records SET checksum = substr(checksum, 1, 31) WHERE sequence = 1",
        "UPDATE records SET checksum = (SELECT checksum FROM records WHERE sequence = 2) WHERE sequence = 1",
        "UPDATE records SET payload = substr(payload, 1, 200) || x'00' || substr(payload, 202) WHERE sequence = 1",
    ],
    ids=["duration", "cut", "of another record", "payload"],
)
def test_changed_records(signed, query):
    """With a key, a record of which anything was changed is not loaded."""
    assert planted.change(signed, query) == 1
    runs_again(signed, 1, signing_key=KEY)


@pytest.mark.parametrize("column", ["function", "version", "encoding", "code"])
def test_changed_metadata(signed, column):
    """Nor is one whose function, version, encoding or code was changed."""
    planted.change(
        signed,
        f"UPDATE origins SET {column} = {'zeroblob(8)' if column == 'code' else repr('json')} WHERE encoding != 'code'",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert saved(signed, signing_key=KEY) == len(IDS)
    assert {each.category for each in caught} <= {DamagedRecordWarning} or column == "code"


def test_rotation(folder):
    """The first key signs and all are accepted: a key is rotated by putting a new one in front, later leaving the old one out."""
    saved(folder, signing_key="old")
    assert saved(folder, signing_key=["new", "old"]) == 0
    with open_checkpoint("step", {"artifacts_dir": folder, "signing_key": ["new", "old"]}) as checkpoint:
        checkpoint.load_or_run(str, "later", 1)
    with open_checkpoint("step", {"artifacts_dir": folder, "signing_key": "new"}) as checkpoint:
        assert checkpoint.load_or_run(str, "later", 2) == "1"
    runs_again(folder, len(IDS), signing_key=["new"])


@pytest.mark.parametrize("key", ["", b"", [""], ["good", ""], 17, [17]], ids=repr)
def test_bad_keys(folder, key):
    """A key that is empty or none is an error that does not show it."""
    with pytest.raises(ConfigError, match="signing_key") as caught:
        open_checkpoint("step", {"artifacts_dir": folder, "signing_key": key})
    assert "good" not in str(caught.value)


def test_the_key_is_not_shown(folder):
    """Neither a checkpoint's representation nor its files hold the key."""
    with open_checkpoint("step", {"artifacts_dir": folder, "signing_key": "never-shown-4711"}) as checkpoint:
        checkpoint.load_or_run(str, "id", 1)
        assert "never-shown-4711" not in repr(checkpoint)
    for parent, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(parent, name), "rb") as file:
                assert b"never-shown-4711" not in file.read()


@pytest.mark.parametrize("empty", [[], ()], ids=repr)
def test_no_keys_at_all(folder, empty):
    """An empty list of keys is an error, not a store without signatures: somebody meant to sign."""
    with pytest.raises(ConfigError, match="signing_key"):
        open_checkpoint("step", {"artifacts_dir": folder, "signing_key": empty})
