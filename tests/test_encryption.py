"""With an encryption key, a store shows neither results nor ids nor errors, and nothing else is loaded from it."""

import base64
import os

import pytest

from skipstone import (
    Checkpoint,
    ConfigError,
    DamagedRecordWarning,
    LoadWarning,
    SaveError,
    SaveWarning,
    SkipstoneWarning,
    cache_with_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone._catalogue import Catalogue
from skipstone._record import Origin, Record
from skipstone.stores import MemoryStore, SqliteStore

KEY, OTHER_KEY = "k" * 32, b"another key, as random as can be"
SECRET = "Rumpelstiltskin"


def tell(name):
    if name == "raises":
        raise ValueError(SECRET)
    return {"name": SECRET}


def length(data):
    return len(data)


@cache_with_checkpoint(id="n")
def names(n):
    for number in range(n):
        yield f"{SECRET} {number}"


def step(folder, **settings):
    return open_checkpoint("step", {"artifacts_dir": folder, "encryption_key": KEY, **settings})


def store_of(folder):
    return SqliteStore(str(folder / "checkpoint/default/step"))


def stored_bytes(folder):
    """All that somebody reads who has the files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@cache_with_checkpoint(id="k", name="app.tell", on_code_change="ignore")
def told_before(k):
    raise AssertionError("it is done")


def test_what_was_encrypted_before_stays_readable():
    """A record that an earlier version encrypted is decrypted: result, id and details."""
    key = bytes.fromhex("2a8f05e3d503c8d7e574e37849e7a790")
    record = Record(
        key,
        bytes.fromhex("0b5ba7aa0ed949a7"),
        Origin(
            "app.tell", "", "pickle+aes", bytes.fromhex("015e80e4edf6c40e"), "20261125T010102-550729", "vm", 7776
        ),
        0.0014140589992166497,
        base64.b64decode(
            "+XHTIqxwy4/e3FBA8UKhgQJaCZhxPvCA36bJro2bljq9VmXPEQ8on9qgSlNOMcDATpnnDR3mjpFz3fK7OKFsugHdpYTi6g7P"
        ),
        "encrypted:+XHTIpE9OuBJFnULIKz06UY7iaJsyD/gV62xgLlI8ueQ",
        1795568462.6745794,
        base64.b64decode("+XHTIksgSs/8JM8fV/Kak5tE7WMCefthydet6IqGnzmJXXqyo30FVGsdXulrsh7MZzAOMdv6CoTwDB0="),
    )
    store = MemoryStore()
    store.put(record)
    with use_checkpoint(Checkpoint(store, {"encryption_key": KEY})) as checkpoint:
        assert told_before("k") == {"name": SECRET}
        (info,) = checkpoint.records()
        assert info.call_id == "k"
        assert {name: argument.text for name, argument in info.arguments.items()} == {"x": "1"}


def test_what_expired_is_found(tmp_path):
    """What is encrypted of a record may say when it expires: `gc` reads it with the key."""

    @cache_with_checkpoint(id="x", expires_seconds=0.0)
    def soon_old(x):
        return x

    with step(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        checkpoint.load_or_run(length, "kept", "12")
        soon_old(1)
        assert checkpoint.gc().expired == 1
        assert [info.call_id for info in checkpoint.records()] == ["kept"]


@pytest.mark.parametrize("place", ["local", "file"])
@pytest.mark.parametrize("settings", [{}, {"compression": "zstd"}, {"signing_key": "s"}, {"serializer": "json"}])
def test_nothing_is_readable_without_the_key(tmp_path, place, settings):
    """Results, items of generators, call ids and errors are nowhere in plain text; with the key, all are there."""
    if place == "file":
        settings = {**settings, "store": f"file://{tmp_path}/shared"}
    with step(tmp_path, **settings) as checkpoint, use_checkpoint(checkpoint):
        checkpoint.load_or_run(tell, f"id of {SECRET}", "k")
        with pytest.raises(ValueError):
            checkpoint.load_or_run(tell, SECRET, "raises")
        assert len(list(names(3))) == 3
        checkpoint.load_or_run(str.upper, "large", SECRET * 20_000)
    assert len(stored_bytes(tmp_path)) > 1000
    for text in (SECRET, SECRET.upper(), "ValueError", "Traceback"):
        assert text.encode() not in stored_bytes(tmp_path)
    with step(tmp_path, **settings) as checkpoint, use_checkpoint(checkpoint):
        assert checkpoint.load_or_run(tell, f"id of {SECRET}", "other") == {"name": SECRET}
        assert checkpoint.load_or_run(str.upper, "large", "other") == SECRET.upper() * 20_000
        assert list(names(3)) == [f"{SECRET} {number}" for number in range(3)]
        assert checkpoint.stats().misses == 0
        assert sorted(info.call_id for info in checkpoint.records()) == ["3", f"id of {SECRET}", "large"]
        (failure,) = checkpoint.failures()
        assert (failure.call_id, failure.error) == (SECRET, f"ValueError: {SECRET}")
        assert SECRET in failure.traceback


@pytest.mark.parametrize("key", [OTHER_KEY, None])
def test_a_wrong_key_returns_no_stored_result_and_replaces_none(tmp_path, key):
    """The call runs, with a warning; whoever has the right key finds what was stored."""
    with step(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        checkpoint.load_or_run(tell, 1, "k")
        assert len(list(names(2))) == 2
        before = [(info.key, info.created_at_seconds, info.run) for info in checkpoint.records()]
    with step(tmp_path, encryption_key=key) as checkpoint, use_checkpoint(checkpoint):
        reason = (
            "encrypted with another encryption_key"
            if key
            else "is encrypted, and the config has no encryption_key"
        )
        with (
            pytest.warns(LoadWarning, match=f"{reason}.*stays as it is"),
            pytest.warns(SaveWarning, match="clear it"),
        ):
            assert checkpoint.load_or_run(length, 1, "four") == 4
            assert checkpoint.load_or_run(tell, 1, "k") == {"name": SECRET}
        with pytest.warns(LoadWarning, match=reason):
            assert list(names(2)) == [f"{SECRET} {number}" for number in range(2)]
        assert all(SECRET not in info.call_id for info in checkpoint.records())
    with step(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        assert [(info.key, info.created_at_seconds, info.run) for info in checkpoint.records()][:2] == before
        assert checkpoint.load_or_run(tell, 1, "other") == {"name": SECRET}
        assert len(list(names(2))) == 2
        assert checkpoint.stats().misses == 0


def test_a_wrong_key_is_an_error_where_a_save_must_not_fail(tmp_path):
    """With on_save_error="raise", the error carries the result."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(tell, 1, "k")
    with step(tmp_path, encryption_key=OTHER_KEY, on_save_error="raise") as checkpoint:
        with pytest.warns(LoadWarning), pytest.raises(SaveError, match="encrypted with another") as raised:
            checkpoint.load_or_run(tell, 1, "k")
        assert raised.value.result == {"name": SECRET}


def test_a_rerun_replaces_what_is_encrypted_with_a_forgotten_key(tmp_path):
    """Who asks for it in so many words has the record replaced."""
    remember = cache_with_checkpoint(id="data")(length)
    with step(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        remember("abc")
    with step(tmp_path, encryption_key=OTHER_KEY) as checkpoint, use_checkpoint(checkpoint):
        assert not remember.is_done("abc")
        assert remember.rerun("abc") == 3
        assert remember.is_done("abc")
        assert remember("abc") == 3
        assert checkpoint.stats().hits == 1


def test_keys_can_be_rotated(tmp_path):
    """Of several keys the first encrypts and all decrypt."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(tell, "old", "k")
    with step(tmp_path, encryption_key=[OTHER_KEY, KEY]) as checkpoint:
        assert checkpoint.load_or_run(tell, "old", "x") == {"name": SECRET}
        checkpoint.load_or_run(tell, "new", "k")
        assert sorted(info.call_id for info in checkpoint.records()) == ["new", "old"]
        assert checkpoint.stats().hits == 1
    with step(tmp_path, encryption_key=OTHER_KEY) as checkpoint:
        assert checkpoint.load_or_run(tell, "new", "x") == {"name": SECRET}
        assert checkpoint.stats().misses == 0


def test_what_is_not_encrypted_is_not_loaded(tmp_path):
    """Somebody who has no key cannot put a record into an encrypted store; nor is one from before lost."""
    with step(tmp_path, encryption_key=None) as checkpoint:
        checkpoint.load_or_run(tell, 1, "k")
    with step(tmp_path) as checkpoint:
        with (
            pytest.warns(LoadWarning, match="it is not encrypted"),
            pytest.warns(SaveWarning, match="not encrypted"),
        ):
            assert checkpoint.load_or_run(tell, 1, "k") == {"name": SECRET}
    with step(tmp_path, encryption_key=None) as checkpoint:
        assert checkpoint.load_or_run(tell, 1, "other") == {"name": SECRET}
        assert checkpoint.stats().hits == 1


def test_what_is_signed_is_loaded_although_it_is_not_encrypted(tmp_path):
    """Encryption can be turned on where records are signed: those before are still somebody's who has the key."""
    with step(tmp_path, encryption_key=None, signing_key="s") as checkpoint:
        checkpoint.load_or_run(tell, 1, "k")
    with step(tmp_path, signing_key="s") as checkpoint:
        assert checkpoint.load_or_run(tell, 1, "other") == {"name": SECRET}
        assert checkpoint.stats().hits == 1


def test_encrypted_records_cannot_be_swapped(tmp_path):
    """A record under the key of another call, or said to be of another version, is reported and computed again."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(tell, "one", "k")
        checkpoint.load_or_run(tell, "two", "k")
        keys = {info.call_id: info.key for info in checkpoint.records()}
    store = store_of(tmp_path)
    one = store.get(keys["one"])
    assert store.put(one._replace(key=keys["two"]), replace=True)
    store.close()
    with step(tmp_path) as checkpoint:
        with pytest.warns(DamagedRecordWarning, match="not what was encrypted for this call"):
            assert checkpoint.load_or_run(tell, "two", "k") == {"name": SECRET}
        assert checkpoint.stats().misses == 1
    assert store.put(one._replace(origin=one.origin._replace(version="other")), replace=True)
    store.close()
    with step(tmp_path) as checkpoint, pytest.warns(DamagedRecordWarning):
        assert checkpoint.load_or_run(tell, "one", "k") == {"name": SECRET}


@pytest.mark.parametrize("at", [0, 3, 4, 15, 16, 40, -1])
def test_every_byte_counts(tmp_path, at):
    """A changed byte is noticed, also by somebody who mends the checksum."""
    from skipstone._encoding._codec import _checksum

    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(tell, 1, "k")
        (key,) = [info.key for info in checkpoint.records()]
    store = store_of(tmp_path)
    record = store.get(key)
    payload = bytearray(record.payload)
    payload[at] ^= 1
    forged = record._replace(payload=bytes(payload))
    store.put(forged._replace(checksum=_checksum(forged)), replace=True)
    store.close()
    with step(tmp_path) as checkpoint, pytest.warns(SkipstoneWarning):
        assert checkpoint.load_or_run(tell, 1, "k") == {"name": SECRET}
        assert checkpoint.stats().misses == 1


def test_the_same_result_is_never_encrypted_alike(tmp_path):
    """Nobody sees that two results, or two saves of one, are equal."""
    payloads = set()
    for n in range(3):
        with step(tmp_path / str(n)) as checkpoint:
            checkpoint.load_or_run(tell, 1, "k")
            checkpoint.load_or_run(tell, 2, "k")
            payloads |= {
                bytes(checkpoint._engine._store.get(info.key).payload)[16:] for info in checkpoint.records()
            }
    assert len(payloads) == 6


def test_failures_count_in_an_encrypted_store(tmp_path):
    """Attempts are counted across runs, and with the wrong key there are none to be seen."""
    for attempts in (1, 2):
        with step(tmp_path) as checkpoint, pytest.raises(ValueError):
            checkpoint.load_or_run(tell, 1, "raises")
        with step(tmp_path) as checkpoint:
            assert [failure.attempts for failure in checkpoint.failures()] == [attempts]
    with step(tmp_path, encryption_key=OTHER_KEY) as checkpoint:
        assert list(checkpoint.failures()) == []
    with step(tmp_path) as checkpoint:
        assert checkpoint.load_or_run(tell, 1, "k")
        assert list(checkpoint.failures()) == []


def test_a_catalogue_shows_it_to_those_with_the_key(tmp_path):
    """Ids and errors are listed with the key; without it, what is stored is counted, and says nothing."""
    with step(tmp_path) as checkpoint:
        checkpoint.load_or_run(tell, SECRET, "k")
        with pytest.raises(ValueError):
            checkpoint.load_or_run(tell, "fails", "raises")
    for key in (KEY, OTHER_KEY):
        catalogue = Catalogue({"artifacts_dir": tmp_path, "encryption_key": key})
        (name,) = catalogue.steps()
        found = catalogue.step(name)
        assert (found.summary().totals.records, found.summary().totals.failures) == (1, 1)
        (record,) = found.records().records
        assert (record.call_id == SECRET) == (key == KEY)
        assert [call.failure.error for call in found.failures()] == [f"ValueError: {SECRET}"] * (key == KEY)
        found.close()


@pytest.mark.parametrize("key", ["short", b"15 bytes, no mo", [], ["k" * 16, "short"], 5, ""])
def test_a_key_is_long_enough_to_be_random(key):
    """A password is refused: whoever has the files could try them all."""
    with pytest.raises(ConfigError, match="expected (at least 16 random bytes|a text or bytes)") as raised:
        open_checkpoint("step", {"encryption_key": key})
    assert "short" not in str(raised.value)
    assert "15 bytes" not in str(raised.value)


def test_the_key_is_shown_nowhere(tmp_path, monkeypatch):
    """Neither by the config nor by the checkpoint; and it may come from the environment."""
    monkeypatch.setenv("SKIPSTONE_ENCRYPTION_KEY", KEY)
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        assert checkpoint.config.encryption_key == KEY
        assert KEY not in repr(checkpoint) + repr(checkpoint.config) + repr(checkpoint._engine._codec._encryption)
        checkpoint.load_or_run(tell, 1, "k")
    assert SECRET.encode() not in stored_bytes(tmp_path)


def test_without_its_library_the_extra_is_named(script):
    """Without a key, nothing of it is imported; with one, the error says what to install."""
    script.write("cryptography.py", "raise ImportError('not installed')")
    run = script(
        "-c",
        "import sys; from skipstone import open_checkpoint\n"
        "open_checkpoint('a').load_or_run(abs, 1, -1)\n"
        "assert 'cryptography' not in sys.modules\n"
        f"open_checkpoint('b', {{'encryption_key': {KEY!r}}})",
        check=False,
    )
    assert 'encryption_key needs cryptography: pip install "skipstone[crypt]"' in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("CI") != "true" and os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 12 << 30,
    reason="needs 12 GB of memory",
)
def test_results_of_more_than_two_gigabytes(tmp_path):
    """The library's limit for one go is not ours."""
    size = (2 << 30) + 5
    with step(tmp_path) as checkpoint:
        assert len(checkpoint.load_or_run(bytes, 1, size)) == size
    with step(tmp_path) as checkpoint:
        assert len(checkpoint.load_or_run(bytes, 1, size)) == size
        assert checkpoint.stats().hits == 1


@pytest.mark.parametrize(
    "settings", [{}, {"signing_key": "s"}, {"compression": "zstd"}, {"serializer": "msgpack"}]
)
def test_calls_are_checked_as_without_a_key(tmp_path, settings):
    """With `check_calls`, a result that comes back as it was is found to do so, however it is stored."""
    with step(tmp_path, check_calls=True, **settings) as checkpoint:
        for _ in range(2):
            assert checkpoint.load_or_run(tell, 1, "k") == {"name": SECRET}
            assert checkpoint.load_or_run(str.upper, 2, SECRET * 1000) == SECRET.upper() * 1000
        assert checkpoint.stats().misses == 2
