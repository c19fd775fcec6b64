"""A decorated function is the function it was, but a call that is done does not run again."""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import weakref

import pytest

from skipstone import (
    NullCheckpoint,
    cache_with_checkpoint,
    get_checkpoint,
    use_checkpoint,
)


@pytest.fixture(autouse=True)
def _current(memory):
    runs.clear()


runs = []


@cache_with_checkpoint(id="word")
def shout(word: str, /, times: int = 1, *more: str, mark: str = "!", **rest: object) -> str:
    """Say it loudly."""
    runs.append(word)
    return word.upper() * times + mark


@cache_with_checkpoint(id="word")
async def shout_later(word: str, times: int = 1) -> str:
    """Say it loudly, later."""
    runs.append(word)
    await asyncio.sleep(0)
    return word.upper() * times


class Reader:
    """Reads pages, in every kind of method."""

    def __init__(self, name="r"):
        self.name = name

    @cache_with_checkpoint(id="f'{self.name}:{page}'")
    def read(self, page):
        """Read one page."""
        runs.append((self.name, page))
        return f"{self.name} {page}"

    @cache_with_checkpoint(id="(self.name, page)")
    async def read_later(self, page):
        runs.append((self.name, page))
        return f"{self.name} {page}"

    @cache_with_checkpoint(id="(cls.__name__, page)")
    @classmethod
    def outside_class(cls, page):
        runs.append((cls.__name__, page))
        return f"{cls.__name__} {page}"

    @classmethod
    @cache_with_checkpoint(id="(cls.__name__, page)")
    def inside_class(cls, page):
        runs.append((cls.__name__, page))
        return f"{cls.__name__} {page}"

    @cache_with_checkpoint(id="page")
    @staticmethod
    def outside_static(page):
        runs.append(page)
        return page

    @staticmethod
    @cache_with_checkpoint(id="page")
    def inside_static(page):
        runs.append(page)
        return page


class QuickReader(Reader):
    pass


def names():
    return [record.function.removeprefix(f"{__name__}.") for record in get_checkpoint().records()]


def test_a_done_call_does_not_run_again():
    """The second call with an id returns the stored result, whatever the other arguments are."""
    assert [shout("a"), shout("a", 3), shout("b")] == ["A!", "A!", "B!"]
    assert runs == ["a", "b"]


def test_it_looks_like_the_function():
    """Name, documentation, signature, annotations and module are those of the function."""
    plain = shout.__wrapped__
    assert (shout.__name__, shout.__qualname__, shout.__doc__) == ("shout", "shout", "Say it loudly.")
    assert shout.__module__ == __name__
    assert inspect.signature(shout) == inspect.signature(plain)
    assert shout.__annotations__ == plain.__annotations__
    assert inspect.isfunction(shout)
    assert not inspect.iscoroutinefunction(shout)
    assert plain("a") == plain("a") == "A!"
    assert runs == ["a", "a"]


def test_coroutine_function_stays_one():
    """A decorated coroutine function is one for inspect and asyncio, and its calls are kept."""
    assert inspect.iscoroutinefunction(shout_later)
    assert inspect.iscoroutinefunction(Reader().read_later)

    async def main():
        reader = Reader("x")
        return [
            await shout_later("a"),
            await shout_later("a", 2),
            await reader.read_later(1),
            await reader.read_later(1),
        ]

    assert asyncio.run(main()) == ["A", "A", "x 1", "x 1"]
    assert runs == ["a", ("x", 1)]


def test_decorated_function_pickles_by_name():
    """A decorated module-level function pickles and copies as itself."""
    assert pickle.loads(pickle.dumps(shout)) is shout
    assert copy.deepcopy(shout) is shout


def test_bare_decorator_identifies_by_all_arguments():
    """Without parentheses, and with empty ones, the content of all arguments is the id."""

    @cache_with_checkpoint
    def bare(a, b=1):
        runs.append(a)
        return a

    @cache_with_checkpoint()
    def empty(a, b=1):
        runs.append(a)
        return a

    for function in (bare, empty):
        runs.clear()
        for call in (function([1]), function(a=[1]), function([1], 1), function([1], b=2)):
            assert call == [1]
        assert runs == [[1], [1]]


def test_is_done_rerun_and_forget():
    """One call can be asked for, run again and forgotten, with its own arguments."""
    assert not shout.is_done("a")
    shout("a")
    assert shout.is_done("a", 7, mark="?")
    assert not shout.is_done("b")
    assert shout.rerun("a", 2) == "AA!"
    assert shout("a") == "AA!"
    assert runs == ["a", "a"]
    assert shout.forget("a") is True
    assert shout.forget("a") is False
    assert not shout.is_done("a")
    assert shout("a") == "A!"


def test_is_done_rerun_and_forget_of_coroutine_functions():
    """Of a coroutine function, only the rerun is awaited."""

    async def main():
        assert not shout_later.is_done("a")
        assert await shout_later.rerun("a") == "A"
        assert shout_later.is_done("a")
        assert await shout_later.rerun("a", 2) == "AA"
        assert await shout_later("a") == "AA"
        assert shout_later.forget("a")
        assert not shout_later.is_done("a")

    asyncio.run(main())
    assert runs == ["a", "a"]


def test_rerun_that_raises_keeps_the_result():
    """A rerun that raises leaves the stored result as it was."""
    fails = []

    @cache_with_checkpoint(id="x")
    def work(x):
        if fails:
            raise OSError("now it fails")
        return x

    work(1)
    fails.append(1)
    with pytest.raises(OSError, match="now it fails"):
        work.rerun(1)
    assert work(1) == 1


