"""`load_or_run` keeps the results of functions, methods, classes and partials that are not decorated."""

import dataclasses
import functools
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from skipstone import (
    Checkpoint,
    ReentrantCallError,
    UnstableIdError,
    cache_with_checkpoint,
    get_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

runs = []


@pytest.fixture(autouse=True)
def _current(memory):
    runs.clear()


def plain(*args, **kwargs):
    runs.append((args, kwargs))
    return args, kwargs


@cache_with_checkpoint(id="x")
def decorated(x, y=1):
    runs.append(x)
    return (x, y)


class Model:
    """Counts how often it was made and asked."""

    def __init__(self, size, *, kind="small"):
        runs.append(size)
        self.size, self.kind = size, kind

    def ask(self, question):
        runs.append(question)
        return f"{self.size} {question}"

    @cache_with_checkpoint(id="question")
    def ask_kept(self, question):
        runs.append(question)
        return f"{self.size} {question}"

    @classmethod
    def made(cls, size):
        runs.append(cls.__name__)
        return cls.__name__

    @staticmethod
    def add(x, y):
        runs.append(x)
        return x + y


def load_or_run(*args, **kwargs):
    return get_checkpoint().load_or_run(*args, **kwargs)


def names():
    return [record.function.removeprefix(f"{__name__}.") for record in get_checkpoint().records()]


def test_function():
    """A function runs once for each id, with the arguments that follow the id."""
    assert load_or_run(plain, "k", 1, b=2) == ((1,), {"b": 2})
    assert load_or_run(plain, "k", 3) == ((1,), {"b": 2})
    assert load_or_run(plain, "l", 3) == ((3,), {})
    assert len(runs) == 2
    assert names() == ["plain", "plain"]


def test_no_keyword_is_taken_from_the_function():
    """`id=`, `method=`, `self=` and the like reach the function: those of `load_or_run` are positional."""
    kwargs = {"id": 3, "method": 4, "self": 5, "function": 6, "call": 7, "args": 8, "kwargs": 9, "replace": 10}
    assert load_or_run(plain, "k", **kwargs) == ((), kwargs)


def test_class():
    """A class is called: the stored result is a fresh instance of it."""
    first = load_or_run(Model, "k", 3, kind="large")
    second = load_or_run(Model, "k", 4)
    assert (type(second), second.size, second.kind) == (Model, 3, "large")
    assert first is not second
    assert runs == [3]
    assert names() == ["Model"]


def test_bound_methods():
    """Bound methods, class methods and static methods are kept under their own names."""
    model = Model(3)
    runs.clear()
    for _ in range(2):
        assert load_or_run(model.ask, "k", "why") == "3 why"
        assert load_or_run(Model.made, "k", 1) == "Model"
        assert load_or_run(Model.add, "k", 1, y=2) == 3
        assert load_or_run(Model(5).ask, "other", "who") == "5 who"
    assert [run for run in runs if run != 5] == ["why", "Model", 1, "who"]
    assert names() == ["Model.ask", "Model.made", "Model.add", "Model.ask"]


def test_partial():
    """A partial is its function, with arguments added; partials of partials too."""
    assert load_or_run(functools.partial(plain, 1, b=2), "k", 3, c=4) == ((1, 3), {"b": 2, "c": 4})
    assert load_or_run(plain, "k") == ((1, 3), {"b": 2, "c": 4})
    nested = functools.partial(functools.partial(plain, 1), 2)
    assert load_or_run(nested, "l", 3) == ((1, 2, 3), {})
    assert load_or_run(functools.partial(Model(3).ask, "why"), "m") == "3 why"
    assert names() == ["plain", "plain", "Model.ask"]


def test_decorated_function_does_not_nest():
    """A decorated function is run as it was written: the id given goes before the decorator's, and nothing nests."""
    model = Model(3)
    for _ in range(2):
        assert load_or_run(decorated, "my id", 1) == (1, 1)
        assert load_or_run(functools.partial(decorated, 2), "other", y=3) == (2, 3)
        assert load_or_run(model.ask_kept, "third", "why") == "3 why"
    assert runs == [3, 1, 2, "why"]
    assert [record.call_id for record in get_checkpoint().records()] == ["my id", "other", "third"]
    assert not decorated.is_done(1)
    assert decorated.is_done("my id")


def test_one_id_one_record():
    """The decorator and `load_or_run` with the same id find each other's results."""
    assert decorated(1) == (1, 1)
    assert load_or_run(decorated, 1, "never used") == (1, 1)
    assert load_or_run(decorated, 2, "x") == ("x", 1)
    assert decorated(2) == ("x", 1)
    assert runs == [1, "x"]


def test_a_builtin():
    """Builtin functions, methods of builtin types and types are functions like others."""
    for _ in range(2):
        assert load_or_run(len, "k", [1]) == 1
        assert load_or_run(str.upper, "k", "a") == "A"
        assert load_or_run("a-b".split, "k", "-") == ["a", "b"]
        assert load_or_run(dict, "k", a=1) == {"a": 1}
    assert names() == ["builtins.len", "builtins.str.upper", "builtins.str.split", "builtins.dict"]


@pytest.mark.parametrize("options", [{}, {"eq": False}, {"frozen": True}, {"slots": True}])
def test_objects_that_can_be_called(options):
    """An instance with `__call__` is called itself, also one that cannot be hashed or equals another."""

    def call(self, x):
        return (self.tag, x)

    made = dataclasses.make_dataclass(
        "Asker",
        [("name", str), ("tag", str, dataclasses.field(compare=False))],
        namespace={"__call__": call},
        **options,
    )
    assert load_or_run(made("a", "first"), "one", 1) == ("first", 1)
    assert load_or_run(made("a", "second"), "two", 2) == ("second", 2)
    assert load_or_run(made("a", "second"), "one", 3) == ("first", 1)


def test_lambda_is_refused():
    """A lambda has no name of its own: refused, with what to write instead."""
    with pytest.raises(UnstableIdError) as caught:
        load_or_run(lambda: 1, "k")
    assert str(caught.value) == (
        f"{__name__}.test_lambda_is_refused.<locals>.<lambda> has no name of its own, so its results could not be told "
        f"from those of another lambda: write it as a function with def, or decorate it with "
        f"cache_with_checkpoint(name=...)"
    )
    with pytest.raises(UnstableIdError):
        load_or_run(functools.partial(lambda x: x, 1), "k")


def test_what_cannot_be_called_is_refused():
    """A result in place of a function (`load_or_run(f(x), ...)`) is an error that shows the right form."""
    with pytest.raises(TypeError) as caught:
        load_or_run("text", "k")
    assert (
        str(caught.value)
        == "'text' is not callable: give a function, decorated or not (its id and arguments come behind it)"
    )


def test_asking_for_oneself_is_an_error():
    """A call that asks for its own result raises instead of waiting for itself; other ids nest."""

    @cache_with_checkpoint(id="n", name="deeper")
    def deeper(n, again=False):
        return 0 if n == 0 else 1 + deeper(n if again else n - 1, again)

    assert deeper(3) == 3
    with pytest.raises(ReentrantCallError) as caught:
        deeper(9, again=True)
    assert str(caught.value) == (
        "the call of deeper for id '9' asked for its own result: leave the inner call undecorated (__wrapped__), "
        "or give it another id"
    )


def test_same_id_in_another_checkpoint_is_another_call():
    """A call may ask another checkpoint for the same function and id."""
    other = Checkpoint(MemoryStore())

    def outer(depth):
        return depth if depth == 0 else other.load_or_run(outer, "k", depth - 1)

    assert load_or_run(outer, "k", 1) == 0


def test_a_local_function_can_be_freed():
    """A local function passed to `load_or_run` is freed with what it closed over, when nobody uses it any more."""

    class Big:
        pass

    def use_once():
        big = Big()

        def work():
            return big is None

        load_or_run(work, "k")
        return weakref.ref(big)

    ref = use_once()
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("before", [[], ["another"]], ids=["first call", "after a miss"])
def test_a_result_is_returned_while_somebody_computes_it_anew(before):
    """A rerun in another thread keeps nobody from the result that is stored."""
    begun, go_on = threading.Event(), threading.Event()

    @cache_with_checkpoint(id="x", name="slow")
    def slow(x):
        runs.append(x)
        if x == "done" and runs.count(x) == 2:
            begun.set()
            go_on.wait(10)
        return len(runs)

    slow("done")
    checkpoint = get_checkpoint()
    with ThreadPoolExecutor(1) as pool:
        rerun = pool.submit(lambda: use(checkpoint, slow.rerun, "done"))
        assert begun.wait(10)
        for x in before:
            slow(x)
        assert slow("done") == 1
        go_on.set()
        assert rerun.result(10) > 1
    assert slow("done") == rerun.result()


def use(checkpoint, function, *args):
    with use_checkpoint(checkpoint):
        return function(*args)
