"""A pipeline whose records are in object storage goes on, and through, whatever happens to the service."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.http_proxy import HttpProxy
from skipstone import (
    SaveError,
    SaveWarning,
    SkipstoneWarning,
    StoreUnavailableError,
    StoreUnavailableWarning,
    open_checkpoint,
)
from skipstone._store_trials import content_of, sample, sample_key
from skipstone.stores._services import _bucket
from skipstone.stores._services._objects import ObjectStore

APP = """
    import os, sys, time
    from skipstone import open_checkpoint

    url, count = sys.argv[1], int(sys.argv[2])

    def double(n):
        with open("runs", "a") as file:
            file.write(f"{n}\\n")
        time.sleep(0.02)
        return 2 * n

    with open_checkpoint("step", {"store": url, "signing_key": "k"}) as checkpoint:
        for n, result in enumerate(checkpoint.map(double, range(count), workers=4)):
            assert result == 2 * n
            print("result", flush=True)
        print(checkpoint.stats().hits, "hits")
"""


SOME_ANSWERS_BYTES = 8_000


@pytest.fixture
def place():
    """The name of an empty place."""
    return f"faults/{os.urandom(6).hex()}"


@pytest.fixture
def proxied():
    """Begin a network before a server that fails when it is told to."""
    proxies = []

    def begin(server):
        proxies.append(HttpProxy(server.port))
        return proxies[-1]

    yield begin
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def use(monkeypatch):
    """Let this process, and those that it begins, reach a server."""

    def use(server, port=None):
        for name, value in server.environment(port).items():
            monkeypatch.setenv(name, value)
        return server

    return use


def runs(script):
    """Return how often the function ran so far."""
    return len((script.folder / "runs").read_text().split())


def after(process, results):
    """Wait until a pipeline has given some results."""
    for _ in range(results):
        assert process.stdout.readline() == "result\n", process.stderr.read()


def ends_well(process):
    """Wait for the end of a pipeline that gave all results, and said nothing."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    return out.splitlines()[-1]


def test_a_server_that_restarts_in_mid_run(azure, place, script, use):
    """A restart is bridged: nothing is lost, nothing runs twice, nobody is told."""
    use(azure)
    script.write("app.py", APP)
    process = script.start("app.py", azure.url(place), 100, environment=azure.environment())
    after(process, 10)
    azure.stop()
    azure.start()
    assert ends_well(process) == "0 hits"
    assert script("app.py", azure.url(place), 100, environment=azure.environment()).stdout.endswith("100 hits\n")
    assert runs(script) == 100


def test_a_server_that_lost_all_in_mid_run(s3, place, script):
    """What was there and is gone runs again, and is there again; no result is wrong."""
    script.write("app.py", APP)
    process = script.start("app.py", s3.url(place), 100, environment=s3.environment(), warnings="ignore")
    after(process, 30)
    s3.kill()
    s3.start()
    assert ends_well(process) == "0 hits"
    assert runs(script) == 100
    again = script("app.py", s3.url(place), 100, environment=s3.environment()).stdout
    assert 0 < int(again.split()[-2]) < 100
    assert script("app.py", s3.url(place), 100, environment=s3.environment()).stdout.endswith("100 hits\n")


@pytest.mark.slow
def test_connections_that_are_cut_again_and_again(azure, place, script, proxied):
    """Two pipelines whose connections are cut all the time run each call once, and keep all results."""
    proxy = proxied(azure)
    script.write("app.py", APP)
    environment = azure.environment(proxy.port)
    processes = [script.start("app.py", azure.url(place), 100, environment=environment) for _ in range(2)]
    end = time.monotonic() + 60
    cut_at_bytes = 0
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        if proxy.answered_bytes > cut_at_bytes:  # on a slow machine, too, most requests are answered at last
            proxy.cut()
            cut_at_bytes = proxy.answered_bytes + SOME_ANSWERS_BYTES
        time.sleep(0.01)
    assert proxy.answered_bytes > 10 * SOME_ANSWERS_BYTES
    for process in processes:
        ends_well(process)
    assert runs(script) == 100
    assert script("app.py", azure.url(place), 100, environment=azure.environment()).stdout.endswith("100 hits\n")


@pytest.mark.slow
def test_a_service_that_says_slow_down(s3, place, script, proxied):
    """A service that refuses requests because there are too many is asked again, a little later."""
    proxy = proxied(s3)
    script.write("app.py", APP)
    process = script.start("app.py", s3.url(place), 60, environment=s3.environment(proxy.port))
    after(process, 10)
    proxy.slow_down(20)
    ends_well(process)
    assert runs(script) == 60
    assert script("app.py", s3.url(place), 60, environment=s3.environment()).stdout.endswith("60 hits\n")


@pytest.fixture(params=["s3", "azure", "gcs"])
def store_and_proxy(request, place, proxied, use):
    """A store, and the network before it."""
    server = request.getfixturevalue(request.param)
    proxy = proxied(server)
    use(server, proxy.port)
    store = ObjectStore(server.url(place), "index/step")
    yield store, proxy
    store.close()


def test_an_answer_that_is_lost(store_and_proxy):
    """A write that was done, but whose answer was lost, is done: nobody else is thought to have been first."""
    store, proxy = store_and_proxy
    proxy.cut_answers(1)
    assert store.put(sample(1, b"first"))
    proxy.cut_answers(1)
    assert not store.put(sample(1, b"second"))
    proxy.cut_answers(1)
    claim = store.claim(sample_key(2))
    assert claim is not None
    with claim:
        assert store.claim(sample_key(2)) is None
    proxy.cut_answers(1)
    assert store.delete([sample_key(1)]) == 1


