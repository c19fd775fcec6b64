"""With `each`, a function takes a list of items; ids, records, failures and resuming are those of single items."""

import asyncio
import functools
import inspect
import pickle
import threading
from dataclasses import dataclass

import cloudpickle
import numpy as np
import pytest

from skipstone import (
    BatchLengthError,
    Failure,
    IdExpressionError,
    MapSummary,
    NullCheckpoint,
    ReentrantCallError,
    SaveError,
    cache_with_checkpoint,
    open_checkpoint,
    use_checkpoint,
)

batches = []


@dataclass
class Doc:
    id: str
    text: str


@dataclass
class Vector:
    size: int


def docs(*numbers, bad=()):
    return [Doc(f"doc-{number}", "bad" if number in bad else f"text {number}") for number in numbers]


def vectors(*numbers, model="m"):
    return [f"{model}:text {number}" for number in numbers]


@cache_with_checkpoint(id="doc.id + model", each="docs")
def embed_all(model, docs):
    batches.append([doc.id for doc in docs])
    assert type(docs) is list
    if any(doc.text == "bad" for doc in docs):
        raise ValueError("a bad one")
    return [f"{model}:{doc.text}" for doc in docs]


@cache_with_checkpoint(id="doc.id + model", each="docs")
async def embed_all_later(model, docs):
    batches.append([doc.id for doc in docs])
    await asyncio.sleep(0)
    return [f"{model}:{doc.text}" for doc in docs]


