"""What every serializer keeps to."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from .._checkpoint import Checkpoint
from .._encoding._serializers import Serializer, serializer_named
from .._record import parts_of
from ..stores import MemoryStore

_PLAIN: Sequence[object] = (
    None,
    True,
    -7,
    1.5,
    "",
    "é\0\n😀",
    [],
    [1, [2.0, None], "a" * 100_000],
    {"a": {"b": [1]}},
)


class SerializerConformance:
    """What every serializer must do: derive from it, and give `make_serializer`.

    ```python
    class TestMine(SerializerConformance):
        results = [b"", bytes(range(256))]

        def make_serializer(self):
            return MySerializer()
    ```
    """

    results: ClassVar[Sequence[object]] = _PLAIN
    """Results that the serializer keeps: each comes back equal, and with the same type."""
    refused: ClassVar[Sequence[object]] = (threading.Lock(),)
    """Results that the serializer cannot keep: saving them must raise an error, so that they are not kept."""
    result_type: Any = Any
    """The return annotation of the functions whose results these are."""

    def make_serializer(self) -> Serializer:
        """Return a new serializer, as another process would have one."""
        raise NotImplementedError

    def is_same(self, result: Any, loaded: Any) -> bool:
        """Tell whether a result came back as it was."""
        return type(loaded) is type(result) and bool(loaded == result)

    def test_its_name_is_its_own(self) -> None:
        """The name is in every record: it is short and plain, always the same, and no other serializer has it."""
        name = self.make_serializer().name
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name)
        assert self.make_serializer().name == name
        assert type(serializer_named(name)) in (type(None), type(self.make_serializer()))

    def test_results_come_back(self) -> None:
        """From another serializer of the same kind, from bytes and from memory that may or may not be written to."""
        for result in self.results:
            payload = self._saved(result)
            for given in (payload, memoryview(payload), memoryview(bytearray(payload))):
                assert self.is_same(result, self._loaded(given))

    def test_each_result_is_a_fresh_one(self) -> None:
        """What a caller does to a result reaches no other caller, nor the payload."""
        for result in self.results:
            payload = bytearray(self._saved(result))
            before = bytes(payload)
            one, other = self._loaded(memoryview(before)), self._loaded(memoryview(before))
            if isinstance(one, (list, dict, set, bytearray)):
                assert one is not other
                one.clear()
                assert self.is_same(result, other)
            assert before == payload

    def test_what_cannot_be_kept_is_refused(self) -> None:
        """With an error of any kind, when it is saved."""
        for result in self.refused:
            try:
                self._saved(result)
            except Exception:  # noqa: BLE001 - any will do
                continue
            message = f"{result!r} was not refused"
            raise AssertionError(message)

    def test_foreign_bytes_are_no_more_than_an_error(self) -> None:
        """What is cut or of another kind raises an Exception, or is a result; it ends no process, and no thread."""
        whole = [self._saved(result) for result in self.results]
        for payload in (
            b"",
            b"\0",
            b"\xff" * 40,
            b"{",
            bytes(range(256)),
            *(each[: len(each) // 2] for each in whole),
        ):
            try:
                self._loaded(payload)
            except Exception:  # noqa: BLE001 - any will do
                continue

    def test_threads_use_it_at_once(self) -> None:
        """One object serves them all."""
        serializer = self.make_serializer()

        def there_and_back(result: Any) -> bool:
            payload = b"".join(parts_of(serializer.dumps(result, self.result_type)))
            return self.is_same(result, serializer.loads(payload, self.result_type))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(there_and_back, [*self.results] * 20))

    def test_it_travels_to_other_processes(self) -> None:
        """It can be pickled, as part of the settings of a checkpoint."""
        copy = pickle.loads(pickle.dumps(self.make_serializer()))
        assert copy.name == self.make_serializer().name

    def test_a_checkpoint_keeps_results_with_it(self) -> None:
        """Each is saved once, found, and bears the serializer's name."""
        serializer = self.make_serializer()
        checkpoint = Checkpoint(MemoryStore(), {"serializer": serializer}, name="step")

        def work(number: int) -> Any:
            return self.results[number]

        work.__annotations__["return"] = self.result_type
        for _ in range(2):
            for number, result in enumerate(self.results):
                assert self.is_same(result, checkpoint.load_or_run(work, number, number))
        stats = checkpoint.stats()
        assert (stats.misses, stats.hits, stats.not_saved) == (len(self.results), len(self.results), 0)
        assert {record.encoding for record in checkpoint.records()} == {serializer.name}

    def _saved(self, result: object) -> bytes:
        return b"".join(parts_of(self.make_serializer().dumps(result, self.result_type)))

    def _loaded(self, payload: bytes | memoryview) -> Any:
        return self.make_serializer().loads(payload, self.result_type)
