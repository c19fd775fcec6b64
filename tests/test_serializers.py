"""A result comes back from its serializer as it was, or is refused; records of all serializers stay readable."""

import dataclasses
import datetime as dt
import enum
import typing
import zoneinfo

import msgspec
import numpy as np
import pytest

from skipstone import (
    Checkpoint,
    ConfigError,
    LoadWarning,
    SaveWarning,
    Serializer,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone._encoding._serializers import SERIALIZERS, PickleSerializer, serializer_named
from skipstone.stores import MemoryStore
from skipstone.testing import SerializerConformance

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 5, 6, 12)  # noqa: DTZ001 - without a time zone, on purpose


@dataclasses.dataclass
class Document:
    name: str
    pages: list[int]
    at: dt.datetime | None = None


class Facts(typing.TypedDict):
    size: int
    tags: tuple[str, ...]


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


results = {}


@cache_with_checkpoint(id="name", name="untyped", on_code_change="ignore")
def untyped(name):
    return results[name]


def typed(kind):
    """Return a decorated function with this return annotation."""

    def work(name):
        return results[name]

    work.__annotations__["return"] = kind
    return cache_with_checkpoint(id="name", name="typed")(work)


@dataclasses.dataclass
class Quiet:
    content: object = dataclasses.field(repr=False)


class Struct(msgspec.Struct):
    content: object

    def __repr__(self):
        return "Struct"


def noted(document):
    """Return a document that has more than its class declares."""
    document.note = 1
    return document


def using(serializer, **settings):
    return use_checkpoint(Checkpoint(MemoryStore(), {"serializer": serializer, **settings}))


def same(one, other):
    return type(one) is type(other) and repr(one) == repr(other)


class BuiltIn(SerializerConformance):
    @pytest.fixture(autouse=True, params=SERIALIZERS)
    def chosen(self, request):
        self.name = request.param

    def make_serializer(self):
        return type(serializer_named(self.name))()


class TestPlain(BuiltIn):
    """Plain data, in every serializer."""


class TestTyped(BuiltIn):
    """Data of the type that the function is annotated with."""

    result_type = list[Document]
    results = ([], [Document("a", [1, 2], NOON), Document("b", [])])


class TestArrays(SerializerConformance):
    """Arrays, which travel outside of the pickle."""

    results = (np.arange(100_000), [np.zeros((3, 4)), "text", np.ones(70_000, dtype="float32")])

    def make_serializer(self):
        return PickleSerializer()

    def is_same(self, result, loaded):
        arrays = result if isinstance(result, list) else [result]
        others = loaded if isinstance(result, list) else [loaded]
        return all(map(np.array_equal, arrays, others)) and len(arrays) == len(others)


class TestOfSomebodyElse(SerializerConformance):
    """One of somebody else."""

    results = (b"", b"stone", bytes(range(256)))

    def make_serializer(self):
        return Bytes()


class Bytes:
    name = "bytes"

    def dumps(self, value, result_type):
        if not isinstance(value, bytes):
            raise TypeError(f"it is a {type(value).__name__}, and no bytes")
        return [value[:1], value[1:]]

    def loads(self, payload, result_type):
        return bytes(payload)


PLAIN = [None, True, 0, -1, 2**63 - 1, 1.5, -0.0, "", "é\0😀", [], [1, [2.0, "a", None]], {}, {"a": {"b": [1]}}]