@cache_with_checkpoint(each="xs")
def squares(xs):
    batches.append(xs)
    return (x * x for x in xs)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in a folder, current for the test."""
    batches.clear()
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as opened, use_checkpoint(opened):
        yield opened


def test_only_missing_items_run(checkpoint):
    """They run together; the results of all come back, in order."""
    assert embed_all("m", docs(2, 4)) == vectors(2, 4)
    assert embed_all("m", docs(1, 2, 3, 4, 5)) == vectors(1, 2, 3, 4, 5)
    assert embed_all("m", docs(5, 1)) == vectors(5, 1)
    assert embed_all("n", docs(1)) == vectors(1, model="n")
    assert batches == [["doc-2", "doc-4"], ["doc-1", "doc-3", "doc-5"], ["doc-1"]]
    assert [record.call_id for record in checkpoint.records(embed_all)][:2] == ["doc-2m", "doc-4m"]
    assert (checkpoint.stats().misses, checkpoint.stats().hits) == (6, 4)


def test_it_resumes_in_another_process(script):
    """What one process saved, another loads."""
    script.write(
        "app.py",
        """
        import sys
        from skipstone import cache_with_checkpoint, init_checkpoint

        @cache_with_checkpoint(id="word", each="words")
        def shout(words):
            print("ran", *words)
            return [word.upper() for word in words]

        init_checkpoint("step")
        print(*shout(sys.argv[1:]))
        """,
    )
    assert script("app.py", "a", "b").stdout == "ran a b\nA B\n"
    assert script("app.py", "b", "c", "a").stdout == "ran c\nB C A\n"


@pytest.mark.parametrize(
    "items",
    [[1, 2, 3], (1, 2, 3), range(1, 4), {1: "", 2: "", 3: ""}, (x for x in (1, 2, 3)), np.array([1, 2, 3])],
    ids=["list", "tuple", "range", "dictionary", "generator", "array"],
)
def test_any_iterable(checkpoint, items):
    """The function gets a list, and its results come as one, whatever it returned them in."""
    assert squares(items) == [1, 4, 9]
    assert batches == [[1, 2, 3]]
    assert type(batches[0]) is list


def test_nothing(checkpoint):
    """Of no items there is nothing to run, and nothing that is missing."""
    assert squares([]) == []
    assert squares.rerun(()) == []
    assert squares.is_done([])
    assert not squares.forget([])
    assert batches == []


def test_an_item_twice(checkpoint):
    """It runs once, and both places get the result."""
    assert squares([3, 2, 3]) == [9, 4, 9]
    assert squares.rerun([2, 2]) == [4, 4]
    assert batches == [[3, 2], [2]]


def test_stored_results_are_fresh_copies(checkpoint):
    """As those of single calls: what the caller does with one shows in no other."""

    @cache_with_checkpoint(each="xs")
    def lists(xs):
        return [[x] for x in xs]

    lists([1, 1])
    one, other = lists([1, 1])
    one.append(2)
    assert other == [1]


def test_however_the_list_is_given(checkpoint):
    """By position, by keyword, by default, by keyword only, beside variable arguments."""

    @cache_with_checkpoint(id="(model, x)", each="xs", name="scaled")
    def scaled(model, xs=(1, 2), *more, by=10):
        batches.append(xs)
        return [x * by for x in xs]

    @cache_with_checkpoint(id="(model, x)", each="xs", name="scaled", on_code_change="ignore")
    def by_keyword(model, *more, xs, by=10):
        batches.append(xs)
        return [x * by for x in xs]

    assert scaled("m") == [10, 20]
    assert scaled("m", xs=[2, 3]) == [20, 30]
    assert scaled(xs=[4], model="m", by=100) == [400]
    assert scaled("m", [1, 5], "more") == [10, 50]
    assert by_keyword("m", "more", "and more", xs=[5, 6]) == [50, 60]
    assert batches == [[1, 2], [3], [4], [5], [6]]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'model'"):
        scaled(xs=[1])
    with pytest.raises(TypeError, match="not iterable"):
        scaled("m", 5)
    with pytest.raises(TypeError, match="takes many xs: give it a list, not 'abc'"):
        scaled("m", "abc")


def test_methods(checkpoint):
    """Methods, class methods and static methods take lists, too."""

    class Reader:
        def __init__(self, name):
            self.name = name

        @cache_with_checkpoint(id="(self.name, page)", each="pages")
        def read(self, pages):
            batches.append(pages)
            return [f"{self.name} {page}" for page in pages]

        @classmethod
        @cache_with_checkpoint(id="page", each="pages")
        def of_class(cls, pages):
            batches.append(pages)
            return [f"{cls.__name__} {page}" for page in pages]

        @cache_with_checkpoint(id="page", each="pages")
        @staticmethod
        def static(pages):
            batches.append(pages)
            return [f"{page}" for page in pages]

    reader = Reader("r")
    assert reader.read([1, 2]) == ["r 1", "r 2"]
    assert Reader("s").read(pages=[2]) == ["s 2"]
    assert Reader.read(reader, [2, 3]) == ["r 2", "r 3"]
    assert Reader.read.is_done(reader, [1, 2, 3])
    assert Reader.of_class([1]) == Reader.of_class([1]) == ["Reader 1"]
    assert Reader.static([1]) == Reader.static([1]) == ["1"]
    assert list(checkpoint.map(reader.read, [3, 4])) == ["r 3", "r 4"]
    assert batches == [[1, 2], [2], [3], [1], [1], [4]]


def test_asking_and_acting(checkpoint):
    """`is_done` means all; `rerun` runs all, together; `forget` tells whether there was any."""
    assert not embed_all.is_done("m", docs(1))
    embed_all("m", docs(1, 2))
    assert embed_all.is_done("m", docs(2, 1))
    assert not embed_all.is_done("m", docs(1, 2, 3))
    assert embed_all.rerun("m", docs(3, 1)) == vectors(3, 1)
    assert batches == [["doc-1", "doc-2"], ["doc-3", "doc-1"]]
    assert embed_all.forget("m", docs(1, 7))
    assert not embed_all.forget("m", docs(1, 7))
    assert checkpoint.clear(embed_all, id="doc-2m") == 1
    assert [record.call_id for record in checkpoint.records()] == ["doc-3m"]
    assert embed_all.__wrapped__("m", docs(3)) == vectors(3)


def test_rerun_replaces(checkpoint):
    """Later calls return what came last."""
    times = iter(range(10))

    @cache_with_checkpoint(each="xs")
    def counted(xs):
        return [next(times) for _ in xs]

    assert (counted([1, 2]), counted.rerun([2]), counted([1, 2])) == ([0, 1], [2], [0, 2])


def test_a_failure(checkpoint):
    """The error passes, and is the failure of each item that ran; the others are not touched."""
    embed_all("m", docs(1))
    with pytest.raises(ValueError, match="a bad one"):
        embed_all("m", docs(1, 2, 3, bad=[3]))
    assert [(failure.call_id, failure.attempts) for failure in checkpoint.failures()] == [
        ("doc-2m", 1),
        ("doc-3m", 1),
    ]
    assert embed_all("m", docs(1, 2)) == vectors(1, 2)
    assert [failure.call_id for failure in checkpoint.failures()] == ["doc-3m"]
    assert batches == [["doc-1"], ["doc-2", "doc-3"], ["doc-2"]]


def test_a_wrong_length(checkpoint):
    """It is told, and nothing of that call is kept; nor is it a failure of any item."""

    @cache_with_checkpoint(each="xs", name="app.too_few")
    def too_few(xs):
        return xs[1:]

    for call in (too_few, too_few.rerun):
        with pytest.raises(BatchLengthError, match="app.too_few returned 2 results for 3 items"):
            call([1, 2, 3])
    assert not list(checkpoint.records())
    assert not list(checkpoint.failures())


def test_a_result_that_cannot_be_kept(tmp_path):
    """The others of its batch are."""

    @cache_with_checkpoint(each="xs")
    def odd(xs):
        return [threading.Lock() if x == 2 else x for x in xs]

    config = {"artifacts_dir": tmp_path, "on_save_error": "raise"}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        with pytest.raises(SaveError, match="cannot keep the result of .*odd for id"):
            odd([1, 2, 3])
        assert [record.call_id for record in checkpoint.records()] == ["{'xs': 1}", "{'xs': 3}"]


def test_what_somebody_else_computes_is_waited_for(checkpoint):
    """Two calls that share an item: it runs once, and the second call's own items do not wait for it."""
    begun, finish = threading.Event(), threading.Event()

    @cache_with_checkpoint(each="xs")
    def slowly(xs):
        batches.append(xs)
        if 1 in xs:
            begun.set()
            assert finish.wait(30)
        else:
            finish.set()
        return [x * 10 for x in xs]

    results = []

    def first():
        with use_checkpoint(checkpoint):
            results.append(slowly([1, 2]))

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)
    assert slowly([2, 3]) == [20, 30]
    thread.join()
    assert results == [[10, 20]]
    assert batches == [[1, 2], [3]]


