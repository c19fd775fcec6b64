"""A result comes back, always: also where it cannot be saved, with a warning that says which part is to blame."""

import asyncio
import threading

import pytest

from skipstone import (
    Checkpoint,
    SaveError,
    SaveWarning,
    StoreUnavailableError,
    StoreUnavailableWarning,
    cache_with_checkpoint,
    get_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore


class Client:
    """Has a connection that cannot be pickled."""

    def __init__(self, connection=None):
        self.url = "http://x"
        self.connection = connection or threading.Lock()


class DeadlockError(Exception):
    """Cannot be pickled, and says so in its own way."""

    def __reduce__(self):
        raise RuntimeError("not me")


results = {}


@cache_with_checkpoint(id="name", name="app.ask")
def ask(name):
    return results[name]


@cache_with_checkpoint(id="name", name="app.ask_later")
async def ask_later(name):
    return results[name]


@pytest.fixture(autouse=True)
def _current(memory):
    results.clear()
    results["k"] = {"answer": 42, "client": threading.Lock()}


LOCK = "cannot be serialized by pickle: TypeError: cannot pickle '_thread.lock' object"


def test_the_warning_names_the_part_and_what_to_do():
    """The result is returned as it is, and one warning names function, id, part, type and reason."""
    with pytest.warns(SaveWarning) as caught:
        assert ask("k") is results["k"]
    assert [str(warning.message) for warning in caught] == [
        (
            f"cannot keep the result of app.ask for id 'k': result['client'] (of type _thread.lock) {LOCK}; "
            f"return plain data to have it kept. The result was returned"
        )
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("result", "part"),
    [
        (threading.Lock(), "result"),
        ([1, {"a": threading.Lock()}], "result[1]['a']"),
        ((threading.Lock(), 1), "result[0]"),
        (Client(), "result.connection"),
        ([Client(Client())], "result[0].connection.connection"),
        ({("a", 1): [Client()]}, "result[('a', 1)][0].connection"),
        (lambda: 1, "result"),
        ({"generator": (x for x in ())}, "result['generator']"),
        ([DeadlockError("a")], "result[0]"),
    ],
)
def test_the_part_is_found_wherever_it_is(result, part):
    """The part is named by its path through containers and attributes."""
    results["k"] = result
    with pytest.warns(SaveWarning, match="^cannot keep the result of app.ask for id 'k': ") as caught:
        assert ask("k") is result
    told = str(caught[0].message).removeprefix("cannot keep the result of app.ask for id 'k': ")
    assert told.partition(" (of type ")[0] == part


def test_one_warning_for_each_function():
    """Further results of the same function come back without a further warning, and are counted."""
    results.update(dict.fromkeys("abc", threading.Lock()))
    with pytest.warns(SaveWarning) as caught:
        assert [ask(name) for name in "abca"] == [results["a"]] * 4
        asyncio.run(ask_later("a"))
    assert [str(warning.message).split()[5] for warning in caught] == ["app.ask", "app.ask_later"]
    stats = get_checkpoint().stats()
    assert (stats.misses, stats.not_saved) == (5, 5)
    assert not ask.is_done("a")
    assert list(get_checkpoint().records()) == list(get_checkpoint().failures()) == []


def test_it_is_kept_when_it_can_be():
    """A call whose result could not be kept runs again, and is kept when it returns plain data."""
    with pytest.warns(SaveWarning):
        ask("k")
    results["k"] = 42
    assert ask("k") == 42
    results["k"] = 43
    assert ask("k") == 42


@pytest.mark.parametrize("form", ["sync", "async"])
def test_raise_gives_the_result_with_the_error(form):
    """With `on_save_error="raise"`, the error carries the result, so that nothing need be computed again."""
    with use_checkpoint(Checkpoint(MemoryStore(), {"on_save_error": "raise"})), pytest.raises(SaveError) as caught:
        if form == "sync":
            ask("k")
        else:
            asyncio.run(ask_later("k"))
    assert caught.value.result is results["k"]
    assert isinstance(caught.value.__cause__, TypeError)
    name = "app.ask" if form == "sync" else "app.ask_later"
    assert str(caught.value) == (
        f"cannot keep the result of {name} for id 'k': result['client'] (of type _thread.lock) {LOCK}; "
        f"return plain data to have it kept. The result is in this error's `result`"
    )


class FullStore(MemoryStore):
    """A store on a full disk."""

    def put(self, record, /, *, replace=False):
        raise StoreUnavailableError("no space left on device")


class AwayStore(MemoryStore):
    """A store that does not answer at all."""

    def get(self, key, /):
        raise StoreUnavailableError("the store went away")

    get_many = present = delete = scan = claim = get

    def put(self, record, /, *, replace=False):
        raise StoreUnavailableError("the store went away")


def test_a_full_store_costs_no_result():
    """When the store cannot take a result, the caller still gets it, with a warning."""
    results["k"] = 42
    checkpoint = Checkpoint(FullStore())
    with use_checkpoint(checkpoint), pytest.warns(SaveWarning) as caught:
        assert [ask("k"), ask("k")] == [42, 42]
    assert [str(warning.message) for warning in caught] == [
        "cannot keep the result of app.ask for id 'k': no space left on device. The result was returned"
    ]
    assert checkpoint.stats().not_saved == 2


@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_store_that_is_away_costs_no_result(form):
    """When the store does not answer, calls run and return, with one warning for it and one for each function."""
    results["k"] = 42
    with use_checkpoint(Checkpoint(AwayStore())), pytest.warns() as caught:
        for _ in range(2):
            assert (ask("k") if form == "sync" else asyncio.run(ask_later("k"))) == 42
        assert not ask.is_done("k")
    name = "app.ask" if form == "sync" else "app.ask_later"
    assert len(caught) == 2
    assert {warning.category: str(warning.message) for warning in caught} == {
        SaveWarning: f"cannot keep the result of {name} for id 'k': the store went away. The result was returned",
        StoreUnavailableWarning: (
            "the store went away. Calls run and their results are returned, but not kept until it works again"
        ),
    }


def test_a_full_store_with_raise_gives_the_result():
    """With `on_save_error="raise"`, a full store raises an error that carries the result."""
    results["k"] = 42
    config = {"on_save_error": "raise"}
    with use_checkpoint(Checkpoint(FullStore(), config)), pytest.raises(SaveError) as caught:
        ask("k")
    assert caught.value.result == 42
    assert isinstance(caught.value.__cause__, StoreUnavailableError)


def test_the_functions_error_is_told_when_the_store_is_away_too():
    """When the function raises and the store does not answer, the caller gets the function's error."""

    @cache_with_checkpoint(id="x", name="app.fail")
    def fail(x):
        raise ValueError("mine")

    with (
        use_checkpoint(Checkpoint(AwayStore())),
        pytest.warns(StoreUnavailableWarning),
        pytest.raises(ValueError, match="mine"),
    ):
        fail(1)


class FailingStore(MemoryStore):
    """A store that answers so many times, and no more."""

    answers = 10**9

    def answering(name):
        def method(self, *args, **kwargs):
            self.answers -= 1
            if self.answers < 0:
                raise StoreUnavailableError("the store went away")
            return getattr(MemoryStore, name)(self, *args, **kwargs)

        return method

    get, get_many, present = answering("get"), answering("get_many"), answering("present")
    put, put_many, delete = answering("put"), answering("put_many"), answering("delete")
    claim, scan, infos = answering("claim"), answering("scan"), answering("infos")


@cache_with_checkpoint(id="x", name="app.square")
def square(x):
    return x * x


@cache_with_checkpoint(id="x", name="app.square_later")
async def square_later(x):
    return x * x


@cache_with_checkpoint(each="numbers", name="app.squares")
def squares(numbers):
    return [x * x for x in numbers]


async def all_of(results):
    return [each async for each in results]


WAYS = {
    "map": lambda checkpoint: list(checkpoint.map(square, range(5), workers=1)),
    "map_async": lambda checkpoint: asyncio.run(
        all_of(checkpoint.map_async(square_later, range(5), concurrency=2))
    ),
    "each": lambda _: squares(list(range(5))),
    "calls": lambda _: [square(x) for x in range(5)],
    "calls_async": lambda _: [asyncio.run(square_later(x)) for x in range(5)],
}


@pytest.mark.parametrize(
    "settings", [{}, {"expires_seconds": 1000, "on_code_change": "rerun"}, {"check_calls": True}]
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore::skipstone.SkipstoneWarning")
def test_results_come_whenever_the_store_fails(way, settings):
    """After each number of answers, a store that fails costs no result, in whatever way many calls are made."""
    for answers in range(25):
        store = FailingStore()
        with use_checkpoint(Checkpoint(store, settings)) as checkpoint:
            for _ in range(2):
                store.answers = answers
                assert WAYS[way](checkpoint) == [0, 1, 4, 9, 16]
            store.answers = 10**9
            assert WAYS[way](checkpoint) == [0, 1, 4, 9, 16]
