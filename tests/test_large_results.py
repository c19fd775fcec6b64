"""Large results come back whole, writable and independent of what is stored."""

import os
import pickle
import resource

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skipstone import Checkpoint, cache_with_checkpoint, open_checkpoint, use_checkpoint
from skipstone.stores import MemoryStore

results = {}


@cache_with_checkpoint(id="name", name="work")
def work(name):
    return results[name]


@pytest.fixture(autouse=True, params=["memory", "local", "zstd"])
def checkpoint(request, tmp_path):
    """The current checkpoint of the test: in memory, on disk, on disk and compressed."""
    if request.param == "memory":
        made = Checkpoint(MemoryStore())
    else:
        compression = "zstd" if request.param == "zstd" else None
        made = open_checkpoint("step", {"artifacts_dir": tmp_path, "compression": compression})
    with made, use_checkpoint(made):
        yield made


SMALL, MIDDLE, LARGE = (np.arange(size, dtype="f8") for size in (3, 20_000, 300_000))


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def read(result, checkpoint):
    """Return a stored result, loaded by a hit."""
    results["k"] = result
    work("k")
    loaded = work("k")
    assert checkpoint.stats().hits == 1
    return loaded


@pytest.mark.parametrize(
    "array",
    [
        SMALL,
        MIDDLE,
        LARGE,
        LARGE.reshape(1000, 300),
        np.asfortranarray(LARGE.reshape(1000, 300)),
        LARGE[::2],
        LARGE.reshape(1000, 300)[:, 1:7],
        LARGE[:0],
        np.zeros((0, 3)),
        np.array(7.0),
        np.arange(300_000, dtype="i1"),
        LARGE.astype("c16"),
        LARGE.astype("M8[s]"),
        np.array(["a", "bc"] * 100_000),
        np.zeros(100_000, [("a", "i4"), ("b", "f8")]),
        np.array([None, "a", 1.5] * 1000, object),
        np.ma.masked_array(LARGE, LARGE % 2 == 0),
    ],
    ids=lambda array: f"{array.dtype.str if not array.dtype.names else 'fields'}{array.shape}",
)
def test_arrays_come_back_writable(array, checkpoint):
    """An array comes back with its type, shape, order and content; writing to it changes nothing stored."""
    loaded = read(array, checkpoint)
    assert (type(loaded), loaded.dtype, loaded.shape) == (type(array), array.dtype, array.shape)
    assert np.array_equal(np.ma.getdata(loaded), np.ma.getdata(array))
    if array.flags.f_contiguous and array.ndim > 1 and array.size:
        assert loaded.flags.f_contiguous
    assert loaded.flags.writeable
    loaded[...] = np.zeros((), loaded.dtype) if loaded.dtype.kind != "O" else 0
    again = work("k")
    assert again is not loaded
    assert np.array_equal(np.ma.getdata(again), np.ma.getdata(array))


def test_several_arrays_in_one_result(checkpoint):
    """Several arrays, empty and read-only ones among them, come back each in its place, and apart from each other."""
    loaded = read(
        {"a": LARGE, "b": [MIDDLE, SMALL, LARGE[:0]], "c": (frozen(MIDDLE), b"x" * 100_000, LARGE)}, checkpoint
    )
    assert np.array_equal(loaded["a"], LARGE)
    assert [np.array_equal(*pair) for pair in zip(loaded["b"], [MIDDLE, SMALL, LARGE[:0]], strict=True)] == [
        True
    ] * 3
    assert np.array_equal(loaded["c"][0], MIDDLE)
    assert loaded["c"][1] == b"x" * 100_000
    assert loaded["a"] is loaded["c"][2]  # one array that occurs twice is one array
    loaded["b"][0][:] = -1
    assert np.array_equal(loaded["c"][0], MIDDLE)


def test_read_only_arrays_stay_what_they_were(checkpoint):
    """A read-only array comes back with its content."""
    assert np.array_equal(read(frozen(LARGE), checkpoint), LARGE)


@pytest.mark.parametrize("size", [1, 70_000, 2_000_000])
def test_buffers_outside_the_pickle(size, checkpoint):
    """Bytes, bytearrays and pickle buffers of all sizes come back in their types."""
    result = [b"a" * size, bytearray(b"b" * size), bytearray(), np.frombuffer(b"c" * size, "u1")]
    loaded = read(result, checkpoint)
    assert [type(part) for part in loaded] == [bytes, bytearray, bytearray, np.ndarray]
    assert [bytes(part) for part in loaded] == [bytes(part) for part in result]
    loaded[1][:1] = b"z"
    assert work("k")[1][:1] == b"b"


def test_a_result_outlives_the_checkpoint_and_its_record(checkpoint):
    """A loaded array stays whole when its record is replaced or cleared and the checkpoint is closed."""
    loaded = read(LARGE.copy(), checkpoint)
    results["k"] = LARGE + 1
    work.rerun("k")
    newer = work("k")
    checkpoint.clear()
    checkpoint.close()
    assert np.array_equal(loaded, LARGE)
    assert np.array_equal(newer, LARGE + 1)


def test_frames_come_back(checkpoint):
    """Data frames of pandas and polars come back equal."""
    frame = pd.DataFrame({"x": MIDDLE, "y": "text", "z": pd.Categorical(["a", "b"] * 10_000)})
    loaded = read([frame, pl.from_pandas(frame[["x"]])], checkpoint)
    pd.testing.assert_frame_equal(loaded[0], frame)
    assert loaded[1].equals(pl.from_pandas(frame[["x"]]))
    loaded[0].loc[0, "x"] = -1.0
    pd.testing.assert_frame_equal(work("k")[0], frame)


def test_many_large_results_at_once(checkpoint):
    """More large results than a process has file descriptors to spare can be in use at once."""
    many = checkpoint.config.compression is None and checkpoint.name == "step"
    for number in range(270 if many else 3):
        results[number] = np.full(132_000, number, "f8")
        work(number)
        del results[number]
    loaded = [work(number) for number in range(270 if many else 3)]
    assert [array.sum() for array in loaded] == [132_000 * number for number in range(len(loaded))]


def test_few_descriptors(checkpoint):
    """Where a process may open few files, as on macOS, large results that are in use leave it most of them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = os.open(os.devnull, os.O_RDONLY)
    os.close(there)
    least = 2 * max(there, 32)
    many = least if checkpoint.config.compression is None and checkpoint.name == "step" else 3
    for number in range(many):
        results[number] = np.full(132_000, number, "f8")
        work(number)
        del results[number]
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, before[1]))
    try:
        loaded = [work(number) for number in range(many)]
        with open(os.devnull):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [array[0] for array in loaded] == list(range(many))


def test_a_copy_of_a_loaded_array_pickles(checkpoint):
    """A loaded array is an array like any other: it pickles, and travels."""
    assert np.array_equal(pickle.loads(pickle.dumps(read(LARGE, checkpoint), 5)), LARGE)