def test_an_item_that_was_waited_for_in_vain_tells_its_argument(checkpoint):
    """Where another call has an item and raises, the item is run alone; its record tells what one of a batch does."""
    begun, finish = threading.Event(), threading.Event()

    @cache_with_checkpoint(each="xs")
    def slowly(xs):
        if 1 in xs:
            begun.set()
            assert finish.wait(30)
            raise ValueError("no")
        finish.set()
        return [x * 10 for x in xs]

    def first():
        with use_checkpoint(checkpoint), pytest.raises(ValueError):
            slowly([1, 2])

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)
    assert slowly([2, 3]) == [20, 30]
    thread.join()
    told = [record.arguments["xs"].text for record in checkpoint.records(slowly)]
    assert sorted(told) == ["2", "3"]


def test_a_call_that_asks_for_its_own_item(checkpoint):
    """It is told, in place of waiting for itself."""

    @cache_with_checkpoint(each="xs")
    def circular(xs):
        return circular(xs)

    with pytest.raises(ReentrantCallError):
        circular([1, 2])


def test_one_function_one_set_of_keys(checkpoint):
    """Calls with one item, with many, and maps, of it or of the undecorated function, find the same results."""
    embed = functools.partial(embed_all, "m")
    undecorated = functools.partial(embed_all.__wrapped__, "m")
    assert embed_all("m", docs(1)) == vectors(1)
    assert list(checkpoint.map(embed, docs(1, 2), batch_size=2)) == vectors(1, 2)
    assert embed_all("m", docs(1, 2, 3)) == vectors(1, 2, 3)
    again = checkpoint.map(undecorated, docs(1, 2, 3), id="doc.id + model", batch_size=1)
    assert list(again) == vectors(1, 2, 3)
    assert batches == [["doc-1"], ["doc-2"], ["doc-3"]]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_maps(checkpoint, executor):
    """Items go in batches, of 32 unless it is said; failures and plans are those of items."""
    embed = functools.partial(embed_all, "m")
    assert list(checkpoint.map(embed, docs(*range(70)), executor=executor, workers=1)) == vectors(*range(70))
    if executor == "threads":
        assert list(map(len, batches)) == [32, 32, 6]
    plan = checkpoint.plan(embed, docs(*range(100)))
    assert (plan.done, plan.missing) == (70, 30)
    settings = {"executor": executor, "on_error": "return", "workers": 1}
    results = checkpoint.map(embed, docs(*range(80), bad=[75]), on_batch_error="split", batch_size=10, **settings)
    assert [number for number, result in enumerate(results) if isinstance(result, Failure)] == [75]
    assert results.summary() == MapSummary(70, 9, 1)


