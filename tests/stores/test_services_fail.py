"""A database that fails: killed, cut off, silent, full. Nothing is lost, nothing is wrong, and the run goes on."""

import pickle
import threading
import warnings
from collections import Counter

import pytest

from skipstone import SaveError, SaveWarning, StoreUnavailableError, StoreUnavailableWarning, open_checkpoint
from skipstone._catalogue import Catalogue
from skipstone._store_trials import content_of, sample, sample_key
from skipstone.stores import _remote
from skipstone.stores._services._postgres import PostgresStore
from skipstone.stores._services._redis import RedisStore
from skipstone.stores._urls import received

RUN = """
    import os, sys, time
    from skipstone import cache_with_checkpoint, open_checkpoint, use_checkpoint

    @cache_with_checkpoint(id="n")
    def work(n):
        with open("ran", "a") as file:
            file.write(f"{n}\\n")
        time.sleep(0.003)
        return n * n

    if __name__ == "__main__":
        executor, *lasts = sys.argv[1:]
        with open_checkpoint("step", {"store": os.environ["URL"], "trust_store": True}) as checkpoint, use_checkpoint(checkpoint):
            for last in map(int, lasts):
                for result in checkpoint.map(work, range(last), workers=3, executor=executor):
                    print(result, flush=True)
                print("done", flush=True)
                sys.stdin.readline()
"""


