"""What a store keeps to that several processes use."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from .._store_trials import (
    carry_large,
    content_of,
    hammer,
    hold_until_killed,
    put_at_once,
    put_until_killed,
    read,
    sample,
    sample_key,
)
from ..stores import Claim, Store
from ._one_process import OneProcessStoreConformance, wait_until

_ANSWER_SECONDS = 60


class StoreConformance(OneProcessStoreConformance):
    """What every store must do that several processes use: derive from it, and give `make_store`.

    Another process must be able to import the store's class, because the tests pickle it.
    """

    takeover_seconds: float = 30.0
    """The time after which another process can get the claim of a killed one, in seconds."""
    large_bytes: int = 1 << 30
    """Size of a payload that fits into memory once: the store puts and gets it without holding it twice."""

    def test_another_process_sees_the_records(self, store: Store) -> None:
        """A pickled store reads what the original wrote, in another process, too."""
        store.put_many([sample(1, b"one"), sample(2, b"two" * 50_000)])
        copy = pickle.loads(pickle.dumps(store))
        assert copy.get(sample_key(1)) is not None
        copy.close()
        with _process(read, store, [1, 2, 3]) as (_, answers):
            assert _answer(answers) == {1: b"one", 2: b"two" * 50_000}

    def test_a_forked_child_uses_it(self, store: Store) -> None:
        """A handle works in a child after `fork`, and goes on working in the parent."""
        store.put(sample(1))

        def use() -> None:
            assert store.get(sample_key(1)) is not None
            assert store.put(sample(2, b"of the child"))
            claim = store.claim(sample_key(1))
            assert claim is not None
            claim.__exit__(None, None, None)

        child = get_context("fork").Process(target=use, daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from Python 3.12 on
            child.start()
        child.join(_ANSWER_SECONDS)
        exit_code = child.exitcode
        child.kill()
        child.join()
        assert exit_code == 0
        assert store.present([sample_key(1), sample_key(2)]) == {sample_key(1), sample_key(2)}
        assert store.put(sample(3))

    def test_what_was_acknowledged_survives_a_kill(self, store: Store) -> None:
        """Every record whose `put` or `put_many` returned is there when the process is killed."""
        with _process(put_until_killed, store) as (process, answers):
            acknowledged = [_answer(answers) for _ in range(40)]
            process.kill()
            with suppress(EOFError):
                while True:
                    acknowledged.append(answers.recv())
        found = store.get_many([sample_key(number) for number in acknowledged])
        assert {key: content_of(record) for key, record in found.items()} == {
            sample_key(number): b"%d" % number for number in acknowledged
        }

    def test_processes_that_put_the_same_keys(self, store: Store) -> None:
        """Of several processes that put the same keys, exactly one is told of each that it is the one."""
        names, numbers = ["a", "b", "c"], range(40)
        with ExitStack() as stack:
            begin = get_context("spawn").Barrier(len(names))
            running = [
                stack.enter_context(_process(put_at_once, store, name, numbers, begin))[1] for name in names
            ]
            kept = dict(zip(names, map(_answer, running), strict=True))
        assert sorted(number for mine in kept.values() for number in mine) == list(numbers)
        for name, mine in kept.items():
            for number in mine:
                assert content_of(store.get(sample_key(number))) == name.encode()

    def test_a_claim_holds_among_processes_and_ends_with_its_process(self, store: Store) -> None:
        """What another process has claimed cannot be claimed, until that process is killed."""
        with _process(hold_until_killed, store, 1) as (process, answers):
            assert _answer(answers)
            assert store.claim(sample_key(1)) is None
            with _process(hold_until_killed, store, 1) as (_, others):
                assert not _answer(others)
            process.kill()
            taken: list[Claim] = []

            def take() -> bool:
                taken.extend(filter(None, [store.claim(sample_key(1))]))
                return bool(taken)

            wait_until(take, self.takeover_seconds)
            with taken[0]:
                assert store.claim(sample_key(1)) is None

    def test_never_two_holders(self, store: Store, tmp_path: Path) -> None:
        """Processes that claim the same keys again and again never have one at the same time, and all get theirs."""
        with ExitStack() as stack:
            running = [stack.enter_context(_process(hammer, store, str(tmp_path), 3, 15))[1] for _ in range(4)]
            assert [_answer(answers) for answers in running] == [0, 0, 0, 0]

    @pytest.mark.slow
    def test_a_huge_payload_is_not_in_memory_twice(self, store: Store) -> None:
        """A payload in parts is written without being joined, and read once."""
        with _process(carry_large, store, self.large_bytes) as (_, answers):
            is_right, to_put, to_get = _answer(answers, 10 * _ANSWER_SECONDS)
        assert is_right
        assert to_put < 0.75 * self.large_bytes
        assert to_get < 1.5 * self.large_bytes


@contextmanager
def _process(
    work: Callable[..., None], store: Store, *arguments: Any
) -> Generator[tuple[BaseProcess, Connection]]:
    """Begin a process that does something with a copy of a store, and what it answers; kill it in the end."""
    context = get_context("spawn")
    answers, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(store, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, answers
    finally:
        process.kill()
        process.join()
        answers.close()


def _answer(answers: Connection, seconds: float = _ANSWER_SECONDS) -> Any:
    assert answers.poll(seconds), f"no answer within {seconds} s"
    return answers.recv()