@pytest.mark.parametrize("serializer", ["pickle", "msgpack", "json"])
@pytest.mark.parametrize("result", [*PLAIN, float("nan"), [float("nan")], float("inf")], ids=repr)
def test_plain_data_survives_every_serializer(serializer, result):
    """Plain data comes back from each serializer as it was, in value and type, or is not kept."""
    results["k"] = result
    with using(serializer):
        if serializer == "json" and repr(result) in ("nan", "inf", "[nan]"):
            with pytest.warns(SaveWarning, match="or with other content"):
                untyped("k")
            return
        assert untyped("k") is result
        assert same(untyped("k"), result)
        assert [record.encoding for record in get_checkpoint().records()] == [serializer]
        assert get_checkpoint().stats().hits == 1


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (Document, Document("a", [1, 2], NOON)),
        (list[Document], [Document("a", [], None), Document("b", [1], NOON.replace(tzinfo=dt.UTC))]),
        (Facts, {"size": 1, "tags": ("a", "b")}),
        (dict[str, Facts], {"a": {"size": 1, "tags": ()}}),
        (tuple[int, ...], (1, 2, 3)),
        (set[str], {"a"}),
        (frozenset[int], frozenset({1})),
        (dict[int, str], {1: "a", 2: "b"}),
        (dt.datetime, NOON),
        (dt.datetime, NOON.replace(tzinfo=dt.UTC)),
        (list[dt.date], [NOON.date()]),
        (bytes, b"\0\xff"),
        (Color, Color.RED),
        (Document | None, None),
        (typing.NamedTuple("Pair", [("a", int), ("b", str)]), None),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_annotated_results_come_back_in_their_types(serializer, kind, result):
    """With a return annotation, msgpack and json give back dataclasses, TypedDicts, tuples, dates, sets, enums."""
    if isinstance(kind, type) and issubclass(kind, tuple) and result is None:
        result = kind(1, "a")
    results["k"] = result
    with using(serializer):
        work = typed(kind)
        assert work("k") == result
        assert same(work("k"), result)
        assert get_checkpoint().stats().hits == 1


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_the_order_of_a_set_does_not_matter(serializer):
    """A set is kept, in whatever order its content lies in memory."""
    few = set(range(1000))
    for number in [*few]:
        if number not in (1, 16):
            few.discard(number)
    assert list(few) != list({1, 16})
    results["k"] = few
    with using(serializer):
        work = typed(set[int])
        assert [work("k"), work("k")] == [few, few]
        assert get_checkpoint().stats().hits == 1


CAN_DO = [("json", repr(2**64)), ("msgpack", "{(1, 2): 3}")]  # of what the other format cannot hold


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (None, (1, 2)),
        (None, [(1, 2)]),
        (None, {1, 2}),
        (None, Document("a", [])),
        (None, {"document": Document("a", [])}),
        (None, NOON),
        (None, [NOON]),
        (None, Color.RED),
        (None, Level.LOW),
        (None, [Level.LOW]),
        (None, {(1, 2): 3}),
        (None, object()),
        (None, 2**64),
        (int, "not an int"),
        (list[float], ["1"]),
        (list[int], [1.0]),
        (list[str], [1]),
        (Document, {"name": "a", "pages": []}),
        (Document, Document("a", ["not an int"])),
        (dt.datetime, NOON.replace(tzinfo=BERLIN)),
        (list[dt.datetime], [NOON.replace(tzinfo=BERLIN)]),
        (Quiet, Quiet((1, 2))),
        (list[Quiet], [Quiet({1})]),
        (Quiet, Quiet([Document("a", [])])),
        (Document, noted(Document("a", []))),
        (Struct, Struct((1,))),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_would_come_back_changed_is_not_kept(serializer, kind, result):
    """A result that would come back in another type or with other content is returned, told, and not kept."""
    results["k"] = result
    with using(serializer):
        work = untyped if kind is None else typed(kind)
        if (serializer, repr(result)) in CAN_DO:
            assert same(work("k"), result)
        else:
            with pytest.warns(SaveWarning, match=f"cannot be serialized by {serializer}: "):
                assert work("k") is result
            assert not work.is_done("k")
        assert same(work("k"), result)


def test_the_refusal_is_told_whole():
    """The message says what would come back, and that an annotation helps."""
    results["k"] = (1, 2)
    with using("msgpack"), pytest.warns(SaveWarning) as caught:
        untyped("k")
    assert str(caught[0].message) == (
        "cannot keep the result of untyped for id 'k': result (of type tuple) cannot be serialized by msgpack: "
        "TypeError: it would come back from msgpack as list instead of tuple, or with other content: annotate the "
        "function's return type, or use the pickle serializer; return plain data to have it kept. "
        "The result was returned"
    )


class UpperCase:
    """A user's serializer: keeps texts in upper case, and counts."""

    name = "upper"

    def __init__(self):
        self.used = []

    def dumps(self, value, result_type, /):
        self.used.append(result_type)
        if not isinstance(value, str):
            raise ValueError("texts only")
        return [value.upper().encode(), b"!"]

    def loads(self, payload, result_type, /):
        return bytes(payload).decode()


def test_a_users_serializer():
    """An object with `name`, `dumps` and `loads` is a serializer; it is given the annotation, and may refuse."""
    serializer = UpperCase()
    assert isinstance(serializer, Serializer)
    results.update(k="text", number=3)
    with using(serializer):
        assert [untyped("k"), untyped("k"), typed(str)("k")] == ["text", "TEXT!", "text"]
        assert serializer.used == [typing.Any, str]
        with pytest.warns(
            SaveWarning, match=r"result \(of type int\) cannot be serialized by upper: ValueError: texts only"
        ):
            assert untyped("number") == 3
        assert [record.encoding for record in get_checkpoint().records()] == ["upper", "upper"]


