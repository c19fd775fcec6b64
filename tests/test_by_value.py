"""Functions of a script are pickled by value, as clusters do it, and stay the same functions in another program."""

import functools
import pickle

import cloudpickle
import pytest

from skipstone import cache_with_checkpoint

PIPELINE = """
    import functools
    from dataclasses import dataclass

    import cloudpickle

    from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

    offset = 100


    @dataclass
    class Doc:
        id: int


    def ran(name):
        with open("runs", "a") as runs:
            print(name, file=runs)


    @cache_with_checkpoint(id="doc.id", on_code_change="rerun")
    def embed(doc: Doc) -> "list[int]":
        ran("embed")
        return [doc.id + offset]


    @cache_with_checkpoint(id=lambda x: x + offset, version=2)
    def pages(x):
        ran("pages")
        yield from range(x)


    class Model:
        @cache_with_checkpoint(id="str(x)", name="read")
        def read(self, x):
            ran("read")
            return x


    @cache_with_checkpoint
    def outer(x):
        ran("outer")
        return get_checkpoint().load_or_run(plain, x, x) + embed(Doc(x))[0]


    def plain(x):
        ran("plain")
        return -x


    def calls():
        doc = Doc(1)
        return [embed(doc), list(pages(3)), Model().read(5), outer(7), get_checkpoint().load_or_run(plain, 8, 8)]


    if __name__ == "__main__":
        init_checkpoint("step", {"on_code_change": "rerun"})
        print(calls())
        with open("calls", "wb") as file:
            cloudpickle.dump(calls, file)
"""

WORKER = """
    import pickle

    from skipstone import get_checkpoint, init_checkpoint

    init_checkpoint("step", {"on_code_change": "rerun"})
    with open("calls", "rb") as file:
        print(pickle.load(file)())
    print(sorted(info.function for info in get_checkpoint().records() if info.function.startswith("worker")))
"""

runs = []


@cache_with_checkpoint(id="x")
def inner(x):
    runs.append(x)
    return x


def loud(function):
    @functools.wraps(function)
    def wrapper(x):
        return f"{function(x)}!"

    return wrapper


def test_another_program_finds_the_same_records(script):
    """What a script has stored is found by its own functions in a process whose `__main__` is another file."""
    script.write("pipeline.py", PIPELINE)
    script.write("worker.py", WORKER)
    here = script("pipeline.py").stdout
    assert here == "[[101], [0, 1, 2], 5, 100, -8]\n"
    assert (script.folder / "runs").read_text().split() == [
        "embed", "pages", "read", "outer", "plain", "embed", "plain",
    ]  # fmt: skip
    there = script("worker.py").stdout
    assert there == f"{here}[]\n"
    assert len((script.folder / "runs").read_text().split()) == 7


def test_a_function_without_its_source(script):
    """The code is told by what it was where the function was pickled, not where it has arrived."""
    script.write("pipeline.py", PIPELINE)
    script.write("worker.py", WORKER)
    here = script("pipeline.py").stdout
    script.write("pipeline.py", "raise SystemExit('another program')")
    assert script("worker.py").stdout == f"{here}[]\n"
    assert len((script.folder / "runs").read_text().split()) == 7


def test_a_wrapper_does_not_stand_for_what_it_wraps(memory):
    """`functools.wraps` copies the attributes of a function; yet what is called is the wrapper."""
    assert memory.load_or_run(loud(inner), "loud", 1) == "1!"
    assert memory.load_or_run(inner, 1, 1) == 1
    assert runs == [1]


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_functions_of_modules_go_by_name(dumps):
    """A decorated function that can be imported is found there, with all that is known of it."""
    assert pickle.loads(dumps(inner)) is inner