def test_maps_that_do_not_fit(checkpoint):
    """What is not bound must be the items."""
    with pytest.raises(TypeError, match="does not take its docs next: bind what comes before"):
        checkpoint.map(embed_all, docs(1))
    with pytest.raises(TypeError, match="bind the other arguments with functools.partial"):
        checkpoint.map(embed_all, ["m"], docs(1))
    with pytest.raises(TypeError, match="does not take its docs next"):
        checkpoint.plan(functools.partial(embed_all, model="m"), docs(1))


def test_no_id_for_many(checkpoint):
    """`load_or_run` takes one id, which would be that of an item."""
    with pytest.raises(TypeError, match="embed_all takes many docs, each with an id of its own: call it, or map"):
        checkpoint.load_or_run(embed_all, "doc-1m", "m", docs(1))
    with pytest.raises(TypeError, match="embed_all_later takes many docs"):
        asyncio.run(checkpoint.load_or_run_async(embed_all_later, "doc-1m", "m", docs(1)))
    with pytest.raises(TypeError, match="takes many docs"):
        checkpoint.load_or_run(functools.partial(embed_all, "m"), "doc-1m", docs(1))


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_results_have_the_type_of_items(tmp_path, serializer):
    """The function's annotation is a list; what is stored is one of its items, by calls and by maps."""

    @cache_with_checkpoint(each="texts")
    def measured(texts: list[str]) -> list[Vector]:
        batches.append(texts)
        return [Vector(len(text)) for text in texts]

    def measure(numbers: list[int]) -> tuple[Vector, ...]:
        return tuple(map(Vector, numbers))

    config = {"artifacts_dir": tmp_path, "serializer": serializer}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        batches.clear()
        for _ in range(2):
            assert measured(["a", "bcd"]) == [Vector(1), Vector(3)]
            assert list(checkpoint.map(measure, [1, 2], batch_size=2)) == [Vector(1), Vector(2)]
        assert batches == [["a", "bcd"]]
        assert checkpoint.stats().misses == 4


def test_coroutine_functions(checkpoint):
    """The same, awaited; also calls that run at the same time."""

    async def main():
        assert await embed_all_later("m", docs(1, 2)) == vectors(1, 2)
        both = await asyncio.gather(embed_all_later("m", docs(1, 3, 4)), embed_all_later("m", docs(4, 5, 5)))
        assert both == [vectors(1, 3, 4), vectors(4, 5, 5)]
        assert embed_all_later.is_done("m", docs(1, 2, 3, 4, 5))
        assert await embed_all_later.rerun("m", docs(1)) == vectors(1)
        assert await embed_all_later("m", []) == []

    asyncio.run(main())
    assert inspect.iscoroutinefunction(embed_all_later)
    first, *others, last = batches
    assert (first, last) == (["doc-1", "doc-2"], ["doc-1"])
    assert sorted(others) in (
        [["doc-3", "doc-4"], ["doc-5"]],
        [["doc-3"], ["doc-4", "doc-5"]],
    )  # either may be quicker


def test_maps_of_coroutine_functions(checkpoint):
    """`map_async` puts items together, of decorated functions and with `batch_size` of others."""
    embed = functools.partial(embed_all_later, "m")

    async def odd(xs):
        batches.append(xs)
        await asyncio.sleep(0)
        if 5 in xs:
            raise ValueError("a bad one")
        return xs

    async def main():
        assert [x async for x in checkpoint.map_async(embed, docs(*range(40)))] == vectors(*range(40))
        assert list(map(len, batches)) == [32, 8]
        batches.clear()
        results = checkpoint.map_async(odd, range(6), batch_size=4, on_batch_error="split", on_error="return")
        assert [isinstance(x, Failure) async for x in results] == [False] * 5 + [True]
        assert batches == [[0, 1, 2, 3], [4, 5], [4], [5]]

    asyncio.run(main())
    with pytest.raises(ValueError, match="batch_size is 0"):
        checkpoint.map_async(odd, [1], batch_size=0)


