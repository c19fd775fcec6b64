"""The store in a PostgreSQL database, with a real server."""

import gc
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from skipstone import SaveWarning, SkipstoneWarning, StoreFormatError, StoreUnavailableError, open_checkpoint
from skipstone._store_trials import content_of, sample, sample_key
from skipstone.stores import _remote
from skipstone.stores._services import _postgres_connections
from skipstone.stores._services._postgres import PostgresStore
from skipstone.stores._urls import received
from skipstone.testing import StoreConformance
from skipstone.testing._one_process import wait_until


class TestPostgresStore(StoreConformance):
    takeover_seconds = 10
    examples = 20

    @pytest.fixture(autouse=True)
    def place(self, postgres):
        self.url = postgres.url(postgres.new_place())

    def make_store(self, scope):
        return PostgresStore(received(self.url), scope)


LARGE = 3_000_000


@pytest.fixture
def place(postgres):
    return postgres.new_place()


@pytest.fixture
def open_store(postgres, place):
    opened = []

    def open_store(scope="index/step", **parts):
        opened.append(PostgresStore(received(postgres.url(place, **parts)), scope))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


def count(postgres, place, table):
    return postgres.execute(f"SELECT count(*) FROM {table}", place)[0][0]


def sessions(postgres):
    """Return the server's processes for connections of stores."""
    return {pid for (pid,) in postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'skipstone'", "public"
    )}  # fmt: skip


def wait_for_no_sessions(postgres):
    wait_until(lambda: not sessions(postgres), 30)


def test_fifty_who_begin_at_once(postgres, open_store, place):
    """The tables are made once, whoever comes first; all of them save and load."""
    stores = [open_store() for _ in range(50)]
    begin = threading.Barrier(50)

    def work(number):
        assert stores[number].get(sample_key(number)) is None  # it is connected
        begin.wait()
        assert stores[number].put(sample(number))
        return stores[number].get(sample_key(number)) is not None

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(work, range(50)))
    assert count(postgres, place, "skipstone_records") == 50
    assert postgres.execute("SELECT format FROM skipstone_format", place) == [(1,)]


