"""Compare a store with a dictionary under random sequences of operations."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .._store_trials import content_of, sample, sample_key
from ..stores import Store

_NUMBERS = st.integers(0, 40)
_SIZES = st.sampled_from([0, 10, 300, 70_000])


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and a dictionary, and compares their answers."""

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open_store()
        self.model: dict[int, bytes] = {}

    def open_store(self) -> Store:
        """Return a store without records."""
        raise NotImplementedError

    @rule(number=_NUMBERS, size=_SIZES, replace=st.booleans())
    def put(self, number: int, size: int, replace: bool) -> None:
        payload = bytes([number]) * size
        kept = self.store.put(sample(number, payload), replace=replace)
        assert kept == (replace or number not in self.model)
        if kept:
            self.model[number] = payload

    @rule(sizes=st.dictionaries(_NUMBERS, _SIZES), replace=st.booleans())
    def put_many(self, sizes: dict[int, int], replace: bool) -> None:
        payloads = {number: bytes([number]) * size for number, size in sizes.items()}
        new = payloads if replace else {number: payloads[number] for number in payloads.keys() - self.model.keys()}
        kept = self.store.put_many([sample(*each) for each in payloads.items()], replace=replace)
        assert kept == {sample_key(number) for number in new}
        self.model.update(new)

    @rule(numbers=st.lists(_NUMBERS))
    def get(self, numbers: list[int]) -> None:
        for number in numbers:
            found = self.store.get(sample_key(number))
            assert (None if found is None else content_of(found)) == self.model.get(number)

    @rule(numbers=st.lists(_NUMBERS, unique=True))
    def get_many(self, numbers: list[int]) -> None:
        found = self.store.get_many([sample_key(number) for number in numbers])
        assert {key: content_of(record) for key, record in found.items()} == {
            sample_key(number): self.model[number] for number in numbers if number in self.model
        }

    @rule(numbers=st.lists(_NUMBERS, unique=True))
    def delete(self, numbers: list[int]) -> None:
        assert self.store.delete([sample_key(number) for number in numbers]) == len(
            self.model.keys() & set(numbers)
        )
        for number in numbers:
            self.model.pop(number, None)

    @rule()
    def reopen(self) -> None:
        self.store.close()

    @invariant()
    def same_keys(self) -> None:
        keys = {sample_key(number) for number in self.model}
        assert {info.key for info in self.store.scan()} == keys
        assert self.store.present([sample_key(number) for number in range(41)]) == keys

    def teardown(self) -> None:
        self.store.close()
