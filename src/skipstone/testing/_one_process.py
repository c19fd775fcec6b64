"""Tests of the rules that every store follows, as far as one process can check them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from .._record import FAILURE
from .._store_trials import content_of, sample, sample_key
from ..stores import Claim, Store
from ._machine import StoreMachine

_SCOPE = "index/step"


class OneProcessStoreConformance:
    """What a store must do whose records or claims are those of one process; see `StoreConformance`."""

    examples = 40
    """How many sequences of operations are compared with a dictionary."""

    def make_store(self, scope: str) -> Store:
        """Return a new handle on the records of a scope, `<index>/<step>`, as another process would have one."""
        raise NotImplementedError

    @pytest.fixture
    def open_store(self) -> Generator[Callable[[str], Store]]:
        """Open handles that are closed at the end of the test."""
        opened: list[Store] = []

        def open_store(scope: str = _SCOPE) -> Store:
            opened.append(self.make_store(scope))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Store:
        """Open a store without records."""
        return open_store()

    def test_what_was_put_comes_back(self, store: Store) -> None:
        """A record comes back with its payload in one part, and with everything that a hit needs."""
        record = sample(1, [b"in ", memoryview(b"three ppp")[:6], bytearray(b"parts")])
        assert store.put(record)
        found = store.get(sample_key(1))
        assert content_of(found) == b"in three parts"
        assert found is not None
        assert found[:4] == record[:4]
        assert found.created_at_seconds == record.created_at_seconds
        assert store.get_many([record.key])[record.key].created_at_seconds == record.created_at_seconds

    def test_the_absent_is_none(self, store: Store) -> None:
        """A key without a record gives None, and appears in no answer."""
        store.put(sample(1))
        keys = [sample_key(1), sample_key(2)]
        assert store.get(sample_key(2)) is None
        assert store.get_many(keys).keys() == {sample_key(1)}
        assert store.present(keys) == {sample_key(1)}
        assert store.delete([sample_key(2)]) == 0

    def test_nothing_may_be_asked_for(self, store: Store) -> None:
        """Methods for many keys or records also accept none at all."""
        assert (store.get_many([]), store.present([]), store.delete([]), store.put_many([])) == (
            {},
            set(),
            0,
            set(),
        )
        assert list(store.scan()) == []

    def test_the_first_one_wins(self, store: Store) -> None:
        """A second record of the same key is not kept, and `put` says so, unless it replaces the first."""
        assert store.put(sample(1, b"first")) is True
        assert store.put(sample(1, b"second")) is False
        assert content_of(store.get(sample_key(1))) == b"first"
        assert store.put(sample(1, b"third"), replace=True) is True
        assert content_of(store.get(sample_key(1))) == b"third"

    def test_many_are_put_at_once(self, store: Store) -> None:
        """`put_many` says which records are kept: those whose key had none, or all of them when they replace."""
        store.put_many([sample(2, b"first"), sample(4, b"first")])
        large = os.urandom(200_000)
        records = [sample(number, [b"se", b"cond"]) for number in range(1, 5)] + [sample(5, large)]
        assert store.put_many(records) == {sample_key(number) for number in (1, 3, 5)}
        assert _contents(store, range(1, 6)) == {
            1: b"second", 2: b"first", 3: b"second", 4: b"first", 5: large
        }  # fmt: skip
        assert store.put_many(records, replace=True) == {sample_key(number) for number in range(1, 6)}
        assert _contents(store, range(1, 6)) == {1: b"second", 2: b"second", 3: b"second", 4: b"second", 5: large}

    def test_any_number_of_keys(self, store: Store) -> None:
        """Thousands of keys can be put, asked for and deleted in one call; deleting says how many there were."""
        keys = [sample_key(number) for number in range(2500)]
        assert store.put_many([sample(number, b"%d" % number) for number in range(1200)]) == set(keys[:1200])
        assert store.present(keys) == set(keys[:1200])
        assert _contents(store, range(2500)) == {number: b"%d" % number for number in range(1200)}
        assert store.delete(key for key in keys[100:]) == 1100
        assert store.present(keys) == set(keys[:100])

    def test_the_deleted_can_be_put_again(self, store: Store) -> None:
        """A key whose record was deleted is like one that never had one."""
        store.put(sample(1, b"before"))
        assert store.delete([sample_key(1)]) == 1
        assert store.get(sample_key(1)) is None
        assert store.put(sample(1, b"again"))
        assert content_of(store.get(sample_key(1))) == b"again"

    def test_scan_tells_all_but_the_payload(self, store: Store) -> None:
        """A scan yields a description of each record, or of each one of a function."""
        record = sample(1, b"12345", call_id="doc-1")
        store.put(record)
        store.put(sample(2, function="app.other"))
        (info,) = store.scan(function="app.embed")
        assert (info.key, info.function, info.version, info.call_id) == (sample_key(1), "app.embed", "", "doc-1")
        assert (info.encoding, info.code, info.size_bytes) == ("pickle", b"12345678", 5)
        assert (info.created_at_seconds, info.duration_seconds) == (1e9 + 1, 1.5)
        assert (info.run, info.host, info.process) == record.origin[4:]
        assert info.details == record.details
        assert {info.key for info in store.scan()} == {sample_key(1), sample_key(2)}
        assert list(store.scan(function="app")) == []
        assert store.infos([sample_key(1), sample_key(3)]) == {sample_key(1): info}

    def test_records_may_change_while_they_are_scanned(self, store: Store) -> None:
        """Deleting and saving during a scan disturbs neither."""
        store.put_many([sample(number) for number in range(1500)])
        seen = []
        for info in store.scan():
            seen.append(info.key)
            if len(seen) % 100 == 0:
                store.delete(seen[-100:])
        assert len(seen) == len(set(seen)) == 1500
        assert list(store.scan()) == []

    def test_a_failure_is_a_record(self, store: Store) -> None:
        """A record that the engine keeps beside results, with an encoding of its own, is like any other."""
        origin = sample(1).origin._replace(encoding=FAILURE)
        store.put(sample(1))
        assert store.put(sample(2, b"{}")._replace(origin=origin))
        assert store.put(sample(2, b"[]")._replace(origin=origin), replace=True)
        assert {info.key: info.encoding for info in store.scan(function="app.embed")} == {
            sample_key(1): "pickle",
            sample_key(2): FAILURE,
        }
        assert content_of(store.get(sample_key(2))) == b"[]"

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 9_000_000])
    def test_payloads_of_any_size(self, store: Store, size: int) -> None:
        """Small and large payloads come back byte for byte, through another handle as well."""
        payload = os.urandom(size)
        store.put(sample(1, [payload[: size // 3], payload[size // 3 :]]))
        assert content_of(store.get(sample_key(1))) == payload
        store.close()
        assert _contents(store, [1]) == {1: payload}

    def test_a_large_payload_survives_its_replacement(self, store: Store) -> None:
        """A payload that was read stays whole when its record is replaced or deleted."""
        store.put(sample(1, b"a" * 9_000_000))
        before = store.get(sample_key(1))
        store.put(sample(1, b"b" * 9_000_000), replace=True)
        after = store.get(sample_key(1))
        store.delete([sample_key(1)])
        assert content_of(before) == b"a" * 9_000_000
        assert content_of(after) == b"b" * 9_000_000

    @pytest.mark.parametrize("text", ["", "x" * 10_000, "../../etc", "a\nb", "é", "e\u0301", "A", "☃"])
    def test_any_text_is_a_call_id(self, store: Store, text: str) -> None:
        """The texts of a call id and a function's name have no influence on where a record is kept."""
        store.put(sample(1, function=f"app.{text}", call_id=text))
        assert [(info.function, info.call_id) for info in store.scan()] == [(f"app.{text}", text)]
        assert len(list(store.scan(function=f"app.{text}"))) == 1

    def test_scopes_see_nothing_of_one_another(self, open_store: Callable[[str], Store]) -> None:
        """A scope has records and claims of its own, even if its name begins like another one's."""
        scopes = ["index/step", "index/step2", "index/ste", "index2/step", "step/index", "index/step-step"]
        stores = {scope: open_store(scope) for scope in scopes}
        for scope, store in stores.items():
            assert store.put(sample(1, scope.encode()))
        assert stores["index/step"].delete([sample_key(1)]) == 1
        del stores["index/step"]
        for scope, store in stores.items():
            assert content_of(store.get(sample_key(1))) == scope.encode()
            assert len(list(store.scan())) == 1
        assert list(open_store("index/step").scan()) == []
        with _held(open_store("index/step").claim(sample_key(1))):
            for store in stores.values():
                with _held(store.claim(sample_key(1))):
                    pass

    def test_one_claim_at_a_time(self, store: Store) -> None:
        """A key has one holder at a time, and others can hold other keys; a claim given back can be taken again."""
        with _held(store.claim(sample_key(1))):
            assert store.claim(sample_key(1)) is None
            with _held(store.claim(sample_key(2))):
                pass
        with _held(store.claim(sample_key(1))):
            store.put(sample(1))
        with _held(store.claim(sample_key(1))):
            pass

    def test_a_claim_may_end_in_another_thread(self, store: Store) -> None:
        """A claim can be given back by another thread."""
        claim = store.claim(sample_key(1))
        assert claim is not None
        claim.__enter__()
        _in_threads(lambda _: claim.__exit__(None, None, None), 1)
        with _held(store.claim(sample_key(1))):
            pass

    def test_one_thread_of_many_has_a_claim(self, store: Store) -> None:
        """Of many threads that claim one key, no two have it at the same time, and each gets it in the end."""
        holders: list[int] = []
        most: list[int] = []

        def hold(number: int) -> None:
            left = 5
            while left:
                claim = store.claim(sample_key(1))
                if claim is not None:
                    with claim:
                        holders.append(number)
                        most.append(len(holders))
                        time.sleep(0.001)
                        holders.remove(number)
                    left -= 1
                time.sleep(0.001)

        _in_threads(hold, 6)
        assert most == [1] * 30

    def test_many_threads_put_one_key(self, store: Store) -> None:
        """Of many threads that put the same key, exactly one is told that its record is kept."""
        kept: list[int] = []
        begin = threading.Barrier(8)

        def put(number: int) -> None:
            begin.wait()
            if store.put(sample(1, b"%d" % number)):
                kept.append(number)

        _in_threads(put, 8)
        (winner,) = kept
        assert content_of(store.get(sample_key(1))) == b"%d" % winner

    def test_a_closed_store_opens_again(self, store: Store) -> None:
        """After closing, a store can be used again."""
        store.put(sample(1))
        store.close()
        store.close()
        assert _contents(store, [1]) == {1: b"value"}

    def test_handles_see_one_another(self, open_store: Callable[[], Store]) -> None:
        """A handle sees what another one saves, deletes and replaces, even if it has read the records before."""
        one, other = open_store(), open_store()
        one.put_many([sample(number, b"old") for number in range(50)])
        assert _contents(other, range(50)) == dict.fromkeys(range(50), b"old")
        assert all(content_of(other.get(sample_key(number))) == b"old" for number in range(50))
        one.put(sample(3, b"new"), replace=True)
        one.delete([sample_key(4)])
        # A store may look for changes only now and then.
        wait_until(lambda: other.get(sample_key(4)) is None and content_of(other.get(sample_key(3))) == b"new", 5)
        assert other.put(sample(3)) is False
        assert other.put(sample(4)) is True

    def test_what_was_saved_is_found(self, open_store: Callable[[], Store]) -> None:
        """A handle that has saved a record finds that one, even if it has read one before that another handle has deleted just now."""
        one, other = open_store(), open_store()
        for _ in range(10):
            one.put_many([sample(number, b"old") for number in range(3)], replace=True)
            for number in [*range(3), *range(3)]:
                assert content_of(one.get(sample_key(number))) == b"old"
            assert other.delete(map(sample_key, range(3))) == 3
            assert one.put(sample(0, b"new"))
            assert one.put_many([sample(1, b"new"), sample(2, b"new")]) == {sample_key(1), sample_key(2)}
            assert [content_of(one.get(sample_key(number))) for number in range(3)] == [b"new"] * 3

    def test_it_does_what_a_dictionary_does(self) -> None:
        """Any sequence of operations has the same effect on the store and on a dictionary."""
        make_store = self.make_store

        class Machine(StoreMachine):
            def open_store(self) -> Store:
                return make_store(f"machine/{os.urandom(8).hex()}")

        run_state_machine_as_test(
            Machine, settings=settings(max_examples=self.examples, stateful_step_count=25, deadline=None)
        )


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    """Check a condition again and again, and fail if it does not hold after some seconds."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not after {seconds} s"
        time.sleep(0.01)


def _contents(store: Store, numbers: Iterable[int]) -> dict[int, bytes]:
    found = store.get_many([sample_key(number) for number in numbers])
    return {int.from_bytes(key, "big"): content_of(record) for key, record in found.items()}


def _held(claim: Claim | None) -> Claim:
    assert claim is not None, "nobody has it"
    return claim


def _in_threads(work: Callable[[int], object], count: int) -> None:
    """Do something in several threads, and raise an error that one of them raised."""
    with ThreadPoolExecutor(count) as threads:
        for done in [threads.submit(work, number) for number in range(count)]:
            done.result()
