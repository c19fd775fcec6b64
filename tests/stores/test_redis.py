"""The store in Redis, with a real server."""

import signal
import threading
import time
import warnings
from itertools import count

import pytest

from servers.redis_server import RedisServer
from skipstone import ConfigError, SaveWarning, StoreUnavailableError, open_checkpoint
from skipstone._store_trials import content_of, sample, sample_key
from skipstone.stores import _remote
from skipstone.stores._services._redis import RedisStore
from skipstone.stores._urls import received
from skipstone.testing import StoreConformance
from skipstone.testing._one_process import wait_until

LARGE = 3_000_000


class TestRedisStore(StoreConformance):
    examples = 20

    @pytest.fixture(autouse=True)
    def place(self, redis_server):
        self.url = redis_server.url(redis_server.new_place())

    def make_store(self, scope):
        return RedisStore(received(self.url), scope)


@pytest.fixture
def place(redis_server):
    return redis_server.new_place()


@pytest.fixture
def client(redis_server, place):
    with redis_server.client(place) as client:
        yield client


@pytest.fixture
def open_store(redis_server, place):
    opened = []

    def open_store(settings="", port=None, **options):
        url = redis_server.url(place, port) + settings
        opened.append(RedisStore(received(url), "index/step", **options))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def small_server(tmp_path):
    """A server of 20 MB."""
    server = RedisServer(tmp_path, "--maxmemory", "20mb")
    server.start()
    yield server
    server.stop()


def test_records_expire_when_they_are_told_to(open_store, client):
    """`expires_seconds` in the URL is how long a record is kept, small or large, saved alone or with others."""
    store = open_store("?expires_seconds=1000&socket_timeout=20")
    store.put(sample(1))
    store.put_many([sample(2), sample(3, b"x" * LARGE)])
    store.put(sample(4, b"x" * LARGE))
    store.put(sample(1), replace=True)
    lives = [client.ttl(name) for name in client.scan_iter("*")]
    assert len(lives) == 4
    assert all(900 < seconds <= 1000 for seconds in lives)
    short = open_store("?expires_seconds=1")
    short.put(sample(5))
    short.put(sample(6, b"x" * LARGE))
    wait_until(lambda: store.present([sample_key(5), sample_key(6)]) == set(), 20)
    assert store.get(sample_key(5)) is None
    assert store.get(sample_key(6)) is None
    assert store.put(sample(5))
    assert {info.key for info in store.scan()} == {sample_key(n) for n in range(1, 6)}


def test_records_stay_when_they_are_not_told_to_expire(store, client):
    """Without the setting, no record has an expiry, also none that was written in parts."""
    store.put_many([sample(1), sample(2, b"x" * LARGE)])
    assert [client.ttl(name) for name in client.scan_iter("*")] == [-1, -1]


@pytest.mark.parametrize("setting", ["expires_seconds=soon", "expires_seconds=0", "expires_seconds=", "db=x"])
def test_a_wrong_setting_is_told(redis_server, setting):
    """When the checkpoint is opened, and without the password."""
    with pytest.raises(ConfigError, match=r"config.store is 'redis://:\*\*\*@127") as caught:
        open_checkpoint("step", {"store": f"{redis_server.url('')}?{setting}"})
    assert "s3cret" not in str(caught.value)


def test_large_and_small_records_replace_one_another(store, client):
    """Whatever was there before, what is there afterwards is one value of the name."""
    payloads = [b"a" * LARGE, b"b", b"c" * 2 * LARGE, b"d" * LARGE, b"e" * 10]
    for payload in payloads:
        assert store.put(sample(1, payload), replace=True)
        assert not store.put(sample(1, b"late"))
        assert not store.put(sample(1, b"late" * LARGE))
        assert content_of(store.get(sample_key(1))) == payload
        assert [info.size_bytes for info in store.scan()] == [len(payload)]
        assert store.infos([sample_key(1), sample_key(2)]).keys() == {sample_key(1)}
        assert len([*client.scan_iter("*")]) == 1
    assert store.delete([sample_key(1)]) == 1
    assert [*client.scan_iter("*")] == []