@pytest.mark.slow
def test_fifty_processes_that_begin_at_once(postgres, place, script):
    """Fifty workers of a cluster start one run: each call runs once, and each of them has all results."""
    script.write(
        "run.py",
        """
        import os, sys
        from skipstone import open_checkpoint

        def work(n):
            with open("ran", "a") as file:
                file.write(f"{n}\\n")
            return n * n

        checkpoint = open_checkpoint("step", {"store": os.environ["URL"], "trust_store": True})
        print("ready", flush=True)
        sys.stdin.readline()
        with checkpoint:
            print([checkpoint.load_or_run(work, n, n) for n in range(20)])
        """,
    )
    running = [script.start("run.py", environment={"URL": postgres.url(place)}) for _ in range(50)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        out, errors = process.communicate(timeout=100)
        assert out.strip() == str([n * n for n in range(20)]), errors
    assert sorted(map(int, (script.folder / "ran").read_text().split())) == list(range(20))


def test_a_newer_format_is_refused_and_not_touched(postgres, store, open_store, place):
    """The error says what to do; the run goes on without the store."""
    store.put(sample(1))
    postgres.execute("UPDATE skipstone_format SET format = 99", place)
    with pytest.raises(
        StoreFormatError, match=r"format 99, and this skipstone knows formats up to 1: install a newer"
    ):
        open_store().put(sample(2))
    assert postgres.execute("SELECT format FROM skipstone_format", place) == [(99,)]
    assert count(postgres, place, "skipstone_records") == 1
    with open_checkpoint("step", {"store": postgres.url(place), "trust_store": True}) as checkpoint:
        with pytest.warns(SkipstoneWarning, match="format 99"):
            assert checkpoint.load_or_run(abs, 1, -1) == 1


def test_tables_that_were_dropped_are_made_again(postgres, store, place):
    """Somebody tidied up: what was stored is gone, and the store goes on. Who only reads makes none."""
    store.put(sample(1))
    postgres.execute("DROP TABLE skipstone_records, skipstone_parts, skipstone_format", place)
    assert store.get(sample_key(1)) is None
    assert list(store.scan()) == []
    assert postgres.execute("SELECT to_regclass('skipstone_records')", place) == [(None,)]
    assert store.put(sample(1))
    assert len(list(store.scan())) == 1


def test_a_scan_is_in_the_order_of_saving(store):
    """Over several pages, of one function or all; what was replaced was saved last."""
    order = [n * 7919 % 1201 for n in range(1201)]
    for number in order[:100]:
        store.put(sample(number, function="app.even" if number % 2 == 0 else "app.odd"))
    store.put_many([sample(n, function="app.even" if n % 2 == 0 else "app.odd") for n in order[100:]])
    assert [int.from_bytes(info.key) for info in store.scan()] == order
    assert [int.from_bytes(info.key) for info in store.scan(function="app.even")] == [
        n for n in order if n % 2 == 0
    ]
    store.put(sample(order[0]), replace=True)
    assert int.from_bytes([*store.scan()][-1].key) == order[0]


def test_parts_of_large_payloads_live_as_long_as_their_record(postgres, store, place):
    """Neither a loser, a replaced record nor a deleted one leaves any behind."""

    def parts():
        return count(postgres, place, "skipstone_parts")

    assert store.put(sample(1, b"a" * LARGE))
    assert parts() == 3
    assert not store.put(sample(1, b"b" * LARGE))
    assert store.put_many([sample(1, b"c" * LARGE), sample(2, b"c" * LARGE)]) == {sample_key(2)}
    assert parts() == 6
    assert store.put(sample(1, b"small"), replace=True)
    assert parts() == 3
    assert store.put(sample(2, b"d" * 2 * LARGE), replace=True)
    assert content_of(store.get(sample_key(2))) == b"d" * 2 * LARGE
    assert store.delete([sample_key(1), sample_key(2)]) == 2
    assert parts() == 0


def test_a_process_that_is_killed_while_it_saves_leaves_nothing(postgres, store, place, script):
    """Half a large record is none."""
    script.write(
        "put.py",
        """
        import os
        from skipstone._store_trials import large_sample
        from skipstone.stores._services._postgres import PostgresStore

        PostgresStore(os.environ["URL"], "index/step").put(large_sample(1 << 30))
        """,
    )
    store.put(sample(2))
    process = script.start("put.py", environment={"URL": postgres.url(place)})
    size = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'skipstone_parts'::regclass"
    wait_until(lambda: postgres.execute(size, place)[0][0] > 20 << 20, 60)
    process.kill()
    process.communicate()
    assert store.get(sample_key(1)) is None
    assert store.put(sample(1, b"whole"))  # waits for the server to notice
    assert count(postgres, place, "skipstone_parts") == 0
    postgres.execute("VACUUM skipstone_parts", place)


def test_a_reader_never_sees_a_mixture(store, open_store):
    """While a large record is replaced again and again, whoever reads it gets one of them, whole."""
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
        for _ in range(40):
            assert content_of(store.get(sample_key(1))) in payloads
    finally:
        is_over.set()
        thread.join()


def test_a_thread_alone_has_one_connection_and_many_have_few(postgres, store):
    """Claims and requests share it; many threads share some, and none is left when the store is closed."""
    wait_until(lambda: len(sessions(postgres)) == 0, 30)
    with store.claim(sample_key(1)):
        store.put(sample(1))
        store.get(sample_key(1))
    assert len(sessions(postgres)) == 1

    def work(number):
        with store.claim(sample_key(number)):
            return store.put(sample(number, b"x" * 100_000))

    with ThreadPoolExecutor(40) as threads:
        assert all(threads.map(work, range(2, 300)))
    assert len(sessions(postgres)) <= 8
    store.close()
    wait_for_no_sessions(postgres)


def test_a_server_that_refuses_connections(postgres, place, open_store, monkeypatch):
    """The connections that there are must do; where there is none, that is told."""
    role = f"few_{place}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'few' CONNECTION LIMIT 2; GRANT ALL ON SCHEMA {place} TO {role}", place
    )
    store = open_store(user=role, password="few")

    def work(number):
        with store.claim(sample_key(number)):
            return store.put(sample(number, b"x" * 200_000))

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(work, range(100)))
    assert 1 <= len(sessions(postgres)) <= 2
    postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0", place)
    monkeypatch.setattr(_remote, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(StoreUnavailableError, match="too many connections"):
        open_store(user=role, password="few").get(sample_key(1))
    assert store.get(sample_key(1)) is not None


def test_a_role_that_may_only_read(postgres, place, store, open_store):
    """Stored results are returned; what cannot be saved is returned as well, with a warning."""
    postgres.execute(
        f"CREATE ROLE reads_{place} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA {place} TO reads_{place}; "
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {place} GRANT SELECT ON TABLES TO reads_{place}",
        place,
    )
    with open_checkpoint("step", {"store": postgres.url(place), "trust_store": True}) as checkpoint:
        checkpoint.load_or_run(pow, 2, 2, 2)
    url = postgres.url(place, user=f"reads_{place}", password="reads")
    with open_checkpoint("step", {"store": url, "trust_store": True}) as checkpoint:
        assert checkpoint.load_or_run(pow, 2, 0, 0) == 4
        with pytest.warns(SaveWarning, match="permission denied"):
            assert checkpoint.load_or_run(pow, 3, 3, 2) == 9


def test_the_rights_that_are_needed(postgres, place, store, open_store):
    """Where the tables are there, a role needs no more than to select, insert and delete."""
    store.put(sample(1))
    tables = ", ".join(f"{place}.skipstone_{name}" for name in ("records", "parts", "format"))
    postgres.execute(
        f"CREATE ROLE works_{place} LOGIN PASSWORD 'works'; GRANT USAGE ON SCHEMA {place} TO works_{place}; "
        f"GRANT SELECT, INSERT, DELETE ON {tables} TO works_{place}",
        place,
    )
    worker = open_store(user=f"works_{place}", password="works")
    with worker.claim(sample_key(2)):
        assert worker.put_many([sample(2), sample(3, b"x" * LARGE)]) == {sample_key(2), sample_key(3)}
    assert worker.put(sample(3, b"y" * LARGE), replace=True)
    assert worker.delete([sample_key(1), sample_key(3)]) == 2
    assert [info.key for info in worker.scan()] == [sample_key(2)]


def test_a_server_that_says_nothing_is_not_waited_for(postgres, proxies, open_store, monkeypatch):
    """A request that is not answered fails; when the network works again, so does the store."""
    monkeypatch.setattr(_postgres_connections, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(_remote, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(_remote, "_FIRST_PAUSE_SECONDS", 0.05)
    proxy = proxies(postgres.port)
    store = open_store(port=proxy.port)
    assert store.put(sample(1))
    proxy.stall()
    with pytest.raises(StoreUnavailableError, match="has not answered"):
        store.get(sample_key(1))
    proxy.cut()
    proxy.flow()

    def works():
        try:
            return store.get(sample_key(1)) is not None
        except StoreUnavailableError:
            return False

    wait_until(works, 60)


def end_sessions(postgres):
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skipstone'", "public"
    )
    wait_for_no_sessions(postgres)


def test_claims_end_with_their_session(postgres, store, open_store):
    """Whose session was ended has lost its claims, which harms nothing: the first record is everybody's."""
    other = open_store()
    claim = store.claim(sample_key(1))
    assert claim is not None
    assert other.claim(sample_key(1)) is None
    end_sessions(postgres)
    with other.claim(sample_key(1)):
        assert other.put(sample(1, b"of the other"))
        assert not store.put(sample(1, b"of the first"))
        claim.__exit__(None, None, None)  # it ends nobody else's
        assert open_store().claim(sample_key(1)) is None
    with store.claim(sample_key(1)):
        pass


def test_claims_are_taken_again_by_the_next_session(postgres, store, open_store):
    """What is still held, and nobody else has taken meanwhile, is claimed again when the store is used again."""
    other = open_store()
    with store.claim(sample_key(1)):
        end_sessions(postgres)
        with store.claim(sample_key(2)):
            assert other.claim(sample_key(1)) is None
            assert other.claim(sample_key(2)) is None
    for number in (1, 2):
        with other.claim(sample_key(number)):
            pass


def test_closing_keeps_what_is_claimed(store, open_store):
    """A store that is closed while a claim is held goes on holding it."""
    with store.claim(sample_key(1)):
        store.close()
        assert open_store().claim(sample_key(1)) is None
    with open_store().claim(sample_key(1)):
        pass


def test_a_child_leaves_its_parents_claims_alone(postgres, store, open_store):
    """A child after `fork` opens connections of its own, and ends neither the parent's nor its claims."""
    claim, given_back = store.claim(sample_key(1)), store.claim(sample_key(4))
    going_on, go_on = os.pipe()
    child = os.fork()
    if child == 0:
        claim.__exit__(None, None, None)
        is_right = store.claim(sample_key(1)) is None and store.put(sample(2)) and store.claim(sample_key(3))
        os.read(going_on, 1)
        mine = store.claim(sample_key(4))
        given_back.__exit__(None, None, None)
        is_right = is_right and mine is not None and open_store().claim(sample_key(4)) is None
        store.close()
        gc.collect()
        os._exit(0 if is_right else 1)
    given_back.__exit__(None, None, None)
    os.write(go_on, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(going_on)
    os.close(go_on)
    assert open_store().claim(sample_key(1)) is None
    assert store.get(sample_key(2)) is not None
    claim.__exit__(None, None, None)
    with open_store().claim(sample_key(1)), open_store().claim(sample_key(3)):
        pass


def test_a_child_does_not_keep_the_claims_of_a_dead_parent(postgres, place, store, script):
    """Where a process is killed whose children live on, its claims are free."""
    script.write(
        "parent.py",
        """
        import os, time
        from skipstone._store_trials import sample_key
        from skipstone.stores._services._postgres import PostgresStore

        store = PostgresStore(os.environ["URL"], "index/step")
        claim = store.claim(sample_key(1))
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        time.sleep(60)
        """,
    )
    process = script.start("parent.py", environment={"URL": postgres.url(place)})
    child = int(process.stdout.readline())
    try:
        assert store.claim(sample_key(1)) is None
        process.kill()
        process.wait()
        taken = []
        wait_until(lambda: taken.append(store.claim(sample_key(1))) or taken[-1] is not None, 20)
        taken[-1].__exit__(None, None, None)
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_claims_of_many_threads_share_requests(postgres, store):
    """Many threads claim, compute and give back, without one ever having what another has."""
    held, most = Counter(), []

    def work(number):
        for _ in range(10):
            key = sample_key(number % 7)
            while (claim := store.claim(key)) is None:
                time.sleep(0.001)
            with claim:
                held[key] += 1
                most.append(held[key])
                held[key] -= 1

    with ThreadPoolExecutor(30) as threads:
        list(threads.map(work, range(30)))
    assert set(most) == {1}
    assert postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "public") == [(0,)]
