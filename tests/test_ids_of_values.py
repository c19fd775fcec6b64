"""Two ids are one call if and only if they are equal and of the same types, in every process and version."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import math
import pathlib
import pickle
import re
import typing
import uuid
import zoneinfo
from array import array

import attrs
import hypothesis
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import strategies

from skipstone import Checkpoint, UnstableIdError, cache_with_checkpoint
from skipstone.stores import MemoryStore


@cache_with_checkpoint(id="value", name="golden")
def work(value):
    """Be called with an id."""


def key_of(value):
    """Return the key of the call with this id."""
    checkpoint = Checkpoint(MemoryStore())
    checkpoint.load_or_run(work, value, value)
    return next(checkpoint.records()).key


def tagged(value):
    """Return a text that is equal for equal values of the same types, made in another way than skipstone's."""
    kind = type(value).__name__
    if isinstance(value, float):
        return f"{kind} {'nan' if math.isnan(value) else value.hex()}"
    if isinstance(value, (list, tuple)):
        return f"{kind}({', '.join(map(tagged, value))})"
    if isinstance(value, dict):
        return f"{kind}({', '.join(sorted(f'{tagged(name)}: {tagged(item)}' for name, item in value.items()))})"
    if isinstance(value, frozenset):
        return f"{kind}({', '.join(sorted(map(tagged, value)))})"
    return f"{kind} {value!a}"


FEW = strategies.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        0.0,
        -0.0,
        1.0,
        float("nan"),
        -float("nan"),
        "",
        "1",
        "a",
        "é",
        "e\u0301",
        b"",
        b"1",
    ]
)
TEXTS = strategies.text(strategies.characters(exclude_categories=()), max_size=5)
LEAVES = FEW | strategies.integers() | strategies.floats() | TEXTS | strategies.binary(max_size=5)


HASHABLE = strategies.deferred(
    lambda: (
        LEAVES | strategies.lists(HASHABLE, max_size=3).map(tuple) | strategies.frozensets(HASHABLE, max_size=3)
    )
)
VALUES = strategies.deferred(
    lambda: (
        HASHABLE
        | strategies.lists(VALUES, max_size=3)
        | strategies.lists(VALUES, max_size=3).map(tuple)
        | strategies.dictionaries(HASHABLE, VALUES, max_size=3)
    )
)
SETTINGS = hypothesis.settings(deadline=None, max_examples=300, database=None)


@SETTINGS
@hypothesis.given(VALUES, VALUES)
def test_two_values_share_a_key_only_if_they_are_the_same(one, other):
    """Two values share a key if and only if an independent comparison of content and types finds them the same."""
    assert (key_of(one) == key_of(other)) == (tagged(one) == tagged(other))


@SETTINGS
@hypothesis.given(
    strategies.lists(FEW | FEW.map(lambda x: (x,)) | FEW.map(lambda x: [x]), min_size=2, max_size=3),
    strategies.data(),
)
def test_close_values_share_a_key_only_if_they_are_the_same(items, data):
    """Values of few and confusable parts, in containers that nest alike, are told apart as well."""
    other = data.draw(strategies.permutations(items))
    for one, two in (
        (items, other),
        (tuple(items), other),
        (items[:-1], other),
        ([items[:-1], items[-1:]], [other]),
    ):
        assert (key_of(one) == key_of(two)) == (tagged(one) == tagged(two))


def rebuilt(value):
    if isinstance(value, dict):
        return {rebuilt(name): rebuilt(item) for name, item in reversed(value.items())}
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(rebuilt(item) for item in value)
    return pickle.loads(pickle.dumps(value))


@SETTINGS
@hypothesis.given(VALUES)
def test_a_copy_has_the_same_key(value):
    """A copy has its original's key, in whatever order its dictionaries were filled."""
    assert key_of(rebuilt(value)) == key_of(value)


class Point(typing.NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Data:
    x: object
    y: object = 2
    seen: object = dataclasses.field(default=None, compare=False)
    total: typing.ClassVar[int] = 0


@dataclasses.dataclass(frozen=True, slots=True)
class OtherData:
    x: object
    y: object = 2


class DerivedData(Data):
    pass


class Noted(Data):
    """Has more than its class declares."""

    def __init__(self, x, note):
        super().__init__(x)
        self.note, self._lock = note, object()

    @functools.cached_property
    def shown(self):
        return object()


@dataclasses.dataclass
class Row(dict):
    x: object


class Tags(list):
    __slots__ = ("language",)


class NotedPoint(Point):
    pass


def having(value, **attributes):
    """Return a value after it was given attributes."""
    for name, item in attributes.items():
        setattr(value, name, item)
    return value


def filled(value, content):
    """Return a dictionary after it was filled."""
    value.update(content)
    return value


def shown(value):
    """Return a value of which a property was asked for."""
    assert value.shown
    return value


@attrs.define
class Attrs:
    x: object
    y: object = 2
    seen: object = attrs.field(default=None, eq=False)


class Model(pydantic.BaseModel, extra="allow"):
    x: int
    y: int = 2
    _seen: object = pydantic.PrivateAttr(default=None)


class Struct(msgspec.Struct):
    x: object
    y: object = 2


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    RED = "RED"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):  # noqa: SLOT000 - as users write them
    pass


