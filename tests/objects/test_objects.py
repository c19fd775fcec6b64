"""The stores in object storage, with real servers."""

import os
import pickle
import re

import pytest

from servers.http_proxy import HttpProxy
from servers.s3 import SECRET
from skipstone import ConfigError, DamagedRecordWarning, SkipstoneWarning, open_checkpoint
from skipstone._catalogue import Catalogue
from skipstone._store_trials import content_of, sample, sample_key
from skipstone.stores._services._objects import ObjectStore
from skipstone.testing import StoreConformance


class ObjectStoreConformance(StoreConformance):
    examples = 2

    def use(self, server, monkeypatch):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        self.url = server.url(f"test/{os.urandom(6).hex()}")

    def make_store(self, scope):
        return ObjectStore(self.url, scope)


class TestS3(ObjectStoreConformance):
    large_bytes = 256 << 20  # moto copies what it is given several times

    @pytest.fixture(autouse=True)
    def place(self, s3, monkeypatch):
        self.use(s3, monkeypatch)


class TestAzure(ObjectStoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, azure, monkeypatch):
        self.use(azure, monkeypatch)


class TestGoogle(ObjectStoreConformance):
    large_bytes = 256 << 20  # what translates for it holds it several times

    @pytest.fixture(autouse=True)
    def place(self, gcs, monkeypatch):
        self.use(gcs, monkeypatch)


@pytest.fixture(params=["s3", "azure", "gcs"])
def server(request):
    """Each of the servers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def place(server, monkeypatch):
    """An empty place that this process can reach."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"places/{os.urandom(6).hex()}"


def names(server, place):
    """Return the names of all objects at a place."""
    return sorted(meta["path"] for page in server.client(place).list() for meta in page)


def test_a_record_is_one_object_and_a_large_payload_another(server, place):
    """What is large lies beside its record, and goes when it lost, was replaced or is removed with its record."""
    store, other = (ObjectStore(server.url(place), "index/step") for _ in range(2))
    assert store.put(sample(1))
    record = f"index/step/records/{sample_key(1).hex()}"
    assert names(server, place) == [record]
    large = [os.urandom(5_000_000), os.urandom(5_000_000)]
    assert not other.put(sample(1, large))
    assert names(server, place) == [record]
    for _ in range(2):
        assert other.put(sample(1, large), replace=True)
        assert len(names(server, place)) == 2
    assert content_of(store.get(sample_key(1))) == b"".join(large)
    assert [info.size_bytes for info in store.scan()] == [10_000_000]
    assert store.put(sample(1, b"small"), replace=True)
    assert names(server, place) == [record]
    assert store.put(sample(2, large))
    assert store.delete([sample_key(1), sample_key(2)]) == 2
    assert names(server, place) == []


def test_a_large_payload_that_is_gone_is_a_damaged_record(server, place):
    """A record whose payload somebody removed is computed again."""
    with open_checkpoint("step", {"store": server.url(place), "signing_key": "k"}) as checkpoint:
        checkpoint.load_or_run(bytes, 1, 9_000_000)
        (value,) = [name for name in names(server, place) if "/values/" in name]
        server.client(place).delete(value)
        with pytest.warns(DamagedRecordWarning):
            assert checkpoint.load_or_run(bytes, 1, 9_000_000) == bytes(9_000_000)
        assert checkpoint.load_or_run(bytes, 1, 3) == bytes(9_000_000)


def test_what_others_left_there_is_no_record(server, place):
    """Objects of other names are not listed; an empty one, or one of other content, is computed again and replaced."""
    with open_checkpoint("step", {"store": server.url(place), "signing_key": "k"}) as checkpoint:
        for id in (1, 2):
            checkpoint.load_or_run(str, id, "value")
        client = server.client(f"{place}/default/step")
        one, two = (meta["path"] for page in client.list("records") for meta in page)
        client.put(one, b"")
        client.put(two, b"something else")
        client.put("records/README", b"hello")
        client.put(f"records/folder/{'0' * 32}", b"hello")
        for id in (1, 2):
            with pytest.warns(DamagedRecordWarning):
                assert checkpoint.load_or_run(str, id, "again") == "again"
        assert sorted(record.call_id for record in checkpoint.records()) == ["1", "2"]
        assert checkpoint.clear() == 2
        assert list(checkpoint.records()) == []


