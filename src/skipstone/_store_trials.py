"""What other processes, started by `skipstone.testing`, do in the tests of a store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from ._record import Key, Origin, Record
from .stores import Store

_PART_BYTES = 16 << 20


def sample_key(number: int) -> Key:
    """Return one of many keys."""
    return number.to_bytes(16, "big")


def sample(number: int, payload: Any = b"value", function: str = "app.embed", call_id: str = "id") -> Record:
    """Return a record."""
    origin = Origin(function, "", "pickle", b"12345678", "run", "host", 1)
    return Record(
        sample_key(number),
        b"checksum",
        origin,
        1.5,
        payload,
        call_id,
        1e9 + number,
        b"\x81\xa1n%c" % (number % 128),
    )


def content_of(record: Record | None) -> bytes:
    """Return the payload of a record, which must exist and have its payload in one part."""
    assert record is not None, "there is no record"
    assert isinstance(record.payload, (bytes, bytearray, memoryview)), "the payload is in several parts"
    return bytes(record.payload)


def large_sample(size_bytes: int) -> Record:
    """Return a record with key 1 and a large payload that itself takes little memory."""
    part = bytes(range(256)) * (_PART_BYTES // 256)
    parts = [memoryview(part)[: min(_PART_BYTES, size_bytes - at)] for at in range(0, size_bytes, _PART_BYTES)]
    return sample(1, parts)


def is_large_sample(payload: Any) -> bool:
    """Tell whether a payload is that of `large_sample`, comparing it part by part."""
    part = bytes(range(256)) * (_PART_BYTES // 256)
    view = memoryview(payload)
    return all(view[at : at + _PART_BYTES] == part[: len(view) - at] for at in range(0, len(view), _PART_BYTES))


def read(store: Store, answers: Connection, numbers: Sequence[int]) -> None:
    """Answer with the payloads of some keys."""
    found = store.get_many([sample_key(number) for number in numbers])
    answers.send({number: content_of(found[key]) for number in numbers if (key := sample_key(number)) in found})
    store.close()


def put_until_killed(store: Store, answers: Connection) -> None:
    """Put one record after another, and answer with the number of each one that was acknowledged."""
    number = 0
    while True:
        if number % 3:
            assert store.put(sample(number, b"%d" % number))
        else:
            assert store.put_many([sample(number, b"%d" % number)])
        answers.send(number)
        number += 1


def put_at_once(store: Store, answers: Connection, name: str, numbers: Sequence[int], begin: Any) -> None:
    """Put records as soon as all other processes are ready, and answer with the numbers of those that were kept."""
    begin.wait()
    answers.send([number for number in numbers if store.put(sample(number, name.encode()))])
    store.close()


def hold_until_killed(store: Store, answers: Connection, number: int) -> None:
    """Claim a key, answer whether that was possible, and hold the claim."""
    claim = store.claim(sample_key(number))
    answers.send(claim is not None)
    time.sleep(3600)


def hammer(store: Store, answers: Connection, folder: str, keys: int, turns: int) -> None:
    """Claim some keys again and again, and answer how often another process held the same key at that time.

    Args:
        store: To be tested.
        answers: Where to.
        folder: On a local disk: while a key is held, a file that was created exclusively is in it.
        keys: How many.
        turns: How often each of them is to be held.
    """
    left = dict.fromkeys(range(keys), turns)
    overlaps = 0
    while left:
        for number in list(left):
            claim = store.claim(sample_key(number))
            if claim is None:
                continue
            with claim:
                overlaps += _overlaps(f"{folder}/{number}")
            left[number] -= 1
            if not left[number]:
                del left[number]
        time.sleep(0.001)
    answers.send(overlaps)
    store.close()


def _overlaps(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return True
    time.sleep(0.002)
    os.unlink(path)
    return False


def carry_large(store: Store, answers: Connection, size_bytes: int) -> None:
    """Put and get a large record; answer whether it is right, and how much memory each of the two took at most."""
    before = _most_memory_bytes()
    kept = store.put(large_sample(size_bytes))
    to_put = _most_memory_bytes() - before
    found = store.get(sample_key(1))
    to_get = _most_memory_bytes() - before
    is_right = kept and found is not None and is_large_sample(found.payload)
    answers.send((is_right, to_put, to_get))
    store.close()


def _most_memory_bytes() -> int:
    """Return how much memory this process has taken at most."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            (line,) = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) << 10
    except FileNotFoundError:  # not on Linux
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
