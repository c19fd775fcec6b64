"""Arrays and data frames are identified by their content: every detail that a function can see, and nothing else."""

import io
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skipstone import Checkpoint, UnstableIdError, cache_with_checkpoint
from skipstone.stores import MemoryStore


@cache_with_checkpoint(id="value", name="work")
def work(value):
    """Be called with an id."""


def key_of(value):
    """Return the key of the call with this id."""
    checkpoint = Checkpoint(MemoryStore())
    checkpoint.load_or_run(work, value, value)
    return next(checkpoint.records()).key


def shared(values):
    """Return those of these values that share a key with another."""
    seen = {}
    for value in values:
        seen.setdefault(key_of(value), []).append(value)
    return [same for same in seen.values() if len(same) > 1]


PAIR = [("a", "i4"), ("b", "f8")]
MASKED = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
LARGE = np.arange(10_000)

ARRAYS = [
    [1, 2], (1, 2), b"\1\0", 1, 1.0,
    *(np.array([1, 2], kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u8", "f2", "f4", "f8", "c8", "c16", ">i4", ">f8", "?")),
    *(np.array(["1", "2"], kind) for kind in ("U1", "U2", "S1", "S2", object, np.dtypes.StringDType())),
    np.array([1, 2], object), np.array([1.0, 2.0], object), np.array(["1", 2], object), np.array([[1, 2], None], object),
    *(np.array([1, 2], f"{kind}8[{unit}]") for kind in "mM" for unit in ("s", "ms", "D")),
    np.array([[1], [2]]), np.array([[1, 2]]), np.array([[[1, 2]]]), np.array([2, 1]), np.array([1, 2, 0]), np.array([1]),
    *(np.zeros(shape) for shape in ((0,), (0, 2), (2, 0), (2,), (1, 2), (2, 1), (2, 2))), np.zeros(0, "i4"), np.zeros(0, object),
    np.array(1), np.array([1.0]), np.int64(1), np.int32(1), np.float64(1), np.float32(1), np.bool_(1), np.str_("1"),
    np.bytes_(b"1"), np.datetime64(1, "s"), np.datetime64(1, "ms"), np.array("1"), np.array(b"1"), np.array(1, object),
    np.array([0.0]), np.array([-0.0]), np.array([np.nan]), np.array([np.inf]), np.float64("nan"), np.array(["NaT"], "M8[s]"),
    np.zeros(2, PAIR), np.zeros(2, [("a", "i4"), ("c", "f8")]), np.zeros(2, [("b", "f8"), ("a", "i4")]), np.ones(2, PAIR),
    np.zeros(2, [("a", "i4", (2,)), ("b", "f8")]), np.zeros(2, [("a", PAIR), ("b", "f8")]), np.zeros((), PAIR), np.zeros((), PAIR)[()],
    np.array([(1, "x")], [("a", "i4"), ("b", object)]), np.array([(1, "y")], [("a", "i4"), ("b", object)]),
    MASKED, MASKED.data, np.ma.masked_array([1, 2, 3], mask=[True, False, False]), np.ma.masked_array([1, 2, 3]),
    np.array([[1, 2], [3, 4]]), np.array([[1, 3], [2, 4]]),
    np.zeros(2, PAIR).view(np.recarray), np.dtype("i4"), np.dtype("i8"), np.dtype(PAIR), np.int32, np.ndarray,
    LARGE, LARGE + 1, LARGE[::-1], LARGE.reshape(100, 100), LARGE.reshape(100, 100).T, LARGE.astype("f8"), LARGE.astype(object),
    LARGE.tolist(), LARGE.tobytes(),
]  # fmt: skip


def test_different_arrays_have_different_keys():
    """Data type, byte order, shape, kind of array and every element count; an array is no scalar and no list."""
    assert shared(ARRAYS) == []


def in_memory_map(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    return np.load(tmp_path / "a.npy", mmap_mode="r")


@pytest.mark.parametrize("array", [LARGE.reshape(100, 100), np.arange(12.0).reshape(3, 4), np.zeros((3, 2), PAIR)])
def test_layout_in_memory_does_not_count(array, tmp_path):
    """Order, strides, offsets, writability and memory maps do not count: equal content has one key."""
    wide = np.zeros((array.shape[0] * 2, array.shape[1] * 3), array.dtype)
    wide[1::2, ::3] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    same = [
        array.copy(),
        np.asfortranarray(array),
        wide[1::2, ::3],
        frozen,
        array[::-1][::-1],
        np.ascontiguousarray(array.T).T,
        np.lib.format.read_array(io.BytesIO(npy(array))),
        in_memory_map(array, tmp_path),
    ]
    assert {key_of(each) for each in same} == {key_of(array)}


def npy(array):
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def test_object_arrays_go_by_their_items():
    """Arrays of objects are identified by what the objects are, not where they lie."""
    assert key_of(np.array(["a" * 3, None, 2.5], object)) == key_of(np.array(["aaa", None, 5 / 2], object))
    with pytest.raises(UnstableIdError):
        key_of(np.array([object()], object))


def test_bytes_between_the_fields_do_not_count():
    """What lies in the padding of a structure or number is no content: equal arrays have one key."""
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    clean = np.zeros(3, aligned)
    dirty = np.frombuffer(b"\xff" * clean.nbytes, aligned).copy()
    dirty["a"], dirty["b"] = 0, 0
    assert (clean == dirty).all()
    assert key_of(clean) == key_of(dirty)
    assert key_of(clean[0]) == key_of(dirty[0])


def test_bytes_beside_an_extended_number_do_not_count():
    """Where a long double is stored in more bytes than it has, the others do not count."""
    one = np.ones(1, np.longdouble)
    raw = bytearray(one.tobytes())
    raw[-1] ^= 0xFF
    other = np.frombuffer(bytes(raw), np.longdouble)
    if not (one == other).all():
        pytest.skip("long doubles have no padding here")
    assert key_of(one) == key_of(other)


def test_looking_at_a_masked_array_does_not_change_its_key():
    """A masked array has the same key before and after it was printed, sliced or copied."""
    array = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
    before = key_of(array)
    assert repr(array)
    assert array.fill_value is not None
    assert key_of(array) == before
    assert key_of(array.copy()) == before
    assert key_of(array[:]) == before


SERIES = [
    [1, 2], np.array([1, 2]), pd.Index([1, 2]), pl.Series([1, 2]), pl.Series("x", [1, 2]),
    pd.Series([1, 2]), pd.Series([2, 1]), pd.Series([1, 2], name="x"), pd.Series([1, 2], index=[1, 2]), pd.Series([1, 2], index=["a", "b"]),
    pd.Series([1, 2], index=pd.Index([0, 1], name="i")),
    *(pd.Series([1, 2], dtype=kind) for kind in ("i4", "u1", "f8", "Int64", "Float64", "str", "category", "datetime64[ns]", "datetime64[s]")),
    pd.Series([True, False]), pd.Series([True, False], dtype="boolean"), pd.Series([1, None], dtype="Int64"), pd.Series([1, None]),
    pd.Series(["a", None]), pd.Series(["a", "None"]), pd.Series(["a", "nan"]),
    pd.Series(["1", "2"], dtype="category"), pd.Series(pd.Categorical(["1", "2"], categories=["2", "1"])),
    pd.Series(pd.Categorical(["1", "2"], categories=["1", "2", "3"])), pd.Series(pd.Categorical(["1", "2"], ordered=True)),
    pd.Series(pd.to_datetime([1, 2], utc=True)), pd.Series(pd.to_datetime([1, 2], utc=True)).dt.tz_convert("Europe/Berlin"),
    pd.Series(pd.to_timedelta([1, 2], unit="s")),
    pd.Series([1, 2]).to_frame(), pd.Series([1, 2]).to_frame("x"), pl.DataFrame({"x": [1, 2]}), pd.Index([1, 2], name="x"),
    pd.MultiIndex.from_tuples([(1, 2)]), pd.MultiIndex.from_tuples([(2, 1)]), pd.MultiIndex.from_tuples([(1, 2)], names=["a", "b"]),
    *(pd.MultiIndex.from_tuples([pair], names=[1, 2]) for pair in ((1, 2), (1, 3), (2, 2))),
    *(pd.MultiIndex.from_tuples([pair], names=[1, 0]) for pair in ((1, 2), (1, 3), (2, 1))),
    pd.Timestamp(1), pd.Timestamp(2), pd.Timestamp(1, tz="UTC"), pd.Timedelta(1), pd.Timedelta(2),
]  # fmt: skip


def test_different_series_have_different_keys():
    """Values, types, names, indexes, categories and time zones of series count, and so does the library."""
    assert shared(SERIES) == []


A = {"x": [1, 2], "y": ["a", "b"]}
FRAMES = [
    A, list(A.items()),
    pd.DataFrame(A), pd.DataFrame(A)[["y", "x"]], pd.DataFrame(A)[::-1], pd.DataFrame(A, index=[1, 2]), pd.DataFrame(A).set_index("x"),
    pd.DataFrame(A).rename_axis("i"), pd.DataFrame(A).rename_axis("c", axis=1), pd.DataFrame(A).rename(columns={"x": "z"}),
    pd.DataFrame(A).astype({"x": "i4"}), pd.DataFrame(A).astype({"x": str}), pd.DataFrame(A).astype({"y": "category"}),
    pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [1, 3]}), pd.DataFrame({0: [1, 2]}), pd.DataFrame({"0": [1, 2]}),
    pd.DataFrame([[1, 2]], columns=["x", "x"]), pd.DataFrame([[2, 1]], columns=["x", "x"]), pd.DataFrame(), pd.DataFrame(index=[1]),
    *(pd.DataFrame([[1, number, 3]]).set_index([1, 2]) for number in (4, 5)),
    *(pd.DataFrame([[1, 4, number]]).set_index([1, 2]) for number in (5, 6)),
    pd.DataFrame(columns=["x"]), pd.DataFrame({"x": [[1], [2]]}), pd.DataFrame({"x": [(1,), (2,)]}),
    pl.DataFrame(A), pl.DataFrame(A)[["y", "x"]], pl.DataFrame(A)[::-1], pl.DataFrame(A).rename({"x": "z"}), pl.DataFrame(),
    pl.DataFrame({"x": [1, 2]}), *(pl.DataFrame({"x": [1, 2]}, {"x": kind}) for kind in (pl.Int32, pl.UInt8, pl.Float32, pl.Float64)),
    pl.DataFrame({"x": ["1", "2"]}), pl.DataFrame({"x": ["1", "2"]}, {"x": pl.Categorical}), pl.DataFrame({"x": [b"1", b"2"]}),
    pl.DataFrame({"x": ["1", "2"]}, {"x": pl.Enum(["1", "2"])}), pl.DataFrame({"x": ["1", "2"]}, {"x": pl.Enum(["2", "1"])}),
    pl.DataFrame({"x": [1.0, None]}), pl.DataFrame({"x": [1.0, float("nan")]}), pl.DataFrame({"x": [1, None]}),
    pl.DataFrame({"x": [[1.0], [None]]}), pl.DataFrame({"x": [[1.0], [float("nan")]]}), pl.DataFrame({"x": [None, None]}),
    pl.DataFrame({"x": [[1, 2]]}), pl.DataFrame({"x": [{"a": 1}]}), pl.DataFrame({"x": [{"b": 1}]}),
    pl.DataFrame({"x": [1, 2]}, {"x": pl.Datetime("us")}), pl.DataFrame({"x": [1, 2]}, {"x": pl.Datetime("ms")}),
    pl.DataFrame({"x": [1, 2]}, {"x": pl.Datetime("us", "UTC")}), pl.DataFrame({"x": [1, 2]}, {"x": pl.Datetime("us", "Europe/Berlin")}),
    pl.DataFrame({"x": [1, 2]}, {"x": pl.Duration("us")}), pl.DataFrame({"x": [1, 2]}, {"x": pl.Date}),
    pl.DataFrame({"x": [1, 2]}, {"x": pl.Datetime("ns")}), pl.DataFrame({"x": [1, 3]}, {"x": pl.Datetime("ns")}),
]  # fmt: skip


def test_different_frames_have_different_keys():
    """Columns, their order, names and types, the index and every cell count; null is not NaN in polars."""
    assert shared(FRAMES) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.DataFrame(A), pd.DataFrame(A).copy()),
        (pd.DataFrame(A), pd.DataFrame({"z": 0, **A}).drop(columns="z")),
        (pd.DataFrame(A), pd.concat([pd.DataFrame(A)[:1], pd.DataFrame(A)[1:]])),
        (pd.DataFrame(A), pd.DataFrame(A).astype({"y": object})),
        (pd.DataFrame(A), pd.DataFrame(A).astype({"y": "string"})),
        (pd.DataFrame({"x": LARGE}), pd.DataFrame({"x": np.repeat(LARGE, 2)[::2]})),
        (pd.Series([1, 2, 3])[1:], pd.Series([2, 3], index=[1, 2])),
        (pd.Series(["a", None], dtype=object), pd.Series(["a", float("nan")], dtype="str")),
        (pl.DataFrame(A), pl.DataFrame(A).clone()),
        (pl.DataFrame(A), pl.concat([pl.DataFrame(A)[:1], pl.DataFrame(A)[1:]], rechunk=False)),
        (pl.DataFrame({"x": [1, 2, 3]})[1:], pl.DataFrame({"x": [2, 3]})),
        (pl.Series([1.0, float("nan")]), pl.Series([1.0, -float("nan")])),
    ],
)
def test_equal_frames_have_equal_keys(one, other):
    """How a frame came about, is chunked, or stores its texts does not count."""
    assert key_of(one) == key_of(other)


def test_a_copy_of_each_has_its_key():
    """Every array, series and frame has the key of a copy that travelled to another process."""
    changed = []
    for value in [*ARRAYS, *SERIES, *FRAMES]:
        copy = pickle.loads(pickle.dumps(value))
        # numpy pickles in native byte order
        swapped = getattr(copy, "dtype", None) != getattr(value, "dtype", None)
        if not swapped and key_of(copy) != key_of(value):
            changed.append(value)
    assert changed == []