@pytest.mark.slow
def test_requests_that_are_swallowed(store_and_proxy):
    """A request that gets no answer, and no end either, is soon made again: nobody waits for it for a minute."""
    store, proxy = store_and_proxy
    proxy.swallow(1)
    assert store.put(sample(1, b"first"))
    proxy.swallow(1)
    assert content_of(store.get(sample_key(1))) == b"first"
    proxy.swallow(1)
    claim = store.claim(sample_key(2))
    assert claim is not None
    with claim:
        proxy.swallow(1)
        assert store.delete([sample_key(1)]) == 1


@pytest.mark.slow
def test_a_large_record_on_a_slow_line(s3, place, proxied, use):
    """What is large may take longer than a small request waits for its answer; how long that is may stand in the URL."""
    proxy = proxied(s3)
    use(s3, proxy.port)
    store = ObjectStore(s3.url(f"{place}?read_timeout=300ms"), "index/step")
    large = os.urandom(6_000_000)
    proxy.stall()
    with ThreadPoolExecutor(1) as threads:
        put = threads.submit(store.put, sample(1, large))
        with pytest.raises(StoreUnavailableError):
            store.get(sample_key(2))
        assert not put.done()
        before = proxy.connections
        proxy.flow()
        assert put.result()
    assert proxy.connections == before
    assert content_of(ObjectStore(s3.url(place), "index/step").get(sample_key(1))) == large


def test_answers_that_are_cut_short(store_and_proxy):
    """Half an answer is no answer: what is read is whole, small or large."""
    store, proxy = store_and_proxy
    small, large = os.urandom(40_000), os.urandom(20_000_000)
    assert store.put_many([sample(1, small), sample(2, large)]) == {sample_key(1), sample_key(2)}
    proxy.cut_answers(1, 3_000)
    assert content_of(store.get(sample_key(1))) == small
    proxy.cut_answers(3, 50_000)
    assert content_of(store.get(sample_key(2))) == large


def test_uploads_that_are_cut_short(store_and_proxy):
    """What arrived in part counts as nothing, and is sent again."""
    store, proxy = store_and_proxy
    for number, size in ((1, 3_000_000), (2, 20_000_000)):
        payload = os.urandom(size)
        proxy.cut_after(size // 2)
        assert store.put(sample(number, payload))
        assert content_of(store.get(sample_key(number))) == payload


LARGE = """
    import os, sys
    from skipstone import open_checkpoint

    def large(n):
        print("ran", flush=True)
        return os.urandom(1) * n

    with open_checkpoint("step", {"store": sys.argv[1], "signing_key": "k"}) as checkpoint:
        assert len(checkpoint.load_or_run(large, 1, 40_000_000)) == 40_000_000
"""


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_process_that_is_killed_in_mid_upload(kind, request, place, script, proxied):
    """What a killed process had uploaded in part is no record; the next one takes its claim over, and saves."""
    server = request.getfixturevalue(kind)
    proxy = proxied(server)
    script.write("app.py", LARGE)
    process = script.start("app.py", server.url(place), environment=server.environment(proxy.port))
    assert process.stdout.readline() == "ran\n"
    end = time.monotonic() + 30
    while proxy.passed_bytes < 9_000_000:
        assert time.monotonic() < end
        time.sleep(0.01)
    proxy.stall()
    process.kill()
    process.communicate()
    assert [*server.client(place).list("default/step/records")] == []
    environment = server.environment()
    assert script("app.py", server.url(place), environment=environment).stdout == "ran\n"
    assert script("app.py", server.url(place), environment=environment).stdout == ""


@pytest.fixture
def impatient(monkeypatch):
    """Let clients of this process give up soon."""
    monkeypatch.setitem(_bucket._RETRIES, "max_retries", 1)
    monkeypatch.setitem(_bucket._CLIENT, "timeout", "1s")


@pytest.mark.slow
@pytest.mark.parametrize("is_stalled", [False, True])
def test_a_service_that_stays_away(is_stalled, s3, place, proxied, use, impatient):
    """Calls run and give their results, with one warning; when the service is back, results are kept."""
    proxy = proxied(s3)
    use(s3, proxy.port)
    with open_checkpoint("step", {"store": s3.url(place), "signing_key": "k"}) as checkpoint:
        assert checkpoint.load_or_run(str, 0, 0) == "0"
        proxy.stall() if is_stalled else proxy.refuse()
        with pytest.warns(SkipstoneWarning, match=f"s3://bucket/{place} does not work") as told:
            assert [checkpoint.load_or_run(str, n, n) for n in range(1, 20)] == [str(n) for n in range(1, 20)]
        assert [each.category for each in told] == [StoreUnavailableWarning, SaveWarning]
        proxy.flow()
        end = time.monotonic() + 60
        number = 100
        while checkpoint.stats().hits == 0:
            assert time.monotonic() < end
            number += 1
            assert [checkpoint.load_or_run(str, number, number) for _ in range(2)] == [str(number)] * 2
            time.sleep(0.2)
        assert checkpoint.load_or_run(str, 0, 1) == "0"


def test_a_service_that_stays_away_as_an_error(s3, place, proxied, use, impatient):
    """With `on_save_error="raise"` a result that cannot be kept is an error that carries it."""
    proxy = proxied(s3)
    use(s3, proxy.port)
    config = {"store": s3.url(place), "signing_key": "k", "on_save_error": "raise"}
    with open_checkpoint("step", config) as checkpoint:
        proxy.refuse()
        with pytest.warns(StoreUnavailableWarning), pytest.raises(SaveError) as caught:
            checkpoint.load_or_run(str, 1, 1)
        assert caught.value.result == "1"
