"""Where records live is chosen by the config's `store`; what is secret in it is shown to nobody."""

import pickle
import re
import sys

import pytest
from tests import pages

from skipstone import (
    Checkpoint,
    CheckpointConfig,
    ConfigError,
    LocalStorageCheckpoint,
    MissingExtraError,
    NullCheckpoint,
    ObjectStorageCheckpoint,
    PostgresCheckpoint,
    StoreUnavailableError,
    StoreUnavailableWarning,
    open_checkpoint,
)
from skipstone._store_trials import sample, sample_key
from skipstone.stores import MemoryStore, SqliteStore
from skipstone.stores._tiers import TieredStore
from skipstone.testing import StoreConformance

PAGE = "docs/how-to/add-a-store.md"
SECRET = "postgresql://me:s3cret@host/db"


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("ftp://host/folder", "'local' or a URL that begins with s3://"),
        ("artifacts", "'local' or a URL that begins with s3://"),
        ("s3:bucket", "'local' or a URL that begins with s3://"),
        ("", "'local' or a URL that begins with s3://"),
        ([], "or a list of them, the nearest first"),
        (7, "or a list of them, the nearest first"),
        (["local", 7], "'local' or a URL that begins with s3://"),
        ("s3:///prefix", "s3://bucket/prefix"),
        ("gs://", "gs://bucket/prefix"),
        ("file://folder", "file:///folder, an absolute path"),
        ("file:///", "file:///folder, an absolute path"),
    ],
)
def test_a_wrong_place_is_told(store, expected):
    """A place of an unknown kind or form is an error that says what was expected."""
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", {"store": store})
    assert str(caught.value).startswith("config.store is ")
    assert expected in str(caught.value)


def test_the_environment_names_places(tmp_path, monkeypatch):
    """`SKIPSTONE_STORE` overrides the config's; commas part several places, but not the hosts of one."""
    monkeypatch.setenv("SKIPSTONE_ARTIFACTS_DIR", str(tmp_path))
    monkeypatch.setenv("SKIPSTONE_USE_CHECKPOINTS", "0")
    for text, store in {
        "local": "local",
        "local, s3://bucket/prefix": ["local", "s3://bucket/prefix"],
        "postgresql://one,two/db": "postgresql://one,two/db",
    }.items():
        monkeypatch.setenv("SKIPSTONE_STORE", text)
        assert open_checkpoint("step", {"store": "redis://host"}).config.store == store


@pytest.mark.parametrize(
    ("store", "library", "extra"),
    [
        ("s3://bucket", "obstore", "objects"),
        ("az://container/prefix", "obstore", "objects"),
        (SECRET, "psycopg", "postgres"),
        (["local", "redis://:s3cret@host"], "redis", "redis"),
    ],
)
def test_a_missing_client_is_told_with_its_extra(store, library, extra, monkeypatch):
    """What is not installed is told when the checkpoint is opened, with the command that installs it."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'needs {library}: pip install "skipstone\[{extra}\]"') as caught:
        open_checkpoint("step", {"store": store})
    assert "s3cret" not in str(caught.value)


def test_a_kind_refuses_places_of_another(tmp_path):
    """A kind of checkpoint says which places it is for."""
    with pytest.raises(
        ConfigError, match=r"config.store is 'local'; a ObjectStorageCheckpoint needs a URL .* s3://"
    ):
        ObjectStorageCheckpoint("step", {"artifacts_dir": tmp_path})
    with pytest.raises(ConfigError, match=r"'redis://:\*\*\*@host'; a PostgresCheckpoint needs a URL"):
        PostgresCheckpoint("step", {"store": "redis://:s3cret@host"})
    with pytest.raises(ConfigError, match="give the step a name"):
        PostgresCheckpoint("", {"store": SECRET})


def test_a_checkpoint_says_where_it_is(tmp_path):
    """The repr of a checkpoint names the step and the place of its records."""
    with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint:
        assert isinstance(checkpoint, LocalStorageCheckpoint)
        assert repr(checkpoint).startswith(
            f"<LocalStorageCheckpoint 'index' in {tmp_path}/checkpoint/default/index: "
        )
    nowhere = open_checkpoint("index", {"use_checkpoints": False, "store": SECRET})
    assert isinstance(nowhere, NullCheckpoint)
    assert repr(nowhere).startswith("<NullCheckpoint 'index' in no store: ")


def test_secrets_of_a_config_are_not_shown():
    """Neither the repr of a config nor the error about a setting has a password or a key in it."""
    config = CheckpointConfig(store=["local", SECRET], signing_key=["s3cret", b"s3cret"])
    assert "s3cret" not in repr(config)
    assert "'postgresql://me:***@host/db'" in repr(config)
    assert repr(CheckpointConfig()).startswith("CheckpointConfig(use_checkpoints=True, index_name='default', ")
    for wrong in (
        {"store": [SECRET, "ftp://x"]},
        {"store": [SECRET] * 50 + [""]},
        {"store": f"x{SECRET}" + "x" * 90},
    ):
        with pytest.raises(ConfigError) as caught:
            open_checkpoint("step", wrong)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", SECRET)
    assert "s3cret" not in str(caught.value)


def test_a_pickled_config_has_no_password_of_a_store():
    """The password of a store's URL is left out of pickles; all else comes back."""
    config = CheckpointConfig(store=["local", SECRET], index_name="news")
    pickled = pickle.dumps(config)
    assert b"s3cret" not in pickled
    assert pickle.loads(pickled) == config._replace(store=["local", "postgresql://me:***@host/db"])
    assert pickle.loads(pickle.dumps(CheckpointConfig())) == CheckpointConfig()


class TestTieredStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.folder = tmp_path

    def make_store(self, scope):
        return TieredStore(*(SqliteStore(f"{self.folder}/{tier}/{scope}") for tier in ("near", "far")))


class AwayStore(MemoryStore):
    """A store that can be away."""

    is_away = False

    def answering(name):
        def method(self, *args, **kwargs):
            if self.is_away:
                raise StoreUnavailableError("it is away")
            return getattr(MemoryStore, name)(self, *args, **kwargs)

        return method

    get, get_many, present = answering("get"), answering("get_many"), answering("present")
    put, put_many, delete, claim = answering("put"), answering("put_many"), answering("delete"), answering("claim")
    scan, infos = answering("scan"), answering("infos")


def test_a_near_store_keeps_what_the_far_one_had(tmp_path):
    """What was fetched once from the far store comes from the near one."""
    far = MemoryStore()
    with Checkpoint(far) as other:
        other.load_or_run(str, "k", 1)
    near = MemoryStore()
    with Checkpoint(TieredStore(near, far)) as checkpoint:
        assert checkpoint.load_or_run(str, "k", 2) == "1"
        assert len([*near.scan()]) == 1
        far.delete([info.key for info in far.scan()])
        assert checkpoint.load_or_run(str, "k", 3) == "1"


@pytest.mark.parametrize("away", ["near", "far"])
def test_a_tier_that_is_away_is_told_once_and_the_other_stands_in(away):
    """While one of two stores does not answer, the other one is used, with one warning."""
    stores = {"near": AwayStore(), "far": AwayStore()}
    stores[away].is_away = True
    with Checkpoint(TieredStore(**stores)) as checkpoint:
        with pytest.warns(StoreUnavailableWarning, match="it is away") as told:
            assert [checkpoint.load_or_run(str, k, k) for k in (1, 2, 1, 2)] == ["1", "2", "1", "2"]
        assert len(told) == 1
        assert checkpoint.stats().misses == 2
        stores[away].is_away = False
        assert checkpoint.load_or_run(str, 1, 5) == "1"


@pytest.mark.parametrize("away", ["near", "far"])
def test_the_other_tier_tells_and_removes_what_it_has(away):
    """While one of two stores does not answer, records are listed, told, claimed and deleted in the other one."""
    stores = {"near": AwayStore(), "far": AwayStore()}
    tiers = TieredStore(**stores)
    tiers.put_many([sample(1), sample(2)])
    stores[away].is_away = True
    with pytest.warns(StoreUnavailableWarning, match="it is away"):
        assert {info.key for info in tiers.scan()} == {sample_key(1), sample_key(2)}
        assert set(tiers.infos([sample_key(1), sample_key(3)])) == {sample_key(1)}
        with tiers.claim(sample_key(1)):
            assert tiers.claim(sample_key(1)) is None
        assert tiers.delete([sample_key(1), sample_key(3)]) == 1
        assert {info.key for info in tiers.scan()} == {sample_key(2)}
    stores[away].is_away = False


PIPELINE = """
    from skipstone import cache_with_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="x")
    def square(x):
        return x * x

    if __name__ == "__main__":
        checkpoint = init_checkpoint("step", {"store": "mine.SharedFolder://records", "trust_store": True})
        print(list(checkpoint.map(square, range(5), executor="processes", workers=2)))
        print(checkpoint.stats().misses, checkpoint)
"""


def test_a_store_of_ones_own_is_named_in_a_config(script):
    """The one of the documentation, by its module and class: here, in worker processes, and from the command line."""
    for block in pages.blocks(PAGE):
        if block.title in ("folder_store.py", "mine.py"):
            script.write(block.title, block.text)
    script.write("pipeline.py", PIPELINE)
    for misses in (5, 0):
        shown = script("pipeline.py").stdout
        assert shown.startswith(
            f"[0, 1, 4, 9, 16]\n{misses} <SharedCheckpoint 'step' in mine.SharedFolder://records: "
        )
    listed = script("-m", "skipstone", "stats", "--store", "mine.SharedFolder://records", "--json").stdout
    assert re.findall(r'"misses": (\d)', listed) == ["5", "0"]


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("no_such.Store://x", "there is no module 'no_such'"),
        ("skipstone.no_such.Store://x", "there is no module 'skipstone.no_such'"),
        ("skipstone.stores.Store2://:s3cret@x", "skipstone.stores has no 'Store2'"),
    ],
)
def test_a_store_of_ones_own_that_is_not_there_is_told(store, told):
    """What cannot be imported is an error that names it, and no secret."""
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", {"store": store})
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