def test_methods_bind():
    """A decorated method binds to its instance, and its id may use the instance."""
    ada, bob = Reader("ada"), QuickReader("bob")
    assert [ada.read(1), ada.read(page=1), bob.read(1)] == ["ada 1", "ada 1", "bob 1"]
    assert runs == [("ada", 1), ("bob", 1)]
    assert Reader.read.is_done(ada, 1)
    assert Reader.read.rerun(ada, 1) == "ada 1"
    assert Reader.read.forget(ada, 1)
    assert ada.read.__doc__ == "Read one page."
    assert names() == ["Reader.read"]


@pytest.mark.parametrize("name", ["outside_class", "inside_class"])
def test_class_methods_in_both_orders(name):
    """Above and below `classmethod`, calls through class, subclass and instance are kept."""
    calls = [Reader, Reader(), QuickReader]
    assert [getattr(thing, name)(1) for thing in calls * 2] == ["Reader 1", "Reader 1", "QuickReader 1"] * 2
    assert runs == [("Reader", 1), ("QuickReader", 1)]
    assert getattr(Reader, name).is_done(Reader, 1)
    assert set(names()) == {f"Reader.{name}"}


@pytest.mark.parametrize("name", ["outside_static", "inside_static"])
def test_static_methods_in_both_orders(name):
    """Above and below `staticmethod`, calls through class and instance are kept."""
    assert [getattr(thing, name)(1) for thing in (Reader, Reader(), QuickReader)] == [1, 1, 1]
    assert runs == [1]
    assert getattr(Reader, name).is_done(1)


def test_name_and_version_are_part_of_the_key():
    """A pinned name survives a rename; results of other names and versions do not mix."""

    def made(value, **options):
        def work(x):
            return value

        return cache_with_checkpoint(id="x", on_code_change="ignore", **options)(work)

    assert made("first", name="app.old")(1) == "first"
    assert made("second", name="app.old")(1) == "first"
    assert made("third", name="app.new")(1) == "third"
    assert made("fourth", name="app.old", version=2)(1) == "fourth"
    assert made("fifth", name="app.old", version="2")(1) == "fourth"
    assert made("sixth", name="app.old", version=3)(1) == "sixth"
    assert made("seventh", name="app.old")(1) == "first"
    found = [(record.function, record.version) for record in get_checkpoint().records()]
    assert found == [("app.old", ""), ("app.new", ""), ("app.old", "2"), ("app.old", "3")]


def test_version_zero_is_a_version():
    """`version=0` and `version=""` differ as they should: 0 is a version, an empty text and None are none."""

    def made(version):
        @cache_with_checkpoint(id="x", name="work", version=version, on_code_change="ignore")
        def work(x):
            runs.append(version)

        return work

    for version in (None, 0, ""):
        made(version)(1)
    assert runs == [None, 0]


def test_callable_ids():
    """A callable of the same parameters makes the id, for functions and for methods."""

    @cache_with_checkpoint(id=lambda path, *, page: (path, page))
    def read(path, *, page):
        runs.append((path, page))

    class Page:
        number = 3

        @cache_with_checkpoint(id=lambda self, x: (self.number, x))
        def text(self, x):
            runs.append(x)

    for _ in range(2):
        read("a", page=1)
        read("a", page=2)
        Page().text("b")
    assert runs == [("a", 1), ("a", 2), "b"]


def test_callable_id_sees_defaults():
    """Arguments that are left out reach a callable id with their defaults."""

    @cache_with_checkpoint(id=lambda path, page, *, lang: (path, page, lang))
    def read(path, page=1, *, lang="en"):
        runs.append((path, page, lang))

    read("a")
    read("a", 1, lang="en")
    read("a", lang="de")
    assert runs == [("a", 1, "en"), ("a", 1, "de")]


def test_it_works_above_and_below_other_decorators():
    """Another decorator that uses functools.wraps may stand on either side."""

    def loud(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return str(function(*args, **kwargs)).upper()

        return wrapper

    @cache_with_checkpoint(id="x")
    @loud
    def above(x, y="d"):
        runs.append(x)
        return x + y

    @loud
    @cache_with_checkpoint(id="x")
    def below(x, y="d"):
        runs.append(x)
        return x + y

    assert [above("a"), above("a"), below("b"), below("b")] == ["AD", "AD", "BD", "BD"]
    assert runs == ["a", "b"]


def test_switched_off_is_the_plain_function():
    """With a NullCheckpoint, a decorated function runs each time, and its questions have answers."""
    with use_checkpoint(NullCheckpoint()):
        assert [shout("a"), shout("a"), shout.rerun("a")] == ["A!"] * 3
        assert (shout.is_done("a"), shout.forget("a")) == (False, False)
    assert runs == ["a"] * 3


def test_a_decorated_closure_can_be_freed():
    """A decorated local function that nobody uses any more is freed, with what it closed over."""

    def use_once():
        big = type("Big", (), {})()

        @cache_with_checkpoint(id="x")
        def work(x):
            return (x, big is None)

        work(1)
        return weakref.ref(big)

    ref = use_once()
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 3}, "name is 3, expected a text"),
        ({"name": ""}, "name is '', expected a text"),
        ({"expires_seconds": "1h"}, "expires_seconds is '1h', expected a number of seconds or None"),
    ],
)
def test_nonsense_is_refused(options, message):
    """A wrong option is told when the function is decorated."""
    with pytest.raises(ValueError, match=message):
        cache_with_checkpoint(id="x", **options)
