"""What every store keeps to: the local one, the one in memory, and the one that the documentation shows."""

import os
import pickle
import re
import threading
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skipstone.stores import MemoryStore, Origin, Record, SqliteStore

PAGE = Path(__file__).parent.parent / "docs/stores.md"


def folder_store(folder):
    source = re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    names = {}
    exec(source.partition("@cache_with_checkpoint")[0], names)
    return names["FolderStore"](str(folder))


STORES = {
    "sqlite": lambda folder: SqliteStore(str(folder / "checkpoint/index/step")),
    "memory": lambda _folder: MemoryStore(),
    "documented": folder_store,
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    store = STORES[request.param](tmp_path)
    yield store
    store.close()


def key(number):
    return number.to_bytes(16, "big")


def record(number, payload=b"value", function="app.embed", call_id="id"):
    origin = Origin(function, "", "pickle", b"12345678", "run", "host", 1)
    return Record(key(number), b"checksum", origin, 1.5, payload, call_id, 1e9 + number)


def test_what_was_put_comes_back(store):
    """A record comes back with its payload in one part, and with what a hit needs."""
    assert store.put(record(1, [b"in ", memoryview(b"two ppp")[:5], bytearray(b"arts")]))
    found = store.get(key(1))
    assert bytes(found.payload) == b"in two parts"
    assert found[:4] == record(1)[:4]


def test_the_absent_is_none(store):
    """A key without a record gives None, and is in no answer."""
    store.put(record(1))
    assert store.get(key(2)) is None
    assert store.get_many([key(1), key(2)]).keys() == {key(1)}
    assert store.present([key(1), key(2)]) == {key(1)}
    assert store.delete([key(2)]) == 0


def test_the_first_one_wins(store):
    """A second record of the same key is not kept, and `put` says so, unless it is to replace the first."""
    assert store.put(record(1, b"first")) is True
    assert store.put(record(1, b"second")) is False
    assert bytes(store.get(key(1)).payload) == b"first"
    assert store.put(record(1, b"third"), replace=True) is True
    assert bytes(store.get(key(1)).payload) == b"third"


def test_the_deleted_is_gone(store):
    """Deleting says how many there were, and what was deleted can be put again."""
    for number in range(1200):
        store.put(record(number))
    assert store.delete(key(number) for number in range(1100)) == 1100
    assert store.present([key(number) for number in range(1200)]) == {key(number) for number in range(1100, 1200)}
    assert store.put(record(1, b"again"))
    assert bytes(store.get(key(1)).payload) == b"again"


def test_scan_tells_all_but_the_payload(store):
    """A scan yields what is known of each record, of one function if asked."""
    store.put(record(1, b"12345", call_id="doc-1"))
    store.put(record(2, function="app.other"))
    (info,) = store.scan(function="app.embed")
    assert info.key == key(1)
    assert (info.function, info.call_id, info.encoding, info.size_bytes) == ("app.embed", "doc-1", "pickle", 5)
    assert (info.created_at_seconds, info.duration_seconds) == (1e9 + 1, 1.5)
    assert {info.key for info in store.scan()} == {key(1), key(2)}


def test_records_may_change_while_they_are_scanned(store):
    """Deleting and saving during a scan disturbs neither."""
    for number in range(2500):
        store.put(record(number))
    seen = []
    for info in store.scan():
        seen.append(info.key)
        store.delete([info.key])
    assert len(seen) == len(set(seen)) == 2500
    assert list(store.scan()) == []


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_000])
def test_payloads_of_any_size(store, size):
    """Small and large payloads come back byte for byte, from another opening as well."""
    payload = os.urandom(size)
    store.put(record(1, [payload[: size // 3], payload[size // 3 :]]))
    assert bytes(store.get(key(1)).payload) == payload
    store.close()
    assert bytes(store.get_many([key(1)])[key(1)].payload) == payload


@pytest.mark.parametrize("text", ["", "x" * 10_000, "../../etc", "a\nb", "é", "e\u0301", "A", "a", "☃"])
def test_any_text_is_a_call_id(store, text):
    """What a call id says has no influence on where a record lives."""
    store.put(record(1, call_id=text))
    assert [info.call_id for info in store.scan()] == [text]


def test_one_claim_at_a_time(store):
    """A key is claimed by one at a time, another key by somebody else; a claim that ended can be had again."""
    with store.claim(key(1)):
        assert store.claim(key(1)) is None
        with store.claim(key(2)):
            pass
    with store.claim(key(1)):
        pass


def test_a_claim_may_end_in_another_thread(store):
    """A claim belongs to no thread."""
    claim = store.claim(key(1))
    thread = threading.Thread(target=claim.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert store.claim(key(1)) is not None


def test_many_threads_put_one_key(store):
    """Of many threads that put the same key, exactly one is told that it is the one."""
    answers = []
    start = threading.Barrier(8)

    def put(number):
        start.wait()
        answers.append((store.put(record(1, str(number).encode())), number))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for kept, number in answers if kept]
    assert bytes(store.get(key(1)).payload) == str(winner).encode()


def test_a_closed_store_opens_again(store):
    """Closing lets go of connections; a later use opens them again."""
    store.put(record(1))
    store.close()
    store.close()
    assert store.get(key(1)) is not None


def test_the_local_store_pickles(tmp_path):
    """A pickled local store reads what the original wrote."""
    store = STORES["sqlite"](tmp_path)
    store.put(record(1))
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get(key(1)) is not None
    copy.close()
    store.close()


def test_two_openings_see_each_other(tmp_path):
    """What one opening of a folder saves, deletes and replaces, another one sees, though it has read ahead."""
    one, other = STORES["sqlite"](tmp_path), STORES["sqlite"](tmp_path)
    for number in range(50):
        one.put(record(number, b"old"))
    assert all(bytes(other.get(key(number)).payload) == b"old" for number in range(50))
    one.put(record(3, b"new"), replace=True)
    one.delete([key(4)])
    deadline = threading.Event()
    deadline.wait(0.05)  # changes elsewhere are looked for every 5 ms
    assert bytes(other.get(key(3)).payload) == b"new"
    assert other.get(key(4)) is None
    one.close()
    other.close()


def test_a_large_value_survives_its_replacement(tmp_path):
    """A payload that was read stays whole when its record is replaced or deleted."""
    store = STORES["sqlite"](tmp_path)
    store.put(record(1, b"a" * 2_000_000))
    before = store.get(key(1)).payload
    store.put(record(1, b"b" * 2_000_000), replace=True)
    assert bytes(before) == b"a" * 2_000_000
    assert bytes(store.get(key(1)).payload) == b"b" * 2_000_000
    store.delete([key(1)])
    assert not [path for path in (tmp_path / "checkpoint/index/step/values").rglob("*") if path.is_file()]
    store.close()


class StoreMachine(RuleBasedStateMachine):
    """The local store and a dictionary, side by side."""

    @initialize(seed=st.integers())
    def open(self, seed):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = STORES["sqlite"](Path(self.folder.name))
        self.model = {}

    keys = st.integers(0, 40)

    @rule(number=keys, size=st.sampled_from([0, 10, 300, 70_000]), replace=st.booleans())
    def put(self, number, size, replace):
        payload = bytes([number]) * size
        kept = self.store.put(record(number, payload), replace=replace)
        assert kept == (replace or number not in self.model)
        if kept:
            self.model[number] = payload

    @rule(numbers=st.lists(keys))
    def get(self, numbers):
        for number in numbers:
            found = self.store.get(key(number))
            assert (None if found is None else bytes(found.payload)) == self.model.get(number)

    @rule(numbers=st.lists(keys, unique=True))
    def get_many(self, numbers):
        found = self.store.get_many([key(number) for number in numbers])
        assert {k: bytes(r.payload) for k, r in found.items()} == {
            key(number): self.model[number] for number in numbers if number in self.model
        }

    @rule(numbers=st.lists(keys, unique=True))
    def delete(self, numbers):
        assert self.store.delete([key(number) for number in numbers]) == len(self.model.keys() & set(numbers))
        for number in numbers:
            self.model.pop(number, None)

    @rule()
    def reopen(self):
        self.store.close()

    @invariant()
    def same_keys(self):
        if hasattr(self, "store"):
            assert {info.key for info in self.store.scan()} == {key(number) for number in self.model}

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