def test_steps_at_a_place_are_listed(server, place):
    """The indexes and steps that have records at a place are found by listing it."""
    for index, step in (("a", "one"), ("a", "two/three"), ("B", "one")):
        config = {"store": server.url(place), "signing_key": "k", "index_name": index}
        with open_checkpoint(step, config) as checkpoint:
            checkpoint.load_or_run(str, 1, 1)
    server.client(place).put("a/four/claims/x", b"x")
    catalogue = Catalogue({"store": server.url(place)})
    assert [(name.index_name, name.step) for name in catalogue.steps()] == [
        ("B", "one"),
        ("a", "one"),
        ("a", "two/three"),
    ]
    assert [step.totals.records for step in catalogue.overview()] == [1, 1, 1]


def test_settings_of_the_client_may_stand_in_the_url(s3):
    """What the client would look for in the environment can be said in the URL; what is secret in it is not shown."""
    url = (
        f"{s3.url(os.urandom(6).hex())}?endpoint=http://127.0.0.1:{s3.port}&region=us-east-1"
        f"&access_key_id=someone&secret_access_key={SECRET}"
    )
    with open_checkpoint("step", {"store": url, "signing_key": "k"}) as checkpoint:
        assert checkpoint.load_or_run(str, 1, 1) == "1"
        assert SECRET not in repr(checkpoint)
        assert SECRET.encode() not in pickle.dumps(checkpoint)
        assert pickle.loads(pickle.dumps(checkpoint)).load_or_run(str, 1, 2) == "1"
    with pytest.raises(ConfigError, match=r"config.store is .*secret_access_key=\*\*\*.*colour") as caught:
        open_checkpoint("step", {"store": f"{url}&colour=red"})
    assert SECRET not in str(caught.value)


def test_credentials_of_the_environment_are_told_to_nobody(azure, monkeypatch):
    """Neither a pickle nor what is said about a refused request has the credentials in it."""
    wrong = "d3Jvbmc="
    for name, value in azure.environment().items():
        monkeypatch.setenv(name, wrong if name.endswith("_KEY") else value)
    with open_checkpoint("step", {"store": azure.url("x"), "signing_key": "k"}) as checkpoint:
        with pytest.warns(SkipstoneWarning) as told:
            assert checkpoint.load_or_run(str, 1, 1) == "1"
        assert wrong.encode() not in pickle.dumps(checkpoint)
    for each in told:
        assert "the store at az://container/x does not work: PermissionDeniedError" in str(each.message)
        assert wrong not in str(each.message)


def test_a_bucket_that_is_not_there_is_told(s3, monkeypatch):
    """A missing bucket is a store that does not answer, not one without records."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    with open_checkpoint("step", {"store": "s3://nowhere/x", "signing_key": "k"}) as checkpoint:
        with pytest.warns(SkipstoneWarning) as told:
            assert checkpoint.load_or_run(str, 1, 1) == "1"
    for each in told:
        assert re.search(r"s3://nowhere/x does not work: .*NoSuchBucket", str(each.message))


def test_a_listing_reads_no_payloads(server, place, monkeypatch):
    """What is listed of records is read from their beginnings."""
    ObjectStore(server.url(place), "index/step").put_many([sample(n, os.urandom(1_000_000)) for n in range(5)])
    proxy = HttpProxy(server.port)
    for name, value in server.environment(proxy.port).items():
        monkeypatch.setenv(name, value)
    store = ObjectStore(server.url(place), "index/step")
    assert [info.size_bytes for info in store.scan()] == [1_000_000] * 5
    assert proxy.answered_bytes < 50_000
    proxy.close()