@pytest.mark.parametrize("serializer", [UpperCase, "yaml", 3, type("Half", (), {"name": "half", "dumps": len})()])
def test_what_is_no_serializer_is_refused(serializer):
    """Something that lacks a method or is an unknown name is a config error."""
    if serializer is UpperCase:  # the class in place of an object of it
        serializer = type("NoName", (), {"dumps": len, "loads": len})
    with pytest.raises(
        ConfigError, match=r"expected 'pickle', 'msgpack', 'json' or an object with name, dumps and loads$"
    ):
        open_checkpoint("step", {"serializer": serializer})


def test_a_record_of_an_unknown_serializer_is_told_and_made_anew():
    """Without the serializer that made it, a record cannot be loaded: a warning, and the call runs again."""
    store = MemoryStore()
    results["k"] = "text"
    with use_checkpoint(Checkpoint(store, {"serializer": UpperCase()})):
        untyped("k")
    with use_checkpoint(Checkpoint(store)), pytest.warns(LoadWarning) as caught:
        assert untyped("k") == "text"
    assert str(caught[0].message) == (
        "the stored result of untyped for id 'k' cannot be loaded (it was saved by the serializer 'upper': pass that one "
        "as the config's `serializer`): the call runs again and its result replaces it"
    )
    with use_checkpoint(Checkpoint(store)):
        assert untyped("k") == "text"
        assert [record.encoding for record in get_checkpoint().records()] == ["pickle"]


CHANGES = [
    {"serializer": "pickle"},
    {"serializer": "json"},
    {"serializer": "msgpack", "compression": "zstd"},
    {"serializer": "pickle", "compression": "zstd"},
    {"serializer": "json", "compression": "zstd"},
]


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_change_of_serializer_loses_nothing(tmp_path, size):
    """Each record says how it was made: after a change of serializer or compression, old results are still hits."""
    for number, settings in enumerate(CHANGES):
        with (
            open_checkpoint("step", {"artifacts_dir": tmp_path, **settings}) as checkpoint,
            use_checkpoint(checkpoint),
        ):
            results.clear()
            results[number] = ["x" * size, number]
            for before in range(number + 1):
                assert untyped(before) == ["x" * size, before]
            assert (checkpoint.stats().hits, checkpoint.stats().misses) == (number, 1)
            encodings = [record.encoding for record in checkpoint.records()]
    assert encodings[:2] == ["pickle", "json"]
    assert size == 10 or encodings[2:] == ["msgpack+zstd", "pickle+zstd", "json+zstd"]


def test_compression_makes_it_smaller(tmp_path):
    """With zstd, repetitive results take a fraction of their size; tiny ones are left as they are."""
    results.clear()
    results.update(large=["many words"] * 10_000, small="a")
    sizes = {}
    for compression in (None, "zstd"):
        with using("json", compression=compression):
            for name, result in results.items():
                assert untyped(name) == untyped(name) == result
            for record in get_checkpoint().records():
                sizes[record.call_id, compression] = record.size_bytes
    assert sizes["large", "zstd"] < sizes["large", None] / 20
    assert sizes["small", "zstd"] == sizes["small", None]


class Inner:
    """A result that calls another function whose result is stored while it is pickled itself; or that cannot be pickled."""

    def __init__(self, called):
        self.called = called

    def __reduce__(self):
        if self.called is None:
            raise ValueError("not today")
        return str, (get_checkpoint().load_or_run(list, self.called, self.called),)


def test_pickles_within_pickles(memory):
    """What is stored while a result is pickled is stored as it is, and so is what comes before and after; an error spoils none."""
    results["outer"] = [shared := ["a"], Inner("called"), shared]
    assert untyped("outer")[0] == ["a"]
    results["bad"] = [shared, Inner(None)]
    with pytest.warns(SaveWarning, match="not today"):
        untyped("bad")
    results["later"] = [shared, shared]
    untyped("later")
    results.clear()
    assert untyped("outer") == [["a"], str(list("called")), ["a"]]
    assert untyped("later") == [["a"], ["a"]]
    assert get_checkpoint().load_or_run(list, "called", "other") == list("called")