class Names(dict):
    pass


class Client:
    """Has an id of its own."""

    def __init__(self, url):
        self.url = url

    def __skipstone_id__(self):
        return self.url


class DerivedClient(Client):
    pass


UTC, PLUS_2 = dt.UTC, dt.timezone(dt.timedelta(hours=2))
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 10, 27, 2, 30)  # noqa: DTZ001 - without a time zone, on purpose

# Each stands for something else than all others.
DIFFERENT = [
    1, "1", 1.0, True, b"1", ("1",), ["1"], {"1"}, frozenset({"1"}), {"1": None}, ("1", None), bytearray(b"1"),
    memoryview(b"1"), memoryview(b"1").cast("b"), memoryview(array("i", [1])), memoryview(bytes(array("i", [1]))),
    memoryview(b"1234").cast("B", (2, 2)), memoryview(b"1234").cast("B", (1, 4)), memoryview(b"1234"), 1 + 0j, Text("1"), decimal.Decimal(1), decimal.Decimal("1.0"), fractions.Fraction(1), Number.ONE,
    None, (), [], {}, set(), frozenset(), "", b"", ..., ((),), ([],), [()], [[]], {(): ()}, "None", "()",
    (1, 2), [1, 2], (1, (2,)), ((1, 2),), (12,), ("12",), {1, 2}, {1: 2}, ((1, 2), ()), range(1, 2), slice(1, 2), range(1, 3, 5),
    0.0, -0.0, 0, False, complex(0, 0), complex(0, -0.0), float("inf"), float("nan"), "nan", -1, 2**64, 2.0**64, -(2**64),
    "a", "A", "a ", "a\0", "é", "e\u0301", "\ud800", "\udfff", "\ufffd", b"\xc3\xa9", ("a", "b"), ("ab",), "ab", ("a", "b", ""),
    {"a": 1, "b": 2}, {"a": 2, "b": 1}, collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1),
    collections.Counter(a=1, b=2), Names(a=1, b=2), [("a", 1), ("b", 2)],
    Point(1, 2), Data(1), Data(2), Data("1"), OtherData(1), DerivedData(1), Attrs(1), Model(x=1), Model(x=1, z=3), Struct(1),
    having(Data(1), z=1), having(Data(1), z=2), Noted(1, 1), Noted(1, 2), Row(1), filled(Row(1), {"a": 1}), filled(Row(1), {"a": 2}),
    having(NotedPoint(1, 2), z=1), having(NotedPoint(1, 2), z=2), having(Tags(), language=1), having(Tags(), language=2), Tags(),
    Color.RED, Color.GREEN, Word.RED, "RED", Access.READ, Access.WRITE, Access.READ | Access.WRITE, Access(0),
    Color, Number, Data, int, "int", len, key_of, tagged,
    pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("a/b"), "a/b", pathlib.PurePosixPath("a"), pathlib.PurePosixPath("/a"),
    NOON, NOON.date(), NOON.time(), NOON.isoformat(), NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=PLUS_2),
    NOON.replace(hour=4, tzinfo=PLUS_2), NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=BERLIN, fold=1),
    NOON.replace(microsecond=1), dt.timedelta(1), dt.timedelta(0, 1), dt.timedelta(-1), UTC, PLUS_2, BERLIN,
    uuid.UUID(int=1), uuid.UUID(int=2), str(uuid.UUID(int=1)), re.compile("a"), re.compile(b"a"), re.compile("a", re.IGNORECASE),
    Client("a"), DerivedClient("a"), Client("b"), Client(("a",)),
]  # fmt: skip


def test_a_view_is_its_content_in_order():
    """However the bytes of a view lie in memory, equal views have one key."""
    assert key_of(memoryview(b"a-b-c-")[::2]) == key_of(memoryview(b"abc"))
    rows = np.arange(6, dtype="u1").reshape(2, 3)
    assert key_of(memoryview(np.asfortranarray(rows))) == key_of(memoryview(rows))
    assert key_of(memoryview(rows.T)) != key_of(memoryview(rows))