def test_a_result_that_was_deleted_meanwhile(checkpoint):
    """A map of a coroutine function computes it again, alone."""
    embed = functools.partial(embed_all_later, "m")

    async def main():
        await checkpoint.map_async(embed, docs(1, 2)).drain()
        results = checkpoint.map_async(embed, docs(1, 2))
        assert await anext(results) == "m:text 1"
        checkpoint.clear()
        assert await anext(results) == "m:text 2"

    asyncio.run(main())
    assert batches == [["doc-1", "doc-2"], ["doc-2"]]


def test_it_travels(checkpoint):
    """By name as any function, and by value, as functions of a notebook are sent to other processes."""
    assert pickle.loads(pickle.dumps(embed_all)) is embed_all

    def local_factory():
        @cache_with_checkpoint(id="(x, by)", each="xs", name="travels")
        def times(by, xs):
            return [x * by for x in xs]

        return times

    times = local_factory()
    assert times(2, [1, 2]) == [2, 4]
    copy = cloudpickle.loads(cloudpickle.dumps(times))
    assert copy.is_done(2, [1, 2])
    assert copy(2, [2, 3]) == [4, 6]
    assert list(checkpoint.map(functools.partial(copy, 2), [3, 4])) == [6, 8]
    assert checkpoint.stats().misses == 4


def test_switched_off():
    """With NullCheckpoint, all items run, together."""
    batches.clear()
    with use_checkpoint(NullCheckpoint()) as off:
        for _ in range(2):
            assert embed_all("m", docs(1, 2)) == vectors(1, 2)
        assert not embed_all.is_done("m", docs(1))
        assert embed_all.rerun("m", docs(1)) == vectors(1)
        assert off.stats().misses == 5
    assert batches == [["doc-1", "doc-2"]] * 2 + [["doc-1"]]


def test_a_list_that_is_named_like_a_builtin(checkpoint):
    """The parameter's own name stands for the item, whatever else it means."""

    @cache_with_checkpoint(id="input", each="input")
    def double(input):
        return [2 * x for x in input]

    assert double([1, 2]) == [2, 4]
    assert double.is_done([1, 2])


def test_coroutine_functions_switched_off():
    """So they do of a coroutine function; an error passes."""

    @cache_with_checkpoint(id="x", each="xs")
    async def inverse(xs):
        return [1 / x for x in xs]

    async def main():
        assert await inverse([1, 2]) == [1, 0.5]
        with pytest.raises(ZeroDivisionError):
            await inverse([1, 0])

    with use_checkpoint(NullCheckpoint()) as off:
        asyncio.run(main())
        assert off.stats().misses == 2


@pytest.mark.parametrize(
    ("each", "id", "what"),
    [
        ("dox", "doc.id", r"each='dox' does not fit .*f\(model, docs, rest\): it is no parameter"),
        ("rest", "doc.id", "each='rest' does not fit .*: it takes any number of arguments"),
        ("docs", "model", "id expression 'model' does not fit .*docs, rest.: it does not mention the item"),
        ("docs", "'x'", "it does not mention the item"),
        ("docs", "docs.id + typo", "there is no parameter 'typo'"),
        ("docs", "doc.id + oder", "there is no parameter"),
        ("docs", "doc.id + str(len(docs))", "there is no parameter 'doc'"),
        ("docs", "id(doc)", "'id' may not be used"),
        ("docs", lambda docs: docs, "give it the same parameters"),
    ],
)
def test_what_does_not_fit(each, id, what):
    """It is told when the function is decorated, with the function, the expression and the parameters."""

    def f(model, docs, *rest):
        return docs

    with pytest.raises(IdExpressionError, match=what):
        cache_with_checkpoint(id=id, each=each)(f)


def test_generators_are_refused():
    """They are saved item by item in another way."""

    def f(docs):
        yield from docs

    async def g(docs):
        for doc in docs:
            yield doc

    for function in (f, g):
        with pytest.raises(TypeError, match="is a generator function: each='docs' is for one that returns a list"):
            cache_with_checkpoint(each="docs")(function)