def test_a_reader_never_sees_a_mixture(store, open_store):
    """While a large record is replaced again and again, whoever reads it gets one of them, whole, or none."""
    other, is_over = open_store(), threading.Event()
    payloads = [bytes([n]) * (LARGE // (1 + n % 3 * 1000)) for n in range(6)]
    store.put(sample(1, payloads[0]))

    def replace():
        while not is_over.is_set():
            for payload in payloads:
                other.put(sample(1, payload), replace=True)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(60):
            found = store.get(sample_key(1))
            assert found is None or content_of(found) in payloads
    finally:
        is_over.set()
        thread.join()


def test_a_process_that_is_killed_while_it_saves_leaves_what_expires(redis_server, store, client, place, script):
    """Half a large record is none, and goes by itself."""
    script.write(
        "put.py",
        """
        import os
        from skipstone._store_trials import large_sample
        from skipstone.stores._services._redis import RedisStore

        RedisStore(os.environ["URL"], "index/step").put(large_sample(1 << 30))
        """,
    )
    process = script.start("put.py", environment={"URL": redis_server.url(place)})
    wait_until(lambda: [*client.scan_iter("*:part:*")], 60)
    process.send_signal(signal.SIGSTOP)
    process.kill()
    process.communicate()
    assert store.get(sample_key(1)) is None
    assert list(store.scan()) == []
    for name in client.scan_iter("*"):
        assert 0 < client.ttl(name) <= 3600
        client.unlink(name)


def test_a_server_that_evicts(small_server):
    """What was evicted is a miss and in no listing; what is there is right. The run goes on all the time."""
    client = small_server.client(1)
    client.config_set("maxmemory-policy", "allkeys-lru")
    with open_checkpoint("step", {"store": small_server.url(1), "trust_store": True}) as checkpoint:
        texts = [checkpoint.load_or_run(str.__mul__, n, f"{n:05}", 20_000) for n in range(600)]
        assert texts == [f"{n:05}" * 20_000 for n in range(600)]
        assert client.info("stats")["evicted_keys"] > 0
        left = {record.call_id for record in checkpoint.records()}
        assert 0 < len(left) < 600
        before = checkpoint.stats().hits
        for n in sorted(map(int, left)):
            assert checkpoint.load_or_run(str.__mul__, n, f"{n:05}", 20_000) == f"{n:05}" * 20_000
        assert checkpoint.stats().hits > before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaveWarning)  # it may be evicted while it is written
            assert checkpoint.load_or_run(bytes, "large", 6 << 20) == bytes(6 << 20)
        assert checkpoint.load_or_run(str.__mul__, 0, "00000", 20_000) == "00000" * 20_000
    client.close()


def test_a_large_record_is_evicted_as_a_whole(small_server):
    """There is no half of it: it is there and right, or it is a miss that can be saved again."""
    with small_server.client(1) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    store = RedisStore(received(small_server.url(1)), "index/step")
    assert store.put(sample(1, b"x" * LARGE))
    numbers = count(2)
    while (found := store.get(sample_key(1))) is not None:
        assert content_of(found) == b"x" * LARGE
        store.put_many([sample(next(numbers), b"y" * 100_000) for _ in range(50)])
    assert store.present([sample_key(1)]) == set()
    assert store.put(sample(1, b"small"))
    beyond = 10**9  # not among those above, which can be many where the server is slow to evict
    with pytest.raises(StoreUnavailableError):  # more than it can hold
        store.put(sample(beyond, b"z" * (40 << 20)))
    assert store.get(sample_key(beyond)) is None
    store.close()


def test_a_server_that_is_full(small_server):
    """Without eviction, it refuses: results are returned with one warning, and stored results are found."""
    with open_checkpoint("step", {"store": small_server.url(1), "trust_store": True}) as checkpoint:
        with pytest.warns(SaveWarning, match="OOM|maxmemory") as told:
            for n in range(400):
                assert len(checkpoint.load_or_run(bytes, n, 100_000 + n)) == 100_000 + n
        assert len([each for each in told if each.category is SaveWarning]) == 1
        hits = checkpoint.stats().hits
        assert len(checkpoint.load_or_run(bytes, 0, 0)) == 100_000
        assert checkpoint.stats().hits == hits + 1
        checkpoint.clear()
        assert len(checkpoint.load_or_run(bytes, "again", 5)) == 5
        assert len([*checkpoint.records()]) == 1


def test_a_server_that_says_nothing_is_not_waited_for(redis_server, proxies, open_store, monkeypatch):
    """A request that is not answered within `socket_timeout` fails; when the network works again, so does the store."""
    monkeypatch.setattr(_remote, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_remote, "_FIRST_PAUSE_SECONDS", 0.05)
    proxy = proxies(redis_server.port)
    store = open_store("?socket_timeout=0.3", port=proxy.port)
    assert store.put(sample(1))
    proxy.stall()
    with pytest.raises(StoreUnavailableError, match="(?i)timeout"):
        store.get(sample_key(1))
    proxy.flow()

    def works():
        try:
            return store.get(sample_key(1)) is not None
        except StoreUnavailableError:
            return False

    wait_until(works, 60)


HOLDER = """
    import os, sys, time
    from skipstone._store_trials import sample_key
    from skipstone.stores import _liveness
    from skipstone.stores._services._redis import RedisStore

    _liveness._machine = lambda: "another-boot"  # its processes cannot be seen here, and its clocks tell other times
    monotonic = time.monotonic
    time.time, time.monotonic = lambda: 0.0, lambda: monotonic() + 1e6
    claim = RedisStore(os.environ["URL"], "index/step", lease_seconds=0.6).claim(sample_key(1))
    print(claim is not None, flush=True)
    sys.stdin.readline()
    claim.__exit__(None, None, None)
    print("given back", flush=True)
"""


def test_a_holder_on_another_machine(redis_server, place, open_store, client, script):
    """It keeps its claim while it lives, whatever its clocks say; stopped, it loses it, and then ends nobody else's."""
    script.write("holder.py", HOLDER)
    holder = script.start("holder.py", environment={"URL": redis_server.url(place)})
    assert holder.stdout.readline() == "True\n"
    store, patient = open_store(lease_seconds=0.6), open_store(lease_seconds=3600)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert store.claim(sample_key(1)) is None
        time.sleep(0.02)
    holder.send_signal(signal.SIGSTOP)
    taken = []
    wait_until(lambda: taken.append(store.claim(sample_key(1))) or taken[-1] is not None, 30)
    with taken[-1]:
        holder.send_signal(signal.SIGCONT)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "given back\n"
        assert patient.claim(sample_key(1)) is None
    holder.communicate()
    store.close()
    assert [*client.scan_iter("*:claim:*")] == []


def test_a_server_that_forgets_leases(redis_server, store, open_store):
    """Empty after a restart, it knows of no claim: giving one back ends nobody else's."""
    other = open_store()
    claim = store.claim(sample_key(1))
    redis_server.kill()
    redis_server.start()
    with other.claim(sample_key(1)):
        claim.__exit__(None, None, None)
        assert open_store().claim(sample_key(1)) is None
        assert other.put(sample(1, b"first"))
        assert not store.put(sample(1, b"second"))