def test_different_values_have_different_keys():
    """Every kind of value, and close values of one kind, have keys of their own."""
    seen = {}
    for value in DIFFERENT:
        seen.setdefault(key_of(value), []).append(value)
    assert [same for same in seen.values() if len(same) > 1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Data(1, seen=1), Data(1, seen=2)),
        (Noted(1, 2), Noted(1, 2)),
        (Noted(1, 2), shown(Noted(1, 2))),
        (having(Text("a"), b=1), having(Text("a"), b=1)),
        (Attrs(1, seen=1), Attrs(1, 2, seen=2)),
        (Model(x=1), Model.model_construct(_fields_set=None, x=1, y=2)),
        (Data([{1: Data({"b", "a"})}]), Data([{1: Data({"a", "b"})}])),
        (pathlib.Path("a/b"), pathlib.PurePosixPath("a//b/")),
        (Access.READ | Access.WRITE, Access(3)),
        (DIFFERENT, DIFFERENT[:]),
        (set(range(100)), set(range(99, -1, -1))),
        ({i: str(i) for i in range(100)}, {i: str(i) for i in range(99, -1, -1)}),
        (Client("a"), Client("a")),
        (float("nan"), -float("nan")),
        (NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Berlin"))),
    ],
)
def test_equal_values_have_equal_keys(one, other):
    """Values that are equal for their type have one key, whatever fields they leave out of the comparison."""
    assert key_of(one) == key_of(other)


def doubled(function):
    """Return a function of the same name."""
    return functools.wraps(function)(lambda *args: 2 * function(*args))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        doubled(tagged),
        pydantic.create_model("Model", x=(int, ...)),
        type("Data", (), {}),
        having(Data(1), z=object()),
        lambda: 1,
        iter([]),
        (x for x in ()),
        {}.get,
        [1].append,
        Client("a").__skipstone_id__,
        ipaddress,
        Exception("a"),
    ],
)
def test_values_without_stable_content_are_refused(value):
    """What has no content that is the same in every process, such as a bound method, is refused, never guessed."""
    with pytest.raises(UnstableIdError, match=r"^cannot make the id of a call of golden: "):
        key_of(value)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, "59b94f3a832b6a8b52a20e6b551d078c"),
        (True, "3de73319fb8566f1fbd9fad427a33839"),
        (-255, "5ec57e9b58b4c84df46044078f82c07c"),
        (-0.0, "c4c1ded5996b65691c97077f63255c0f"),
        ("doc-17 é", "f85c975be7817be588ada7c0d9e96f40"),
        (("doc", b"\0", [1, {2}]), "3a9a698692390ebd5458dc803ba106a3"),
        ({"b": 1.5, "a": {"x": None}}, "62a8febe774c746827d11cfb1aeeaea8"),
        (dt.date(2024, 2, 29), "b1e2efe82a79c793f616dd7d13af63ac"),
        (decimal.Decimal("1.10"), "26280320045c6e6a754900e34b52ca98"),
        (uuid.UUID(int=7), "0d5b882778988abecfb02953919fcce0"),
        (pathlib.PurePosixPath("a/b"), "b4745b90823aff1028f18f0d46757b42"),
    ],
)
def test_keys_stay_what_they_are(value, key):
    """Keys are the same in all versions: a change here would lose the results of all users."""
    assert key_of(value).hex() == key


def test_keys_are_the_same_in_every_process(script):
    """The hash seed of a process has no influence on keys."""
    script.write(
        "values.py",
        """
        import dataclasses, enum
        import numpy
        from skipstone import Checkpoint
        from skipstone.stores import MemoryStore

        @dataclasses.dataclass(frozen=True)
        class Data:
            names: frozenset

        class Color(enum.Enum):
            RED = enum.auto()

        words = [f"word {number}" for number in range(50)]
        values = [
            set(words), frozenset(words), dict.fromkeys(set(words)), Data(frozenset(words)), {Color.RED, *words},
            {frozenset(words[:9]), frozenset(words[9:])}, Data, Color, len, numpy.array(words),
            numpy.array([set(words)], object), numpy.str_("a"), float("nan"), {(1, "a"), (b"a", None)},
        ]
        checkpoint = Checkpoint(MemoryStore())
        for value in values:
            checkpoint.load_or_run(print, value, end="")
        print(*(record.key.hex() for record in checkpoint.records()), sep="\\n")
        """,
    )
    outputs = [script("values.py", environment={"PYTHONHASHSEED": seed}).stdout for seed in ("0", "1", "4242")]
    assert len(set(outputs[0].split())) == 14
    assert outputs[0] == outputs[1] == outputs[2]