@pytest.fixture(params=["postgres", "redis_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_store(server):
    """Open stores in a database of the test's own, at a port if it is not the server's."""
    place, opened = server.new_place(), []
    kind = PostgresStore if hasattr(server, "execute") else RedisStore

    def open_store(port=None):
        opened.append(kind(received(server.url(place, port)), "index/step"))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def impatient(monkeypatch):
    """Do not wait long for a server that will not come back."""
    monkeypatch.setattr(_remote, "_PATIENCE_SECONDS", 0.3)


def results_of(process):
    results = []
    while (line := process.stdout.readline().strip()) not in ("done", ""):
        results.append(int(line))
    return results


def squares(count):
    return [n * n for n in range(count)]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_run_outlives_a_restart_of_the_server(server, script, executor):
    """The server is killed between two maps: connections are made anew, without a word, also those of workers."""
    script.write("run.py", RUN)
    environment = {"URL": server.url(server.new_place())}
    process = script.start("run.py", executor, 30, 60, environment=environment)
    assert results_of(process) == squares(30)
    server.kill()
    server.start()
    process.stdin.write("go on\n")
    process.stdin.flush()
    assert results_of(process) == squares(60)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    ran = Counter((script.folder / "ran").read_text().split())
    script("run.py", executor, 60, environment=environment)
    assert Counter((script.folder / "ran").read_text().split()) == ran  # all of it was there
    if hasattr(server, "execute"):
        assert set(ran.values()) == {1}
        assert len(ran) == 60


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_server_that_is_killed_in_the_middle(server, script, executor):
    """All results are right; what was acknowledged before is not run again, unless it was Redis that kept it."""
    script.write("run.py", RUN)
    environment = {"URL": server.url(server.new_place())}
    process = script.start("run.py", executor, 400, environment=environment, warnings="default")
    first = [int(process.stdout.readline()) for _ in range(50)]
    server.kill()
    acknowledged = len(first)
    server.start()
    assert first + results_of(process) == squares(400)
    process.communicate(timeout=60)
    (script.folder / "ran").rename(script.folder / "ran before")
    again = script.start("run.py", executor, 400, environment=environment)
    assert results_of(again) == squares(400)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    ran = (script.folder / "ran").read_text().split() if (script.folder / "ran").exists() else []
    if hasattr(server, "execute"):
        assert not set(map(int, ran)) & set(range(acknowledged))


def test_a_connection_that_is_cut_is_made_anew(server, open_store, proxies):
    """Idle connections that were cut, and one that is cut within a request, cost nothing but time."""
    proxy = proxies(server.port)
    store = open_store(proxy.port)
    assert store.put(sample(1, b"one"))
    proxy.cut()
    assert content_of(store.get(sample_key(1))) == b"one"
    proxy.cut_after(40_000)
    assert store.put(sample(2, b"two" * 100_000))
    proxy.cut_after(3_000_000)
    assert store.put(sample(3, b"three" * 1_000_000))
    assert content_of(open_store().get(sample_key(2))) == b"two" * 100_000
    assert content_of(open_store().get(sample_key(3))) == b"three" * 1_000_000


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_record_whose_answer_was_lost_is_known_as_ones_own(server, open_store, proxies, size):
    """The request is made again, finds the record, and tells that it is the one that was to be kept."""
    proxy = proxies(server.port)
    store = open_store(proxy.port)
    assert store.put_many([sample(1, b"other")]) == {sample_key(1)}
    proxy.lose_answer()
    assert store.put(sample(2, b"x" * size)) is True
    proxy.lose_answer()
    assert store.put(sample(1, b"x" * size)) is False
    proxy.lose_answer()
    assert store.put_many([sample(1, b"new"), sample(3, b"new" * size)]) == {sample_key(3)}
    assert content_of(store.get(sample_key(1))) == b"other"


def test_a_claim_whose_answer_was_lost(server, open_store, proxies):
    """It is held, by nobody else, and ends."""
    proxy = proxies(server.port)
    store, other = open_store(proxy.port), open_store()
    with store.claim(sample_key(1)):
        pass
    proxy.lose_answer()
    claim = store.claim(sample_key(2))
    assert claim is not None
    with claim:
        assert other.claim(sample_key(2)) is None
    with other.claim(sample_key(2)):
        pass


@pytest.mark.parametrize("policy", ["warn", "raise"])
def test_a_server_that_stays_away(server, impatient, policy):
    """Every result is returned, with one warning for each cause, or raised with a SaveError, as for a full disk."""
    url = server.url(server.new_place())
    server.kill()
    try:
        with open_checkpoint("step", {"store": url, "on_save_error": policy, "trust_store": True}) as checkpoint:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                if policy == "warn":
                    assert [checkpoint.load_or_run(pow, n, n, 2) for n in range(20)] == squares(20)
                else:
                    with pytest.raises(SaveError) as caught:
                        checkpoint.load_or_run(pow, 3, 3, 2)
                    assert caught.value.result == 9
            kinds = [each.category for each in told]
            assert kinds.count(StoreUnavailableWarning) == 1
            assert kinds.count(SaveWarning) == (policy == "warn")
            assert "s3cret" not in "".join(str(each.message) for each in told)
    finally:
        server.start()
    with open_checkpoint("step", {"store": url, "trust_store": True}) as checkpoint:
        assert checkpoint.load_or_run(pow, 3, 3, 2) == 9
        assert checkpoint.load_or_run(pow, 3, 4, 2) == 9


def test_many_threads_while_connections_are_cut(server, open_store, proxies):
    """Whatever is acknowledged is there, and each key has one winner."""
    proxy = proxies(server.port)
    store = open_store(proxy.port)
    answered = threading.Semaphore(0)
    kept = []

    def put(name):
        for number in range(60):
            if store.put(sample(number, name)):
                kept.append((number, name))
            answered.release()

    threads = [threading.Thread(target=put, args=(b"%d" % name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for number in range(6 * 60):
        assert answered.acquire(timeout=60)
        if number % 8 == 0:
            proxy.cut()  # not each so many ms: where the machine has much to do, nothing would ever get through
    for thread in threads:
        thread.join()
    found = open_store().get_many([sample_key(number) for number in range(60)])
    assert len(kept) == 60
    assert {sample_key(number): name for number, name in kept} == {
        key: content_of(record) for key, record in found.items()
    }


def test_passwords_stay_where_they_are(server, open_store, impatient):
    """No pickle, repr, message or traceback of a store has a password in it; a wrong one is told."""
    store = open_store()
    assert store.put(sample(1))
    assert b"s3cret" not in pickle.dumps(store)
    wrong = server.url(server.new_place(), password="wr0ng")
    with open_checkpoint("step", {"store": wrong, "trust_store": True}) as checkpoint:
        assert "wr0ng" not in repr(checkpoint) + repr(checkpoint.config)
        with pytest.raises(StoreUnavailableError, match="(?i)password") as caught:
            checkpoint.clear()
        assert "wr0ng" not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.__context__)))


def test_a_place_tells_which_steps_it_has(server):
    """The catalogue of a place that is shared lists the steps of all indexes that have records."""
    settings = {"store": server.url(server.new_place()), "trust_store": True}
    assert Catalogue(settings).steps() == []
    names = [("news", "embed"), ("news", "parse"), ("old [news]", "embed")]
    for index, step in names:
        with open_checkpoint(step, {**settings, "index_name": index}) as checkpoint:
            checkpoint.load_or_run(str, 1, 1)
    assert [(name.index_name, name.step) for name in Catalogue(settings).steps()] == names
    assert [summary.totals.records for summary in Catalogue(settings).overview()] == [1, 1, 1]
